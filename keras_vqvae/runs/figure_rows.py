"""Figures as rows of a table: name, value and unit."""

from typing import Any

__all__ = ["figure_rows"]

_Row = tuple[str, str, str]


def figure_rows(figures: dict[str, Any], part: str | None = None) -> list[_Row]:
    """Name, value and unit of each figure that is there.

    Args:
        figures: as `Run.evaluate` and `Run.write_report` give them, or `metrics.json` has them.
        part: which images the errors are of, as a word before them. Defaults to `figures["part"]`.

    Example:
    >>> figure_rows({"part": "test", "vqvae": {"mse": 0.01, "perplexity": 60.0}})
    [('test MSE', '0.0100', 'on the [0, 1] scale'), ('perplexity', '60.0', 'codes')]
    """
    part = figures.get("part", "") if part is None else part
    error = f"{part} " if part else ""
    vqvae, prior = figures.get("vqvae", {}), figures.get("prior", {})
    bits, samples = figures.get("bits_per_dimension", {}), figures.get("samples", {})
    nearest = figures.get("nearest_training_image", {})
    given = ", given the class" if prior.get("given_labels") else ""
    per_dimension = "bits per dimension"
    table = (
        (f"{error}MSE", vqvae.get("mse"), ".4f", "on the [0, 1] scale"),
        (f"{error}PSNR", vqvae.get("psnr_db"), ".2f", "dB"),
        (f"{error}SSIM", vqvae.get("ssim"), ".3f", "at most 1"),
        (f"{error}MS-SSIM", vqvae.get("ms_ssim"), ".3f", "at most 1"),
        ("codebook usage", _percent(vqvae.get("codebook_usage")), ".1f", "% of the codes"),
        ("perplexity", vqvae.get("perplexity"), ".1f", "codes"),
        ("entropy of the codes", vqvae.get("code_entropy_bits"), ".2f", "bits per code"),
        ("codes of an image", vqvae.get("bits_per_image"), ".0f", "bits, codes equally likely"),
        ("  under the prior", prior.get("bits_per_image"), ".0f", f"bits{given}"),
        ("prior", prior.get("bits_per_code"), ".3f", f"bits per code{given}"),
        ("codes, equally likely", bits.get("codes_uniform"), ".3f", per_dimension),
        ("codes under the prior", bits.get("codes_prior"), ".3f", f"{per_dimension}{given}"),
        (f"{error}images, given codes", bits.get("reconstruction"), ".3f", per_dimension),
        ("  with codes, equally likely", bits.get("total_uniform"), ".3f", per_dimension),
        ("  with codes under the prior", bits.get("total_prior"), ".3f", f"{per_dimension}{given}"),
    )
    return [
        (name, format(value, form), unit)
        for name, value, form, unit in (*table, *_sample_rows(samples, nearest))
        if value is not None
    ]


def _sample_rows(
    samples: dict[str, Any], nearest: dict[str, Any]
) -> list[tuple[str, Any, str, str]]:
    features = samples.get("feature_extractor", "")
    count = f"of {samples.get('samples', 0)} samples"
    distance = "median distance, on the [0, 1] scale"
    return [
        ("Fréchet distance of samples", samples.get("frechet_distance"), ".3g", f"by {features}"),
        (
            "  of reconstructions",
            samples.get("frechet_distance_of_reconstructions"),
            ".3g",
            "what is lost without any prior",
        ),
        (
            "  of training images",
            samples.get("frechet_distance_of_training_images"),
            ".3g",
            "what real images differ by",
        ),
        ("precision of samples", samples.get("precision"), ".3f", f"{count}, like real images"),
        ("recall of samples", samples.get("recall"), ".3f", "of real images, like samples"),
        ("nearest training image of samples", nearest.get("samples"), ".3f", distance),
        ("  of held-out images", nearest.get("held_out_images"), ".3f", distance),
        ("  of their reconstructions", nearest.get("their_reconstructions"), ".3f", distance),
    ]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100.0 * share
