"""How codes are used, counted batch by batch."""

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CodeHistogram"]

# Of more codes, which a quantizer without a table may have, not all can be counted.
_MOST_COUNTERS = 2**20


class CodeHistogram:
    """How often each code occurs, at each depth, over all batches.

    Args:
        model: a built `models.VQVAE`.

    Attributes:
        code_shape: of an image's codes, `(h, w)`, `(h, w, Q)` or `(L,)`; empty before a batch.
    """

    def __init__(self, model: Any) -> None:
        depths = model.code_shape[2] if len(model.code_shape) > 2 else 1
        sizes = np.broadcast_to(model.num_embeddings, (depths,))
        self._counts = [_Counts(int(size)) for size in sizes]
        self.code_shape: tuple[int, ...] = ()

    def update(self, codes: npt.NDArray[np.integer[Any]]) -> None:
        """Counts a batch of codes, `(n, *code_shape)`; −1 is no code."""
        self.code_shape = codes.shape[1:]
        columns = codes.reshape(-1, len(self._counts)).T
        for counts, indices in zip(self._counts, columns, strict=True):
            counts.add(indices[indices >= 0])

    def result(self) -> dict[str, float]:
        """Usage, perplexity and entropy, each the mean over the depths."""
        found = [counts.found() for counts in self._counts]
        entropies = [_entropy_bits(times) for times in found]
        shares = [len(times) / one.size for times, one in zip(found, self._counts, strict=True)]
        return {
            "codebook_usage": float(np.mean(shares)),
            "perplexity": float(np.mean(np.exp2(entropies))),
            "code_entropy_bits": float(np.mean(entropies)),
        }


class _Counts:
    """How often each of `size` codes occurs; of many codes those alone that do are kept."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._all = np.zeros(size, np.int64) if size <= _MOST_COUNTERS else None
        self._some: Counter[int] = Counter()

    def add(self, indices: npt.NDArray[np.integer[Any]]) -> None:
        if self._all is not None:
            self._all += np.bincount(indices, minlength=self.size)
            return
        codes, times = np.unique(indices, return_counts=True)
        self._some.update(dict(zip(codes.tolist(), times.tolist(), strict=True)))

    def found(self) -> npt.NDArray[np.int64]:
        """The numbers above 0."""
        if self._all is not None:
            return self._all[self._all > 0]
        return np.array(list(self._some.values()), np.int64)


def _entropy_bits(counts: npt.NDArray[np.int64]) -> float:
    p = counts / counts.sum()
    # `+ 0.0` turns the −0.0 of a single code into 0.
    return float(-np.sum(p * np.log2(p))) + 0.0
