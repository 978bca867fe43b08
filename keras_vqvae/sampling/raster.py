"""The sampling loop: code by code, row by row, compiled as one."""

from typing import Any, Protocol

import numpy as np
from keras import ops

from keras_vqvae.sampling.strategies import Sampler

__all__ = ["StepwiseModel", "draw_uniforms", "sample_raster"]


class StepwiseModel(Protocol):
    """What the loop needs of a prior."""

    def start_row(self, state: Any, row: Any) -> Any:
        """What can be computed before the first code of a row."""

    def step(self, state: Any, row: Any, column: Any) -> tuple[Any, Any]:
        """Logits `(batch, K)` of the code at a position, given those written so far."""

    def write(self, codes: Any, state: Any, row: Any, column: Any) -> Any:
        """Takes note of the codes `(batch,)` at a position."""


def sample_raster(
    model: StepwiseModel,
    state: Any,
    uniforms: Any,
    given: Any,
    sampler: Sampler,
    settings: dict[str, Any],
) -> Any:
    """Draws a grid of codes in raster order.

    Args:
        model: the prior, step by step.
        state: its state before the first position.
        uniforms: float32 `(batch, height, width)` in [0, 1), one for each code.
        given: int32 `(batch, height, width)`: codes to keep, −1 where to draw.
        sampler: the strategy.
        settings: the strategy's settings, as numbers or tensors.

    Returns:
        int32 `(batch, height, width)`.
    """
    batch, height, width = uniforms.shape

    def at(grid: Any, row: Any, column: Any) -> Any:
        return ops.slice(grid, (0, row, column), (batch, 1, 1))[:, 0, 0]

    def position(row: Any, column: Any, carry: Any) -> Any:
        codes, state = carry
        logits, state = model.step(state, row, column)
        drawn = sampler.draw(logits, at(uniforms, row, column), settings)
        kept = at(given, row, column)
        code = ops.where(kept >= 0, kept, drawn)
        codes = ops.slice_update(codes, (0, row, column), code[:, None, None])
        return codes, model.write(code, state, row, column)

    def whole_row(row: Any, carry: Any) -> Any:
        codes, state = carry
        carry = (codes, model.start_row(state, row))
        return ops.fori_loop(0, width, lambda column, carry: position(row, column, carry), carry)

    codes = ops.zeros((batch, height, width), "int32")
    return ops.fori_loop(0, height, whole_row, (codes, state))[0]


def draw_uniforms(seed: int, first: int, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """One uniform number for each code of samples `first` to `first + count − 1`.

    Each sample has a generator of its own, keyed by the seed and the sample's index. So a sample
    does not depend on how the work is split into batches, nor on the backend: their own generators
    differ between compiled and plain code.

    Returns:
        float32 `(count, *shape)` in [0, 1).

    Example:

    >>> alone, among = draw_uniforms(7, 2, 1, (2, 2)), draw_uniforms(7, 0, 4, (2, 2))
    >>> bool((alone[0] == among[2]).all())
    True
    """
    samples = [
        np.random.Generator(np.random.Philox(key=[seed, index])).random(shape, dtype="float32")
        for index in range(first, first + count)
    ]
    return np.stack(samples) if samples else np.zeros((0, *shape), "float32")
