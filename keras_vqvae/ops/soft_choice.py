"""A choice out of K by scores: the hard code forward, the gradient of the soft one backward."""

from typing import Any

from keras import ops

__all__ = ["categorical_entropy", "with_soft_gradient"]


def categorical_entropy(logits: Any) -> Any:
    """The entropy of `softmax(logits)` in nats: float32 `(N, K)` to `(N,)`.

    Example:
    >>> import numpy as np
    >>> np.asarray(categorical_entropy(np.zeros((1, 4), "float32"))).round(4)  # log 4
    array([1.3863], dtype=float32)
    """
    log_p = ops.log_softmax(logits, axis=-1)
    return -ops.sum(ops.exp(log_p) * log_p, axis=-1)


def with_soft_gradient(codes: Any, probabilities: Any, table: Any) -> Any:
    """`codes`, with the gradients of `(onehot + p − sg(p)) · table`.

    That is the one-hot choice forward and the softmax backward. The value is a lookup, equal to
    `codes` to the last bit; through it the gradient reaches the chosen rows of the table, and
    through the second term `p`.

    Args:
        codes: float32 `(N, D)`, rows of `table` as a lookup gives them.
        probabilities: float32 `(N, K)`.
        table: float32 `(K, D)`.

    Returns:
        float32 `(N, D)`.

    References:
        - [Scalable Image Tokenization with Index Backpropagation
          Quantization](https://arxiv.org/abs/2412.02692), §3.2
    """
    soft = ops.matmul(probabilities, ops.stop_gradient(table))
    return codes + (soft - ops.stop_gradient(soft))
