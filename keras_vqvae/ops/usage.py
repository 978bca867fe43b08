"""Which codes are used, and how evenly."""

from typing import Any

from keras import ops

from keras_vqvae.ops.histogram import histogram

__all__ = ["code_counts", "code_sums", "codebook_usage", "entropy", "perplexity"]


def code_counts(indices: Any, num_embeddings: int, weights: Any = None) -> Any:
    """How often each code occurs.

    Args:
        indices: integer tensor of any shape; −1 (a masked position) is not counted.
        num_embeddings: the number of codes K.
        weights: float tensor of the shape of `indices`, what each occurrence counts. Defaults to 1.

    Returns:
        float32 tensor `(K,)`.

    Example:
    >>> import numpy as np
    >>> np.asarray(code_counts(np.array([[0, 2], [2, -1]]), 3))
    array([1., 0., 2.], dtype=float32)
    """
    indices = ops.reshape(ops.cast(indices, "int32"), (-1,))
    if weights is not None:
        weights = ops.reshape(ops.cast(weights, "float32"), (-1,))
    # Bin 0 is for what is not counted.
    return histogram(ops.maximum(indices + 1, 0), num_embeddings + 1, weights)[1:]


def code_sums(vectors: Any, indices: Any, num_embeddings: int, weights: Any = None) -> Any:
    """The sum of the vectors of each code: float `(N, D)` and int `(N,)` to float32 `(K, D)`.

    An index of −1, of a masked position, should have the weight 0.
    """
    vectors = ops.cast(vectors, "float32")
    if weights is not None:
        vectors = vectors * ops.expand_dims(ops.cast(weights, "float32"), -1)
    # `segment_sum` does the same, slower on a CPU with TensorFlow.
    rows = ops.expand_dims(ops.maximum(ops.cast(indices, "int32"), 0), -1)
    return ops.scatter(rows, vectors, (num_embeddings, vectors.shape[-1]))


def entropy(counts: Any) -> Any:
    """The entropy of the distribution that `counts` `(..., K)` is proportional to, in nats.

    Counts may be fractions, or shares. Zero where nothing was counted.
    """
    counts = ops.cast(counts, "float32")
    total = ops.sum(counts, axis=-1, keepdims=True)
    shares = counts / ops.where(total > 0, total, 1.0)
    logs = ops.log(ops.where(shares > 0, shares, 1.0))
    return -ops.sum(shares * logs, axis=-1)


def perplexity(counts: Any) -> Any:
    """`exp(entropy)`: the number of codes in even use that would be as uncertain; in [1, K].

    Example:
    >>> import numpy as np
    >>> round(float(perplexity(np.array([5.0, 5.0, 0.0]))), 4)
    2.0
    """
    return ops.exp(entropy(counts))


def codebook_usage(counts: Any) -> Any:
    """The share of the codes that occur at all, in [0, 1]."""
    return ops.mean(ops.cast(ops.cast(counts, "float32") > 0, "float32"), axis=-1)
