"""Entropies of codes made of bits, without the table of all codes."""

from typing import Any

from keras import ops

from keras_vqvae.ops.collectives import all_reduce_sum

__all__ = [
    "binary_entropy",
    "joint_of_bits",
    "mean_code_distribution",
    "mean_distribution_entropy",
]


def binary_entropy(logits: Any) -> Any:
    """The entropy `H_b(σ(a))` of a bit with log-odds `a`, in nats, elementwise.

    Written `log(1 + e^−|a|) + |a| σ(−|a|)`, which neither overflows nor loses small values.

    Example:
    >>> round(float(binary_entropy(0.0)), 4)  # log 2
    0.6931
    """
    a = ops.abs(ops.convert_to_tensor(logits))
    return ops.log1p(ops.exp(-a)) + a * ops.sigmoid(-a)


def joint_of_bits(probabilities: Any) -> Any:
    """The distribution of all values of independent bits; the first bit counts fastest.

    Args:
        probabilities: float32 `(N, b)`, that each bit is 1.

    Returns:
        float32 `(N, 2**b)`.

    Example:
    >>> import numpy as np
    >>> np.asarray(joint_of_bits(np.array([[1.0, 0.25]], "float32")))
    array([[0.  , 0.75, 0.  , 0.25]], dtype=float32)
    """
    joint = ops.ones((ops.shape(probabilities)[0], 1), "float32")
    for i in range(probabilities.shape[1]):
        p = probabilities[:, i : i + 1]
        joint = ops.concatenate([joint * (1.0 - p), joint * p], axis=-1)
    return joint


def mean_code_distribution(probabilities: Any, weights: Any = None) -> Any:
    """The mean over vectors of the distribution of their codes.

    A vector's distribution over its 2**b codes is the product of its bits' distributions. The mean
    of these products is computed as one matrix product of two halves of the bits, so that no array
    is larger than N × 2**⌈b/2⌉ or than the result. With several replicas it is the mean
    over the vectors of all.

    Args:
        probabilities: float32 `(N, b)`, that each bit is 1.
        weights: float32 `(N,)`, 0 for masked rows, or `None`.

    Returns:
        float32 `(2**b,)`, zeros if no row is valid; the first bit counts fastest.

    Example:
    >>> import numpy as np
    >>> np.asarray(mean_code_distribution(np.array([[1.0, 0.0], [1.0, 1.0]], "float32")))
    array([0. , 0.5, 0. , 0.5], dtype=float32)
    """
    probabilities = ops.convert_to_tensor(probabilities)
    half = probabilities.shape[1] // 2
    fast, slow = joint_of_bits(probabilities[:, :half]), joint_of_bits(probabilities[:, half:])
    if weights is None:
        count = ops.cast(ops.shape(probabilities)[0], "float32")
    else:
        fast = fast * ops.expand_dims(weights, -1)
        count = ops.sum(weights)
    total = all_reduce_sum(ops.matmul(ops.transpose(slow), fast))
    return ops.reshape(total / ops.maximum(all_reduce_sum(count), 1.0), (-1,))


def mean_distribution_entropy(probabilities: Any, group_bits: int, weights: Any = None) -> Any:
    """The entropy `H(E p)` of the mean distribution of codes, in nats.

    It is exact if all bits are in one group. Otherwise it is the sum of the groups' entropies: an
    upper bound, reached where groups are independent of one another.

    Args:
        probabilities: float32 `(N, d)`, that each bit is 1.
        group_bits: how many bits form a group; the cost grows with N · 2**group_bits.
        weights: float32 `(N,)`, 0 for masked rows, or `None`.

    Returns:
        A scalar; 0 if no row is valid.
    """
    total = ops.zeros((), "float32")
    for first in range(0, probabilities.shape[1], group_bits):
        p = mean_code_distribution(probabilities[:, first : first + group_bits], weights)
        # p log p → 0; the floor keeps the gradient of log finite where a code has no mass.
        total = total - ops.sum(p * ops.log(ops.maximum(p, 1e-20)))
    return total
