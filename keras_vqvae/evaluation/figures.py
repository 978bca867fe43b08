"""Figures of a model on held-out images."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_vqvae.data import ImageBatches, ImageSource, load_images
from keras_vqvae.evaluation.code_histogram import CodeHistogram
from keras_vqvae.evaluation.reconstructions import Reconstructions

__all__ = ["evaluate_autoencoder", "evaluate_prior", "evaluate_vqvae"]


def evaluate_vqvae(
    model: Any, images: Any, batch_size: int = 128, verbose: int = 0
) -> dict[str, float]:
    """How well a VQ-VAE reconstructs images, and how it uses its codes.

    Images are read, encoded and decoded batch by batch, so a folder may be larger than memory.

    | figure | meaning |
    |---|---|
    | `mse` | mean squared error of the reconstructions, clipped, on the [0, 1] scale |
    | `psnr_db` | `−10 log10(mse)`, in decibels |
    | `codebook_usage` | share of the K codes that occurred, in [0, 1] |
    | `perplexity` | `exp` of the entropy of the codes' histogram, in [1, K] |
    | `code_entropy_bits` | that entropy in bits a code: what a code costs if each is coded alone |
    | `bits_per_image` | bits of an image's codes if all are equally likely |
    | `code_bits_per_dimension` | that, divided by height · width · channels of an image |
    | `code_entropy_bits_per_dimension` | bits of an image's codes by that entropy, divided so |
    | `reconstruction_bits_per_dimension` | of 8-bit images given their codes, by the likelihood |
    | `ssim`, `ms_ssim` | `metrics.SSIM`, `metrics.MultiScaleSSIM`, for images large enough |

    With several codes a position, usage, perplexity and entropy are means over the depths.

    Args:
        model: a built `models.VQVAE`.
        images: what `data.load_images` takes: an array in the model's `value_range`, a path, a
            name, an `ImageSource`.
        batch_size: images at one time. Defaults to `128`.
        verbose: 1 for a progress bar. Defaults to `0`.

    Returns:
        The figures by name, and `images`, how many there were.

    Raises:
        ValueError: for images of another shape or scale than the model's.

    Example:
    >>> from keras_vqvae import models
    >>> model = models.convolutional_vqvae((8, 8, 1), num_embeddings=4, widths=(4,))
    >>> figures = evaluate_vqvae(model, np.zeros((3, 8, 8, 1), "uint8"))
    >>> figures["images"], figures["bits_per_image"], figures["code_bits_per_dimension"]
    (3, 32.0, 0.5)
    """
    source, histogram = load_images(images), CodeHistogram(model)
    figures = _reconstruct(model, source, batch_size, verbose, histogram.update)
    figures |= histogram.result()
    numbers = math.prod(source.image_shape)
    code_shape = histogram.code_shape  # of these images: a model may take any size
    bits = float(math.prod(code_shape[:2]) * model.quantizer.uniform_bits_per_position)
    entropy = figures["code_entropy_bits"] * math.prod(code_shape)
    return {
        **figures,
        "bits_per_image": bits,
        "code_bits_per_dimension": bits / numbers,
        "code_entropy_bits_per_dimension": entropy / numbers,
    }


def evaluate_autoencoder(
    model: Any, images: Any, samples: int = 1, batch_size: int = 128, verbose: int = 0
) -> dict[str, float]:
    """How well an autoencoder or a VAE reconstructs images, and what they cost in bits.

    | figure | meaning |
    |---|---|
    | `mse`, `psnr_db`, `ssim`, `ms_ssim` | as of `evaluate_vqvae`; a VAE decodes the mean |
    | `reconstruction_bits_per_dimension` | of 8-bit images given `encode(x)` |
    | `bits_per_dimension` | of a VAE: the negative evidence lower bound, with one sample |
    | `latent_bits_per_dimension` | of a VAE: the part of it that the divergence is |
    | `importance_weighted_bits_per_dimension` | of a VAE: the bound with `samples` samples |

    Args:
        model: a built `models.Autoencoder` or `models.VAE`.
        images: as for `evaluate_vqvae`.
        samples: of the importance-weighted bound; with 1, the default, it is left out.
        batch_size: images at one time. Defaults to `128`.
        verbose: 1 for a progress bar. Defaults to `0`.

    Returns:
        The figures by name, and `images`, how many there were. Bits are left out for a likelihood
        that gives these images no probability.

    Raises:
        ValueError: for images of another shape or scale than the model's.

    Example:
    >>> from keras_vqvae import models
    >>> model = models.convolutional_vae((8, 8, 1), embedding_dim=2, widths=(4,))
    >>> figures = evaluate_autoencoder(model, np.zeros((3, 8, 8, 1), "uint8"))
    >>> figures["latent_bits_per_dimension"] < figures["bits_per_dimension"]
    True
    """
    source = load_images(images)
    figures = _reconstruct(model, source, batch_size, verbose)
    if "reconstruction_bits_per_dimension" not in figures or not hasattr(model, "log_prob_bound"):
        return figures
    batches = ImageBatches(source, batch_size)
    numbers = len(source) * math.prod(source.image_shape)

    def bits(nats: Any) -> float:
        return -float(np.sum(nats, dtype=np.float64)) / (numbers * math.log(2.0))

    figures["bits_per_dimension"] = bits(model.log_prob_bound(batches))
    figures["latent_bits_per_dimension"] = bits(-model.kl_divergence(batches))
    if samples > 1:
        weighted = model.log_prob_bound(batches, samples)
        figures["importance_weighted_bits_per_dimension"] = bits(weighted)
    return figures


def evaluate_prior(
    prior: Any, codes: Any, labels: Any = None, batch_size: int = 128
) -> dict[str, float]:
    """How many bits codes cost under a prior: the cross-entropy, exact.

    Args:
        prior: a `models.CodePrior`.
        codes: integer array `(N, h, w)` in [0, K), at least one.
        labels: integer array `(N,)`, for a conditional prior; others look at no labels.
        batch_size: grids at one time. Defaults to `128`.

    Returns:
        `bits_per_code`, `bits_per_image` (that times the codes of an image), `images`, how many
        there were, and `given_labels`, whether the prior was told the classes.

    Raises:
        TypeError: for codes or labels that are no integers.
        ValueError: for no codes, codes or labels of another shape or out of range, or missing
            labels.

    Example:
    >>> from keras_vqvae import models
    >>> prior = models.PixelCNN((2, 2), num_embeddings=4, filters=4, residual_blocks=1)
    >>> sorted(evaluate_prior(prior, np.zeros((3, 2, 2), "int32")))
    ['bits_per_code', 'bits_per_image', 'given_labels', 'images']
    """
    if not len(codes):
        raise ValueError("`codes` should hold at least one grid. Received: none")
    nats = -np.asarray(prior.log_prob(codes, labels, batch_size=batch_size), np.float64)
    per_image = float(np.mean(nats)) / math.log(2.0)
    return {
        "images": len(nats),
        "bits_per_code": per_image / math.prod(prior.code_shape),
        "bits_per_image": per_image,
        "given_labels": prior.num_classes is not None and labels is not None,
    }


def _reconstruct(
    model: Any,
    source: ImageSource,
    batch_size: int,
    verbose: int,
    look: Callable[[npt.NDArray[Any]], None] = lambda latents: None,
) -> dict[str, float]:
    """Figures of reconstructions; `look` sees the latents of each batch."""
    batches = ImageBatches(source, batch_size)
    found = Reconstructions(model, source.image_shape)
    progress = keras.utils.Progbar(len(batches), verbose=verbose)
    for step in range(len(batches)):
        batch = np.asarray(batches[step])
        latents = model.encode(batch, batch_size)
        decoded = model.decode(latents, batch_size)
        found.update(batch, latents, decoded)
        look(latents)
        progress.add(1)
    return {"images": len(source), **found.result()}
