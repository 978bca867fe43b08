"""How many samples are compared with real images."""

from keras_vqvae.data import ImageSource

# At most, unless another number is asked for.
MOST_SAMPLES = 10_000


def check_samples(samples: int | None) -> None:
    """Raises a ValueError for a number of samples below 0."""
    if samples is not None and samples < 0:
        raise ValueError(f"`samples` should be at least 0. Received: samples={samples}")


def sample_count(samples: int | None, source: ImageSource) -> int:
    """The number that was asked for; by default as many as there are images, 10 000 at most."""
    return min(len(source), MOST_SAMPLES) if samples is None else samples
