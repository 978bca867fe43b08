"""Models that are compared: each can be trained, judged and drawn from."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from keras_vqvae import evaluation, models
from keras_vqvae.data import ImageBatches
from keras_vqvae.runs.checkpoints import load_model, newest_progress
from keras_vqvae.runs.config import QUANTIZERS, RunConfig
from keras_vqvae.runs.directory import RunDirectory, read_json, write_json
from keras_vqvae.runs.encoding import in_batches
from keras_vqvae.runs.parts import DataParts, labels_like
from keras_vqvae.runs.prices import with_figures
from keras_vqvae.runs.run import Run
from keras_vqvae.runs.stages import fit_image_model, title

BASELINES = ("autoencoder", "vae")
MODELS = (*BASELINES, "vqvae", *QUANTIZERS)
# Of the importance-weighted bound of a VAE.
WEIGHTED_SAMPLES = 16
_LATENT_IMAGES = 10_000
# What the table of a comparison, and who reads its file, may want of a run's figures.
_QUANTIZED = (
    "images",
    "mse",
    "psnr_db",
    "ssim",
    "ms_ssim",
    "codebook_usage",
    "perplexity",
    "code_entropy_bits",
    "bits_per_image",
)


class Contender(Protocol):
    """A model under comparison."""

    name: str
    config: RunConfig

    def train(self, verbose: Any, report: Callable[[str], None]) -> None:
        """Does what is not done yet of its training."""

    def model(self) -> models.Autoencoder:
        """The trained model of images."""

    def figures(self, verbose: int) -> dict[str, Any]:
        """What it loses and costs; `bits_per_dimension` is a group of parts and totals."""

    def samples(self, count: int, batch_size: int) -> Iterator[npt.NDArray[Any]]:
        """New images in batches."""


def contender(name: str, directory: Path, config: RunConfig, parts: DataParts) -> Contender:
    """The contender of a name out of `MODELS`, in a directory of its own.

    Raises:
        ValueError: for another name.
    """
    if name not in MODELS:
        raise ValueError(
            f"`models` should be some of {', '.join(MODELS)}. Received: {name!r} among them"
        )
    if name in BASELINES:
        return Baseline(name, directory, config, parts)
    return Quantized(name, directory, config, parts)


class Baseline:
    """An autoencoder or a VAE with the network of the VQ-VAE."""

    def __init__(self, name: str, directory: Path, config: RunConfig, parts: DataParts) -> None:
        self.name = name
        self._files = RunDirectory(directory)
        self.config = config
        self._parts = parts
        self._model: models.Autoencoder | None = None
        self._latents: npt.NDArray[np.float32] | None = None

    def train(self, verbose: Any, report: Callable[[str], None]) -> None:
        if not self._files.model(self.name).exists():
            self._files.remove_leftovers((self.name,))
            self._files.metrics.unlink(missing_ok=True)  # of a model that is gone
            report(f"Training the {title(self.name)} on {len(self._parts.train)} images")
            fit_image_model(self.name, self._files, self.config, self._parts, verbose)
        if not self._files.metrics.exists():
            seconds = newest_progress(self._files, self.name).seconds
            write_json(self._files.metrics, {"seconds": {"training": round(seconds, 2)}})

    def model(self) -> models.Autoencoder:
        if self._model is None:
            self._model = load_model(self._files.model(self.name))
        return self._model

    def figures(self, verbose: int) -> dict[str, Any]:
        model, source = self.model(), self._parts.evaluation()[1]
        found: dict[str, Any] = evaluation.evaluate_autoencoder(
            model, source, WEIGHTED_SAMPLES, verbose=verbose
        )
        prices = {}
        reconstruction = found.pop("reconstruction_bits_per_dimension", None)
        if "bits_per_dimension" in found:  # a VAE: the parts of its bound
            total = found.pop("bits_per_dimension")
            latents = found.pop("latent_bits_per_dimension")
            prices = {
                "reconstruction": total - latents,
                "latents": latents,
                "total": total,
                "total_importance_weighted": found.pop("importance_weighted_bits_per_dimension"),
            }
        elif reconstruction is not None:
            prices = {"reconstruction": reconstruction}
        return {
            **found,
            "parameters": model.count_params(),
            **read_json(self._files.metrics),
            "bits_per_dimension": prices,
        }

    def samples(self, count: int, batch_size: int) -> Iterator[npt.NDArray[Any]]:
        model, seed = self.model(), self.config.seed
        if isinstance(model, models.VAE):
            return _drawn(model, count, batch_size, seed)
        if self._latents is None:
            images = ImageBatches(self._parts.train.spread(_LATENT_IMAGES), batch_size)
            self._latents = model.encode(images)
        latents = evaluation.random_latents(self._latents, count, seed)
        return map(model.decode, in_batches(latents, batch_size))


def _drawn(
    vae: models.VAE, count: int, batch_size: int, seed: int
) -> Iterator[npt.NDArray[np.float32]]:
    for first in range(0, count, batch_size):
        yield vae.sample(min(batch_size, count - first), seed, batch_size, first)


class Quantized:
    """A VQ-VAE with its prior: a run of its own. The name is that of its quantizer, or `vqvae`."""

    def __init__(self, name: str, directory: Path, config: RunConfig, parts: DataParts) -> None:
        self.name = name
        if name != "vqvae":
            vqvae = dataclasses.replace(config.vqvae, quantizer=name)
            config = dataclasses.replace(config, vqvae=vqvae)
        self._directory = directory
        self.config = config
        self._parts = parts
        self._made: Run | None = None

    def run(self) -> Run:
        """Its run, which is made if it is not there."""
        if self._made is None:
            self._made = Run.create(self._directory, self.config, parts=self._parts)
        return self._made

    def train(self, verbose: Any, report: Callable[[str], None]) -> None:
        if self.name != "vqvae" and not self.run().finished("prior"):
            report(f"Quantizer: {self.name}")
        self.run().train(verbose=verbose, report=report)

    def model(self) -> models.VQVAE:
        return self.run().vqvae()

    def figures(self, verbose: int) -> dict[str, Any]:
        run = self.run()
        metrics = run.metrics()  # training ends with an evaluation
        images = self._parts.evaluation()[1].fingerprint()
        if metrics.get("evaluated_images") != images:
            # They have changed since, or are not known: all models are judged by the same ones.
            now = run.evaluate(verbose=verbose)
            metrics = with_figures(metrics, now, images, run.vqvae().image_shape)
            write_json(run.files.metrics, metrics)
        vqvae, prior = metrics["vqvae"], metrics["prior"]
        return {
            **{name: vqvae[name] for name in _QUANTIZED if name in vqvae},
            "bits_per_image_prior": prior["bits_per_image"],
            "given_labels": prior["given_labels"],
            "parameters": vqvae["parameters"],
            "prior_parameters": prior["parameters"],
            "seconds": {
                "training": metrics["seconds"]["vqvae"],
                "prior": metrics["seconds"]["prior"],
            },
            "bits_per_dimension": metrics["bits_per_dimension"],
        }

    def samples(self, count: int, batch_size: int) -> Iterator[npt.NDArray[Any]]:
        run, seed = self.run(), self.config.seed
        vqvae, prior = run.vqvae(), run.prior()
        labels = None
        if prior.num_classes is not None:
            labels = labels_like(self._parts.evaluation()[1], count, seed)
        codes = prior.sample(count, labels=labels, seed=seed)
        return map(vqvae.decode, in_batches(codes, batch_size))
