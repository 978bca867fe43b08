"""The inverse of a cumulative distribution."""

import math
from typing import Any

import numpy as np
from keras import ops

__all__ = ["invert_cumulative"]


def invert_cumulative(weights: Any, uniforms: Any) -> Any:
    """The index where the running sum of a row's weights first passes a share of their sum.

    In two levels, blocks of about √K weights and then those of one block, with sums that a compiler
    fuses: compiled, a running sum over all K would be the slowest part of drawing a code.

    Args:
        weights: float32 `(batch, K)`, not negative; their sum needs not be 1.
        uniforms: float32 `(batch,)` in [0, 1), the shares.

    Returns:
        int32 `(batch,)`, never an index of weight 0.

    Example:
    >>> import numpy as np
    >>> int(invert_cumulative(np.float32([[0.5, 0.0, 0.5]]), np.float32([0.7]))[0])
    2
    """
    count = weights.shape[-1]
    size = 1 << math.ceil(math.log2(count) / 2)
    blocks = -(-count // size)
    padded = ops.pad(weights, [(0, 0), (0, blocks * size - count)])
    blocked = ops.reshape(padded, (-1, blocks, size))
    sums = ops.sum(blocked, axis=-1)
    upto = _running_sum(sums)
    target = ops.expand_dims(uniforms, -1) * ops.max(upto, axis=-1, keepdims=True, initial=0.0)
    block = _first_past(target, upto, sums)
    here = ops.cast(ops.arange(blocks, dtype="int32") == block, "float32")
    inner = ops.sum(ops.expand_dims(here, -1) * blocked, axis=1)
    before = ops.sum(here * (upto - sums), axis=-1, keepdims=True)
    return (block * size + _first_past(target, before + _running_sum(inner), inner))[:, 0]


def _running_sum(x: Any) -> Any:
    """Along the last axis, which is short: every sum by itself, which a compiler fuses."""
    count = x.shape[-1]
    return ops.sum(ops.expand_dims(x, -1) * np.triu(np.ones((count, count), "float32")), axis=-2)


def _first_past(target: Any, upto: Any, weights: Any) -> Any:
    """`(batch, 1)`: the first index of positive weight where `upto` is above the target.

    Sums that are rounded one by one may pass the target at a weight of 0, or nowhere: then the last
    index of positive weight is meant. (With
    `initial`, batches without rows are taken too.)
    """
    index = ops.arange(weights.shape[-1], dtype="int32")
    last = ops.max(ops.where(weights > 0, index, 0), axis=-1, keepdims=True, initial=0)
    past = ops.logical_and(weights > 0, upto > target)
    return ops.min(ops.where(past, index, last), axis=-1, keepdims=True, initial=index.shape[0] - 1)
