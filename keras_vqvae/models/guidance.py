"""Classifier-free guidance: a conditional prior pushed away from the unconditional one."""

from typing import Any

from keras import ops

__all__ = ["Guided"]


class Guided:
    """A prior seen by the sampling loop, whose state holds each sample twice.

    The first half of the state's batch is conditioned, the second is not. The logits are
    `u + scale · (c − u)`: scale 1 is the conditional prior, 0 the unconditional one, and more than
    1 overdoes the condition.

    Args:
        prior: the prior, step by step; `sampling.StepwiseModel`.
        scale: a number or scalar tensor.

    References:
        - [Classifier-Free Diffusion Guidance](https://arxiv.org/abs/2207.12598)
    """

    def __init__(self, prior: Any, scale: Any) -> None:
        self.prior = prior
        self.scale = scale

    def start_row(self, state: Any, row: Any) -> Any:
        return self.prior.start_row(state, row)

    def step(self, state: Any, row: Any, column: Any) -> tuple[Any, Any]:
        logits, state = self.prior.step(state, row, column)
        return self._combined(logits), state

    def next_depth(self, codes: Any, state: Any, depth: int) -> tuple[Any, Any]:
        logits, state = self.prior.next_depth(_twice(codes), state, depth)
        return self._combined(logits), state

    def write(self, codes: Any, state: Any, row: Any, column: Any) -> Any:
        return self.prior.write(_twice(codes), state, row, column)

    def _combined(self, logits: Any) -> Any:
        conditional, unconditional = ops.split(ops.cast(logits, "float32"), 2, axis=0)
        return unconditional + self.scale * (conditional - unconditional)


def _twice(codes: Any) -> Any:
    return ops.concatenate([codes, codes], axis=0)
