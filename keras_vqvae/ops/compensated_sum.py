"""Long sums in float32 that lose nothing."""

from typing import Any

from keras import ops

__all__ = ["two_sum"]


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """The sum of two float32 tensors, and what rounding took from it.

    ```
    s = fl(a + b),  t = s − a,  rest = (a − (s − t)) + (b − t)        s + rest = a + b exactly
    ```

    A running sum that keeps the rest beside it stays right to the last bits, however many small
    numbers are added to a large one.

    Returns:
        `(s, rest)`, float32, of the broadcast shape; the rest of a sum that is not finite is 0.

    Example:
    >>> s, rest = two_sum(2.0**25, 1.0)
    >>> float(s) - 2.0**25, float(rest)
    (0.0, 1.0)

    References:
        - D. E. Knuth, The Art of Computer Programming, volume 2, §4.2.2, theorem B
    """
    a, b = ops.cast(a, "float32"), ops.cast(b, "float32")
    s = a + b
    t = s - a
    return s, ops.where(ops.isfinite(s), (a - (s - t)) + (b - t), 0.0)
