"""A comparison as a table: what an image costs, and what it loses."""

from typing import Any

__all__ = ["COMPARISON_HEADER", "comparison_rows"]

# How the numbers are shown, by the names of their columns.
_FORMS = {
    "reconstruction": ".3f",
    "latents": ".3f",
    "total": ".3f",
    "MSE": ".4f",
    "Fréchet distance": "#.3g",
    "precision": ".2f",
    "recall": ".2f",
    "parameters": ",.0f",
}
COMPARISON_HEADER = ("model", "latents, bits an image", *_FORMS)
_NONE = "–"
_BASELINES = {"autoencoder": "autoencoder", "vae": "VAE, evidence lower bound"}


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
        rows.append(_row(titles[kind], numbers, {"total": bits}))
    return rows


def _model_rows(name: str, figures: dict[str, Any], numbers: int) -> list[tuple[str, ...]]:
    bits, samples = figures["bits_per_dimension"], figures.get("samples", {})
    plain = {"MSE": figures["mse"], "parameters": figures.get("parameters")}
    judged = {
        "Fréchet distance": samples.get("frechet_distance"),
        "precision": samples.get("precision"),
        "recall": samples.get("recall"),
    }
    if name in _BASELINES:
        rows = [_row(_BASELINES[name], numbers, {**bits, **plain, **judged})]
        if "total_importance_weighted" in bits:
            weighted = {"total": bits["total_importance_weighted"]}
            rows.append(_row("  importance-weighted bound", numbers, weighted))
        return rows
    title = "VQ-VAE" if name == "vqvae" else f"VQ-VAE, {name}"
    given = ", given the class" if figures.get("given_labels") else ""
    prior = {**judged, "parameters": figures.get("prior_parameters")}
    return [
        _row(
            label,
            numbers,
            {
                "reconstruction": bits.get("reconstruction"),
                "latents": bits.get(f"codes_{kind}"),
                "total": bits.get(f"total_{kind}"),
                **columns,
            },
        )
        for label, kind, columns in (
            (f"{title}, codes equally likely", "uniform", plain),
            ("  codes by their histogram", "histogram", {}),
            (f"  codes under the prior{given}", "prior", prior),
        )
    ]


def _row(title: str, numbers: int, values: dict[str, float | None]) -> tuple[str, ...]:
    """A row of what is known, by the names of the columns; `numbers` are those of an image."""
    latents = values.get("latents")
    return (
        title,
        _shown(None if latents is None else latents * numbers, ".0f"),
        *(_shown(values.get(column), form) for column, form in _FORMS.items()),
    )


def _shown(value: float | None, form: str) -> str:
    return _NONE if value is None else format(value, form)
