"""Perplexity and usage of a codebook, over a whole epoch."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vqvae.checks import check_count
from keras_vqvae.choices import PACKAGE
from keras_vqvae.compilation import is_concrete
from keras_vqvae.ops import code_counts, codebook_usage, perplexity

__all__ = ["CodeStatistics"]


@keras.saving.register_keras_serializable(PACKAGE)
class CodeStatistics(keras.metrics.Metric):
    """Perplexity and usage of the codes seen since the last reset.

    The counts are added up over batches and the figures come from their sum. An average of batch
    perplexities depends on the batch size, and is far too low for large tables: a batch of 256
    vectors cannot show 512 codes.

    `result()` gives two figures:

    - `perplexity`: `exp(−Σ p log p)`, in [1, K]; K if all codes are used alike.
    - `codebook_usage`: the share of the K codes that occurred, in [0, 1].

    Args:
        num_embeddings: K, the number of codes, at least 1.
        prefix: put before the names of the figures, such as `"quantizer_1/"`.
        name: the metric's name.
        **kwargs: as for `keras.metrics.Metric`.

    Example:
    >>> import numpy as np
    >>> metric = CodeStatistics(num_embeddings=4)
    >>> metric.update_state(np.array([[0, 1], [1, 0]]))
    >>> {key: round(float(value), 4) for key, value in metric.result().items()}
    {'perplexity': 2.0, 'codebook_usage': 0.5}
    """

    def __init__(
        self,
        num_embeddings: int,
        prefix: str = "",
        name: str = "code_statistics",
        **kwargs: Any,
    ) -> None:
        num_embeddings = check_count("num_embeddings", num_embeddings)
        super().__init__(name=name, **kwargs)
        self.num_embeddings = num_embeddings
        self.prefix = prefix
        self.counts = self.add_weight(
            name="counts", shape=(num_embeddings,), initializer="zeros", dtype="float32"
        )

    def update_state(self, indices: Any, sample_weight: Any = None) -> None:
        """Counts indices of any shape; −1 (masked) is passed over.

        Args:
            indices: integers in [−1, K). In compiled code, which cannot raise, others are not
                looked at.
            sample_weight: how many times each counts, of the shape of `indices`. Defaults to 1.

        Raises:
            ValueError: for indices out of range.
        """
        if is_concrete(indices):
            found = np.asarray(ops.convert_to_numpy(indices))
            if found.size and (found.min() < -1 or found.max() >= self.num_embeddings):
                raise ValueError(
                    f"`indices` of '{self.name}' should be in [-1, {self.num_embeddings}). "
                    f"Received: values in [{found.min()}, {found.max()}]"
                )
        self.counts.assign_add(code_counts(indices, self.num_embeddings, sample_weight))

    def result(self) -> dict[str, Any]:
        counts = ops.convert_to_tensor(self.counts)
        return {
            f"{self.prefix}perplexity": perplexity(counts),
            f"{self.prefix}codebook_usage": codebook_usage(counts),
        }

    def get_config(self) -> dict[str, Any]:
        config = {"num_embeddings": self.num_embeddings, "prefix": self.prefix}
        return {**super().get_config(), **config}
