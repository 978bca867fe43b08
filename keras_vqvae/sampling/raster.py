"""The sampling loop: code by code, row by row, compiled as one."""

from typing import Any, Protocol

from keras import ops

from keras_vqvae.sampling.strategies import Sampler

__all__ = ["StepwiseModel", "sample_raster"]


class StepwiseModel(Protocol):
    """What the loop needs of a prior.

    With one code a position it is `start_row`, `step` and `write`; `next_depth` only where a
    position has several, which are drawn in order before all of them are written.
    """

    def start_row(self, state: Any, row: Any) -> Any:
        """What can be computed before the first code of a row."""

    def step(self, state: Any, row: Any, column: Any) -> tuple[Any, Any]:
        """Logits `(batch, K)` of the (first) code at a position, given those written so far."""

    def next_depth(self, codes: Any, state: Any, depth: int) -> tuple[Any, Any]:
        """Logits `(batch, K)` of code `depth` at a position, given `codes` `(batch,)` before it."""

    def write(self, codes: Any, state: Any, row: Any, column: Any) -> Any:
        """Takes note of the codes at a position: `(batch,)`, or `(batch, Q)` where there are Q."""


def sample_raster(
    model: StepwiseModel,
    state: Any,
    uniforms: Any,
    given: Any,
    sampler: Sampler,
    settings: dict[str, Any],
) -> Any:
    """Draws a grid of codes in raster order, and at a position in order of depth.

    Args:
        model: the prior, step by step.
        state: its state before the first position.
        uniforms: float32 `(batch, height, width)` in [0, 1), or `(batch, height, width, Q)`: one
            for each code.
        given: int32 of the same shape: codes to keep, −1 where to draw.
        sampler: the strategy.
        settings: the strategy's settings, as numbers or tensors.

    Returns:
        int32 of the same shape.
    """
    batch, height, width, *depths = uniforms.shape

    def at(grid: Any, row: Any, column: Any) -> Any:
        start, size = (0, row, column, *(0 for _ in depths)), (batch, 1, 1, *depths)
        return ops.slice(grid, start, size)[:, 0, 0]

    def choose(logits: Any, uniforms: Any, kept: Any) -> Any:
        return ops.where(kept >= 0, kept, sampler.draw(logits, uniforms, settings))

    def position(row: Any, column: Any, carry: Any) -> Any:
        codes, state = carry
        u, kept = at(uniforms, row, column), at(given, row, column)
        logits, state = model.step(state, row, column)
        if not depths:
            here = choose(logits, u, kept)
        else:
            drawn = [choose(logits, u[:, 0], kept[:, 0])]
            for depth in range(1, depths[0]):
                logits, state = model.next_depth(drawn[-1], state, depth)
                drawn.append(choose(logits, u[:, depth], kept[:, depth]))
            here = ops.stack(drawn, axis=-1)
        start = (0, row, column, *(0 for _ in depths))
        codes = ops.slice_update(codes, start, here[:, None, None])
        return codes, model.write(here, state, row, column)

    def whole_row(row: Any, carry: Any) -> Any:
        codes, state = carry
        carry = (codes, model.start_row(state, row))
        return ops.fori_loop(0, width, lambda column, carry: position(row, column, carry), carry)

    codes = ops.zeros(uniforms.shape, "int32")
    return ops.fori_loop(0, height, whole_row, (codes, state))[0]
