"""Logs of the probability that a continuous variable falls into the bin of one grey level.

A difference of two cumulative probabilities loses its digits where they are close: in the tails, in
narrow bins, and near 1. Here each is written so that no nearly equal numbers are subtracted, and
all digits of float32 hold for any scale and distance, in values and in gradients.
"""

from typing import Any

import numpy as np
from keras import ops

__all__ = ["log_logistic_bin", "log_normal_bin", "log_normal_cdf", "log_one_minus_exp"]

_LOG_2 = float(np.log(2.0))
_LOG_SQRT_2_PI = float(0.5 * np.log(2.0 * np.pi))

# log(Q(x) e^(x²/2)) − log t with Q the upper tail of the normal and t = 1 / (1 + 0.3 x), as a
# polynomial in t: fitted by least squares at Chebyshev points of (0, 1], which is all of x ≥ 0. It
# is 2.3e-8 off at the most, less than float32 can tell.
_TAIL_RATE = 0.3
_TAIL_COEFFICIENTS = (
    -2.12291131,
    0.999993817,
    0.410278282,
    0.148463622,
    0.0437054317,
    -0.302822144,
    0.614370394,
    -1.41235063,
    1.58032543,
    -0.812595839,
    0.160395788,
)

# Half of the six points and weights of Gauss and Legendre: the other half mirrors it.
_POINTS, _WEIGHTS = (half[3:].tolist() for half in np.polynomial.legendre.leggauss(6))


def log_one_minus_exp(x: Any) -> Any:
    """`log(1 − e^−x)` for x > 0, elementwise, to all digits near 0 and far out.

    Example:
    >>> round(float(log_one_minus_exp(1e-3)), 4)
    -6.9083
    >>> round(-1e9 * float(log_one_minus_exp(20.0)), 4)
    2.0612
    """
    x = ops.convert_to_tensor(x)
    near = ops.log(-ops.expm1(-x))
    # What is not chosen must be finite too: its gradient is multiplied by 0.
    far = ops.log1p(-ops.exp(-ops.maximum(x, _LOG_2)))
    return ops.where(x < _LOG_2, near, far)


def log_logistic_bin(distance: Any, scale: Any, lowest: Any = False, highest: Any = False) -> Any:
    """`log P(x − ½ < X < x + ½)` for a logistic X, elementwise.

    With `a` and `b` the ends of the bin in units of the scale, the difference of sigmoids is a
    product, whose logs are all negative, so that nothing cancels:

    ```
    σ(b) − σ(a) = σ(b) σ(−a) (1 − e^−(b − a))
    ```

    Args:
        distance: float32, x − μ in bins.
        scale: float32, positive, in bins.
        lowest: bool, where the bin reaches to −∞.
        highest: bool, where the bin reaches to +∞.

    Returns:
        float32, in nats, as the arguments broadcast.

    Example:
    >>> round(float(log_logistic_bin(0.0, 0.5)), 4)  # log(σ(1) − σ(−1))
    -0.7719
    """
    below = ops.log_sigmoid((distance + 0.5) / scale)
    above = ops.log_sigmoid((0.5 - distance) / scale)
    inside = below + above + log_one_minus_exp(1.0 / scale)
    return ops.where(lowest, below, ops.where(highest, above, inside))


def log_normal_cdf(x: Any) -> Any:
    """`log Φ(x)`, elementwise, to all digits in both tails.

    Example:
    >>> round(float(log_normal_cdf(-20.0)), 4)
    -203.9172
    """
    x = ops.convert_to_tensor(x)
    tail = _log_upper_tail(_magnitude(x))
    return ops.where(x < 0.0, tail, ops.log1p(-ops.exp(tail)))


def log_normal_bin(distance: Any, scale: Any, lowest: Any = False, highest: Any = False) -> Any:
    """`log P(x − ½ < X < x + ½)` for a normal X, elementwise.

    With the bin from `m − h` to `m + h` in units of the scale, m ≥ 0 by symmetry, and Q the upper
    tail, there are three cases:

    ```
    narrow, h ≤ ½ and m h ≤ 1    φ(m) 2h ∫₀¹ e^(−h²v²/2) cosh(m h v) dv, by Gauss and Legendre
    wide, around the mean        1 − Q(h − m) − Q(h + m)
    else                         Q(m − h) − Q(m + h) = Q(m − h) (1 − e^−δ)
    ```

    where δ is `2 m h` plus the log of the ratio of the tails' slowly varying parts.

    Args:
        distance: float32, x − μ in bins.
        scale: float32, positive, in bins.
        lowest: bool, where the bin reaches to −∞.
        highest: bool, where the bin reaches to +∞.

    Returns:
        float32, in nats, as the arguments broadcast.

    Example:
    >>> round(float(log_normal_bin(0.0, 0.5)), 4)  # log(Φ(1) − Φ(−1))
    -0.3817
    """
    distance, half = ops.convert_to_tensor(distance), ops.convert_to_tensor(0.5 / scale)
    middle = ops.abs(distance) / scale
    near, far = middle - half, middle + half
    is_narrow = ops.logical_and(half <= 0.5, middle * half <= 1.0)

    product = ops.where(is_narrow, middle * half, 0.0)
    square = ops.square(ops.where(is_narrow, half, 0.5))
    mean_ratio = sum(
        weight * ops.exp(-0.5 * point**2 * square) * ops.cosh(point * product)
        for point, weight in zip(_POINTS, _WEIGHTS, strict=True)
    )
    narrow = ops.log(2.0 * half) - _LOG_SQRT_2_PI - 0.5 * ops.square(middle) + ops.log(mean_ratio)

    beside = _magnitude(near)
    log_near, log_far = _log_upper_tail(beside), _log_upper_tail(far)
    # Where these are chosen the bounds are never met: they keep the others' gradients finite.
    outside = ops.minimum(ops.exp(log_near) + ops.exp(log_far), 0.75)
    wide = ops.log1p(-outside)
    decay = 2.0 * middle * half + _log_tail_ratio(beside) - _log_tail_ratio(far)
    tail = log_near + log_one_minus_exp(ops.maximum(decay, 0.5))

    inside = ops.where(is_narrow, narrow, ops.where(near < 0.0, wide, tail))
    at_end = log_normal_cdf(ops.where(lowest, 0.5 + distance, 0.5 - distance) / scale)
    return ops.where(ops.logical_or(lowest, highest), at_end, inside)


def _magnitude(x: Any) -> Any:
    """`|x|`, with the gradient from above at 0, where that of `ops.abs` is 0."""
    return ops.where(x < 0.0, -x, x)


def _log_tail_ratio(x: Any) -> Any:
    """`log(Q(x) e^(x²/2))` for x ≥ 0: what is left of the tail's log without its parabola."""
    t = 1.0 / (1.0 + _TAIL_RATE * x)
    polynomial = ops.zeros_like(t)
    for coefficient in reversed(_TAIL_COEFFICIENTS):
        polynomial = polynomial * t + coefficient
    return ops.log(t) + polynomial


def _log_upper_tail(x: Any) -> Any:
    """`log Q(x)` for x ≥ 0."""
    return _log_tail_ratio(x) - 0.5 * ops.square(x)
