"""How many depths, or scales, of a quantizer a training step uses."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.checks import check_count, check_share
from keras_vqvae.choices import PACKAGE, Choice
from keras_vqvae.ops import random_uniform

__all__ = ["QuantizeDropout", "get_quantize_dropout"]


@keras.saving.register_keras_serializable(PACKAGE)
class QuantizeDropout(Choice):
    """Uses the first n depths of a residual quantizer, n drawn anew in each training step.

    With probability `rate`, n is uniform on `minimum`, …, Q, and rounded up to a multiple of
    `multiple_of`; else it is Q. So one model serves many bit rates. Of `MultiScaleVectorQuantizer`
    it is the first n scales of Q.

    Args:
        per: `"batch"`, one n for all, or `"sample"`, one for each entry of the first axis. Defaults
            to `"batch"`.
        minimum: the least number of depths. Defaults to `1`.
        multiple_of: n is a multiple of this (or Q). Defaults to `1`.
        rate: how often n is drawn at all, in (0, 1]. Defaults to `1.0`.

    References:
        - [SoundStream](https://arxiv.org/abs/2107.03312), §III-C
        - [Improved RVQGAN](https://arxiv.org/abs/2306.06546), per sample, at a rate of 0.5
    """

    def __init__(
        self, per: str = "batch", minimum: int = 1, multiple_of: int = 1, rate: float = 1.0
    ) -> None:
        if per not in ("batch", "sample"):
            raise ValueError(f"`per` should be 'batch' or 'sample'. Received: per={per!r}")
        self.per = per
        self.minimum = check_count("minimum", minimum)
        self.multiple_of = check_count("multiple_of", multiple_of)
        self.rate = check_share("rate", rate, "(0, 1]")

    def check(self, count: int, unit: str) -> None:
        """Refuses more depths (or scales: `unit`) than there are, and steps that are larger."""
        if self.minimum > count:
            raise ValueError(
                f"`minimum` of the dropout should be at most {count}, the number of {unit}. "
                f"Received: minimum={self.minimum}"
            )
        if self.multiple_of > count:
            raise ValueError(
                f"`multiple_of` of the dropout should be at most {count}, the number of {unit}, or "
                f"nothing is ever dropped. Received: multiple_of={self.multiple_of}"
            )

    def draw(self, shape: Any, count: int, seed: Any) -> Any:
        """The n ≤ `count` of each position: int32 `(N,)` for positions of shape `shape`."""
        # One draw for each entry of the first axis, or one for all.
        size = tuple(shape[i] if self.per == "sample" and i == 0 else 1 for i in range(len(shape)))
        u = random_uniform(size, seed)
        # Below `rate`, a draw is itself uniform; above, it makes n too large.
        kept = self.minimum + ops.floor(u / self.rate * (count - self.minimum + 1))
        kept = ops.ceil(kept / self.multiple_of) * self.multiple_of
        kept = ops.cast(ops.minimum(kept, float(count)), "int32")
        return ops.reshape(ops.broadcast_to(kept, shape), (-1,))

    def get_config(self) -> dict[str, Any]:
        return {
            "per": self.per,
            "minimum": self.minimum,
            "multiple_of": self.multiple_of,
            "rate": self.rate,
        }


def get_quantize_dropout(identifier: Any) -> QuantizeDropout | None:
    """`None`, `"batch"`, `"sample"`, a config or an instance."""
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if identifier is None or isinstance(identifier, QuantizeDropout):
        return identifier
    if identifier in ("batch", "sample"):
        return QuantizeDropout(per=identifier)
    raise ValueError(
        "`dropout` should be `None`, 'batch', 'sample' or `QuantizeDropout(...)`. "
        f"Received: dropout={identifier!r}"
    )
