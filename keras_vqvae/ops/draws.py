"""Random numbers drawn on the host, the same on every backend and for every split into batches."""

from collections.abc import Iterator

import numpy as np

from keras_vqvae.checks import check_count

__all__ = ["draw_normals", "draw_uniforms"]


def draw_uniforms(
    seed: int, first: int, count: int, shape: tuple[int, ...], stream: int = 0
) -> np.ndarray:
    """Uniform numbers for samples `first` to `first + count − 1`.

    Each sample has a generator of its own, keyed by the seed and the sample's index. So a sample
    does not depend on how the work is split into batches, nor on the backend: their own generators
    differ between compiled and plain code.

    Args:
        seed: an integer in [0, 2⁶⁴).
        first: index of the first sample.
        count: how many samples.
        shape: of one sample's numbers.
        stream: which of the streams of a seed; codes are drawn from 0, pixels from 1, latents from
            2, the noise of bounds from 3 on, so that one seed for all does not tie them to one
            another.

    Returns:
        float32 `(count, *shape)` in [0, 1).

    Raises:
        ValueError: for a seed of another kind.

    Example:
    >>> alone, among = draw_uniforms(7, 2, 1, (2, 2)), draw_uniforms(7, 0, 4, (2, 2))
    >>> bool((alone[0] == among[2]).all())
    True
    """
    samples = [g.random(shape, dtype="float32") for g in _generators(seed, first, count, stream)]
    return np.stack(samples) if samples else np.zeros((0, *shape), "float32")


def draw_normals(
    seed: int, first: int, count: int, shape: tuple[int, ...], stream: int = 2
) -> np.ndarray:
    """Standard normal numbers, keyed as in `draw_uniforms`: float32 `(count, *shape)`.

    Example:
    >>> tuple(draw_normals(0, 0, 3, (2, 2)).shape)
    (3, 2, 2)
    """
    samples = [
        g.standard_normal(shape, dtype="float32") for g in _generators(seed, first, count, stream)
    ]
    return np.stack(samples) if samples else np.zeros((0, *shape), "float32")


def _generators(seed: int, first: int, count: int, stream: int) -> Iterator[np.random.Generator]:
    """The generator of each sample, to be used before the next one is asked for.

    It is one object with another key each time; making one for each would cost more than drawing.
    """
    seed = check_count("seed", seed, least=0, highest=2**64 - 1)
    # As a list, seeds of 2⁶³ and more would become floats.
    key = np.array([seed, first], np.uint64)
    bits = np.random.Philox(key=key, counter=[0, 0, 0, stream])
    generator, state = np.random.Generator(bits), bits.state
    for index in range(first, first + count):
        state["state"]["key"][1] = index
        bits.state = state
        yield generator
