"""What an image costs under a quantized model, in bits per dimension, and keeping it."""

import math
from typing import Any

from keras_vqvae.runs.directory import STAGES


def image_prices(
    vqvae: dict[str, Any], prior: dict[str, Any] | None, image_shape: tuple[int, ...]
) -> dict[str, float]:
    """The prices of codes, of images given their codes, and of both.

    Args:
        vqvae: figures as of `evaluation.evaluate_vqvae`.
        prior: figures as of `evaluation.evaluate_prior`, `None` without a prior.
        image_shape: `(height, width, channels)`.

    Returns:
        `codes_uniform` (all codes equally likely), `codes_histogram` (each by how often it occurs)
        and, with a prior, `codes_prior`; where the likelihood gives the images a probability also
        `reconstruction`, and `total_uniform`, `total_histogram`, `total_prior`.

    Example:
    >>> figures = {"code_bits_per_dimension": 0.5, "code_entropy_bits_per_dimension": 0.25}
    >>> image_prices({**figures, "reconstruction_bits_per_dimension": 3.0}, None, (8, 8, 1))
    ... # doctest: +NORMALIZE_WHITESPACE
    {'codes_uniform': 0.5, 'codes_histogram': 0.25, 'reconstruction': 3.0,
     'total_uniform': 3.5, 'total_histogram': 3.25}
    """
    prices: dict[str, float] = {
        "codes_uniform": vqvae["code_bits_per_dimension"],
        "codes_histogram": vqvae["code_entropy_bits_per_dimension"],
    }
    if prior is not None:
        prices["codes_prior"] = prior["bits_per_image"] / math.prod(image_shape)
    reconstruction = vqvae.get("reconstruction_bits_per_dimension")
    if reconstruction is None:
        return prices
    totals = {k.replace("codes", "total"): reconstruction + v for k, v in prices.items()}
    return {**prices, "reconstruction": reconstruction, **totals}


def with_figures(
    metrics: dict[str, Any], figures: dict[str, Any], images: str, image_shape: tuple[int, ...]
) -> dict[str, Any]:
    """What `metrics.json` is to hold when stages have been evaluated, with the prices of both.

    Args:
        metrics: what it holds.
        figures: as `Run.evaluate` gives them, of one stage or both.
        images: the fingerprint of the images that they are of.
        image_shape: `(height, width, channels)`.
    """
    groups = {
        stage: {**metrics.get(stage, {}), **figures[stage]} for stage in STAGES if stage in figures
    }
    found = {**metrics, **groups, "evaluated_on": figures["part"], "evaluated_images": images}
    if {"vqvae", "prior"} <= set(found):  # the evaluation of the first may come last
        found["bits_per_dimension"] = image_prices(found["vqvae"], found["prior"], image_shape)
    return found
