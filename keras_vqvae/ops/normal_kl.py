"""Divergence of normal distributions from the standard one."""

from typing import Any

from keras import ops

__all__ = ["normal_kl"]


def normal_kl(mean: Any, log_variance: Any) -> Any:
    """`KL(N(μ, σ²) ‖ N(0, 1)) = ½ (μ² + σ² − 1 − log σ²)`, elementwise, in nats.

    Example:
    >>> float(normal_kl(1.0, 0.0))
    0.5
    """
    # expm1 keeps the digits of σ² − 1 where σ is near 1.
    return 0.5 * (ops.square(mean) + ops.expm1(log_variance) - log_variance)
