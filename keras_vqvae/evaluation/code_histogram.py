"""How codes are used, counted batch by batch."""

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CodeHistogram"]


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
        self._counts = [np.zeros(size, np.int64) for size in sizes]
        self.code_shape: tuple[int, ...] = ()

    def update(self, codes: npt.NDArray[np.integer[Any]]) -> None:
        """Counts a batch of codes, `(n, *code_shape)`; −1 is no code."""
        self.code_shape = codes.shape[1:]
        columns = codes.reshape(-1, len(self._counts)).T
        for counts, indices in zip(self._counts, columns, strict=True):
            counts += np.bincount(indices[indices >= 0], minlength=len(counts))

    def result(self) -> dict[str, float]:
        """Usage, perplexity and entropy, each the mean over the depths."""
        entropies = [_entropy_bits(counts) for counts in self._counts]
        return {
            "codebook_usage": float(np.mean([np.mean(counts > 0) for counts in self._counts])),
            "perplexity": float(np.mean(np.exp2(entropies))),
            "code_entropy_bits": float(np.mean(entropies)),
        }


def _entropy_bits(counts: npt.NDArray[np.int64]) -> float:
    p = counts[counts > 0] / counts.sum()
    # `+ 0.0` turns the −0.0 of a single code into 0.
    return float(-np.sum(p * np.log2(p))) + 0.0
