"""What `comparison.html` shows."""

from typing import TYPE_CHECKING, Any

from keras_vqvae import evaluation
from keras_vqvae.runs.comparison_rows import COMPARISON_HEADER, comparison_rows
from keras_vqvae.runs.stages import title

if TYPE_CHECKING:
    from keras_vqvae.runs.comparing import Comparison

_COLUMNS = 8
_ROWS_OF_SAMPLES = 3


def comparison_page(comparison: "Comparison", found: dict[str, Any]) -> evaluation.Page:
    """The page.

    Args:
        comparison: whose models are trained.
        found: its figures.
    """
    height, width, channels = found["image_shape"]
    config = comparison.config
    epochs = config.vqvae_training.epochs
    page = evaluation.Page(
        "keras_vqvae: what the codes are worth",
        f"{found['images']} {found['part']} images of {config.data.source}, "
        f"{height}×{width}, {channels} channel{'s' if channels > 1 else ''}; "
        f"{epochs} epoch{'s' if epochs > 1 else ''} each, likelihood {config.vqvae.likelihood}.",
    )
    page.section(
        "What an image costs",
        "In bits per dimension, of which an 8-bit image takes 8 as it is: the image given its "
        "latents, the latents, and both. Less is better, also in the error and in the distance of "
        "samples from real images.",
    ).columns(COMPARISON_HEADER, comparison_rows(found))
    for text in (*_explanations(found), *found["notes"]):
        page.note(text)
    value_range = comparison.parts.value_range()

    def strip(images: Any, rows: int = 1) -> Any:
        return evaluation.image_grid(images[: rows * _COLUMNS], _COLUMNS, value_range)

    originals = comparison.parts.evaluation()[1].spread(_COLUMNS).as_array()
    page.section("Reconstructions", "Held-out images, and what comes back from their latents.")
    page.strips(
        [("original", strip(originals))]
        + [
            (title(one.name), strip(one.model().reconstruct(originals)))
            for one in comparison.contenders
        ]
    )
    page.section(
        "Samples",
        "New images, none left out. Of the autoencoder: latents from a Gaussian fitted to those of "
        "training images. Of the VAE: latents from its prior, N(0, 1). Of quantized models: codes "
        "from their priors.",
    )
    count = _ROWS_OF_SAMPLES * _COLUMNS
    for one in comparison.contenders:
        images = next(one.samples(count, count))
        page.strips([(title(one.name), strip(images, _ROWS_OF_SAMPLES))])
    return page


def _explanations(found: dict[str, Any]) -> list[str]:
    texts = []
    if "autoencoder" in found["models"]:
        texts.append("Latents of an autoencoder are real numbers without a distribution: no price.")
    if "feature_extractor" in found:
        texts.append(
            "Fréchet distance, precision and recall are of samples, by "
            f"{found['feature_extractor']}."
        )
    if any("bits_per_image_prior" in figures for figures in found["models"].values()):
        texts.append("The parameters beside the codes under the prior are those of the prior.")
    return texts
