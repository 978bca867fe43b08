"""A comparison as a table: what an image costs, and what it loses."""

from typing import Any

__all__ = ["COMPARISON_HEADER", "comparison_rows"]

COMPARISON_HEADER = (
    "model",
    "latents, bits an image",
    "reconstruction",
    "latents",
    "total",
    "MSE",
    "Fréchet distance",
    "precision",
    "recall",
    "parameters",
)
_NONE = "–"


def comparison_rows(found: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row for each way in which a model prices an image, as `COMPARISON_HEADER` names them.

    Args:
        found: what `Comparison.run` gives, or `comparison.json` holds.

    Example:
    >>> bits = {"reconstruction": 3.0, "latents": 0.5, "total": 3.5}
    >>> found = {
    ...     "image_shape": [8, 8, 1],
    ...     "models": {"vae": {"mse": 0.01, "bits_per_dimension": bits}},
    ... }
    >>> comparison_rows(found)[0][:5]
    ('VAE, evidence lower bound', '32', '3.000', '0.500', '3.500')
    """
    height, width, channels = found["image_shape"]
    numbers = height * width * channels
    rows = []
    for name, figures in found["models"].items():
        rows += _model_rows(name, figures, numbers)
    titles = {"png": "PNG files", "webp": "lossless WebP files"}
    for kind, bits in found.get("files", {}).items():
        rows.append(_row(titles[kind], numbers, total=bits))
    return rows


def _model_rows(name: str, figures: dict[str, Any], numbers: int) -> list[tuple[str, ...]]:
    bits, samples = figures["bits_per_dimension"], figures.get("samples", {})
    shared = {
        "mse": figures["mse"],
        "frechet": samples.get("frechet_distance"),
        "precision": samples.get("precision"),
        "recall": samples.get("recall"),
        "parameters": figures.get("parameters"),
    }
    reconstruction = bits.get("reconstruction")
    if name == "autoencoder":
        return [_row("autoencoder", numbers, reconstruction=reconstruction, **shared)]
    if name == "vae":
        rows = [
            _row(
                "VAE, evidence lower bound",
                numbers,
                reconstruction=reconstruction,
                latents=bits.get("latents"),
                total=bits.get("total"),
                **shared,
            )
        ]
        if "total_importance_weighted" in bits:
            weighted = bits["total_importance_weighted"]
            rows.append(_row("  importance-weighted bound", numbers, total=weighted))
        return rows
    title = "VQ-VAE" if name == "vqvae" else f"VQ-VAE, {name}"
    given = ", given the class" if figures.get("given_labels") else ""
    prior = {**shared, "parameters": figures.get("prior_parameters")}
    plain = {"mse": shared["mse"], "parameters": shared["parameters"]}
    return [
        _row(
            label,
            numbers,
            reconstruction=reconstruction,
            latents=bits.get(f"codes_{kind}"),
            total=bits.get(f"total_{kind}"),
            **columns,
        )
        for label, kind, columns in (
            (f"{title}, codes equally likely", "uniform", plain),
            ("  codes by their histogram", "histogram", {}),
            (f"  codes under the prior{given}", "prior", {**prior, "mse": None}),
        )
    ]


def _row(
    title: str,
    numbers: int,
    reconstruction: float | None = None,
    latents: float | None = None,
    total: float | None = None,
    mse: float | None = None,
    frechet: float | None = None,
    precision: float | None = None,
    recall: float | None = None,
    parameters: float | None = None,
) -> tuple[str, ...]:
    return (
        title,
        _shown(None if latents is None else latents * numbers, ".0f"),
        _shown(reconstruction, ".3f"),
        _shown(latents, ".3f"),
        _shown(total, ".3f"),
        _shown(mse, ".4f"),
        _shown(frechet, "#.3g"),
        _shown(precision, ".2f"),
        _shown(recall, ".2f"),
        _shown(parameters, ",.0f"),
    )


def _shown(value: float | None, form: str) -> str:
    return _NONE if value is None else format(value, form)
