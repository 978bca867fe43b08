"""What Fashion-MNIST costs in bits per dimension: VAE, autoencoder, and VQ-VAE with its prior.

`runs.Comparison` trains all three alike, 10 epochs with a discretized logistic for every pixel, and
the prior for 4; figures are of the 10 000 test images and of as many samples. The VQ-VAE stands in
the first column, the VAE with the negative of its evidence lower bound in the second. What the same
commit has left in `--directory` is taken up again, so that a run can be interrupted.

`--smoke` compares small models on a part of the images that come with the package.

    python benchmarks/comparison.py --directory runs/compared
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reporting import Figure, commit, parser, report, require_commit

from keras_vqvae.runs import (
    Comparison,
    DataConfig,
    PriorConfig,
    RunConfig,
    TrainingConfig,
    VQVAEConfig,
)

LIKELIHOOD = "discretized_logistic"
# What a comparison holds that has trained nothing.
NEW = {"comparison.json"}


def settings(smoke: bool, seed: int) -> RunConfig:
    if smoke:
        short = TrainingConfig(epochs=1)
        return RunConfig(
            data=DataConfig("fashion_mnist_mini", max_images=200),
            vqvae=VQVAEConfig(
                num_embeddings=8, embedding_dim=2, widths=(8,), likelihood=LIKELIHOOD
            ),
            vqvae_training=short,
            prior=PriorConfig(filters=8, residual_blocks=1, embedding_dim=8),
            prior_training=short,
            seed=seed,
        )
    return RunConfig(
        data=DataConfig("fashion_mnist"),
        vqvae=VQVAEConfig(likelihood=LIKELIHOOD),
        vqvae_training=TrainingConfig(epochs=10, schedule="cosine"),
        prior=PriorConfig(filters=64, residual_blocks=5),
        prior_training=TrainingConfig(epochs=4, schedule="cosine", learning_rate=2e-3),
        seed=seed,
    )


def figures_of(found: dict[str, Any]) -> list[Figure]:
    """The table, with the bounds of a full run."""
    ours, vae = found["models"]["vqvae"], found["models"]["vae"]
    prices, bound = ours["bits_per_dimension"], vae["bits_per_dimension"]["total"]
    unit = "bits per dimension"
    figures = [
        Figure("codes equally likely", unit, prices["total_uniform"], bound, at_most=1.04 * bound),
        Figure("codes by their histogram", unit, prices["total_histogram"], bound),
        Figure("codes under the prior", unit, prices["total_prior"], bound, at_most=bound),
        Figure("images given latents", unit, prices["reconstruction"]),
        Figure("test MSE", "[0, 1] scale", ours["mse"], vae["mse"]),
    ]
    if "samples" in ours:
        distances = [model["samples"]["frechet_distance"] for model in (ours, vae)]
        figures.append(Figure("Fréchet distance of samples", "", *distances, at_most=distances[1]))
        for name in ("precision", "recall"):
            figures.append(
                Figure(f"{name} of samples", "", ours["samples"][name], vae["samples"][name])
            )
    for name, bits in found["files"].items():
        figures.append(Figure(f"{name} files", unit, bits))
    return figures


def require_models_of_this_commit(directory: Path) -> None:
    """Refuses models that other code has trained, of which a results file would not tell."""
    marker, now = directory / "commit.txt", f"{commit()}\n"
    if not marker.exists() and {path.name for path in directory.iterdir()} <= NEW:
        marker.write_text(now, encoding="utf-8")
    found = marker.read_text(encoding="utf-8") if marker.exists() else "unknown"
    if found != now:
        raise SystemExit(
            f"`--directory` should hold models of commit {now.strip()}, or not be there. "
            f"Received: {directory}, whose models are of commit {found.strip()}. "
            "Remove it, or name another."
        )


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser(__doc__, "comparison")
    arguments.add_argument("--directory", help="of the models (default: one that is removed)")
    args = arguments.parse_args(argv)
    full = not args.smoke
    require_commit(full, args.output)
    config = settings(args.smoke, args.seed)
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(args.directory or temporary)
        comparison = Comparison.create(directory, config)
        require_models_of_this_commit(directory)
        found = comparison.run(verbose=2, report=print, samples=0 if args.smoke else None)
    figures = figures_of(found)
    details = {**found["config"], "images": found["images"], "models": found["models"]}
    details["feature_extractor"] = found.get("feature_extractor")
    return report("comparison", figures, details, args.output, full, peer="VAE")


if __name__ == "__main__":
    sys.exit(main())
