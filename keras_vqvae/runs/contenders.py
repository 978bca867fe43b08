"""Models that are compared: each can be trained, judged and drawn from."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from keras_vqvae import evaluation
from keras_vqvae.data import ImageBatches, ImageSource
from keras_vqvae.runs.building import build_baseline
from keras_vqvae.runs.checkpoints import Progress, load_model
from keras_vqvae.runs.config import QUANTIZERS, RunConfig
from keras_vqvae.runs.directory import RunDirectory
from keras_vqvae.runs.parts import DataParts, spread
from keras_vqvae.runs.run import Run
from keras_vqvae.runs.stages import fit_stage, image_batches

BASELINES = ("autoencoder", "vae")
MODELS = (*BASELINES, "vqvae", *QUANTIZERS)
TITLES = {"vae": "VAE", "vqvae": "VQ-VAE"}
# Of the importance-weighted bound of a VAE.
WEIGHTED_SAMPLES = 16
_LATENT_IMAGES = 10_000


class Contender(Protocol):
    """A model under comparison."""

    name: str
    config: RunConfig

    def train(self, verbose: Any, report: Any) -> None:
        """Does what is not done yet of its training."""

    def model(self) -> Any:
        """The trained model of images."""

    def figures(self, source: ImageSource, verbose: int) -> dict[str, Any]:
        """What it loses and costs; `bits_per_dimension` is a group of parts and totals."""

    def samples(self, count: int, seed: int, batch_size: int) -> Iterator[npt.NDArray[Any]]:
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
    return Quantized(name, directory, config)


class Baseline:
    """An autoencoder or a VAE with the network of the VQ-VAE."""

    def __init__(self, name: str, directory: Path, config: RunConfig, parts: DataParts) -> None:
        self.name = name
        self._files = RunDirectory(directory)
        self.config = config
        self._parts = parts
        self._model: Any = None

    def train(self, verbose: Any, report: Any) -> None:
        if self._files.model(self.name).exists():
            return
        config, parts = self.config, self._parts
        training, validation = config.vqvae_training, parts.validation
        report(f"Training the {TITLES.get(self.name, self.name)} on {len(parts.train)} images")
        fit_stage(
            self.name,
            self._files,
            config,
            lambda: build_baseline(
                self.name, config, parts.train.image_shape, parts.value_range(), parts.variance()
            ),
            image_batches(parts.train, training, config.seed, config.data),
            None if validation is None else ImageBatches(validation, training.batch_size),
            verbose,
            (),
        )

    def model(self) -> Any:
        if self._model is None:
            self._model = load_model(self._files.model(self.name))
        return self._model

    def figures(self, source: ImageSource, verbose: int) -> dict[str, Any]:
        found: dict[str, Any] = evaluation.evaluate_autoencoder(
            self.model(), source, WEIGHTED_SAMPLES, verbose=verbose
        )
        bits = {}
        if self.name == "autoencoder":
            bits["reconstruction"] = found.pop("reconstruction_bits_per_dimension", None)
        else:
            bits["total"] = found.pop("bits_per_dimension", None)
            bits["latents"] = found.pop("latent_bits_per_dimension", None)
            weighted = "importance_weighted_bits_per_dimension"
            bits["total_importance_weighted"] = found.pop(weighted, None)
            found.pop("reconstruction_bits_per_dimension", None)
            if bits["total"] is not None:
                bits["reconstruction"] = bits["total"] - bits["latents"]
        seconds = Progress.load(self._files.last(self.name)).seconds
        return {
            **found,
            "parameters": self.model().count_params(),
            "seconds": {"training": round(seconds, 2)},
            "bits_per_dimension": {k: v for k, v in bits.items() if v is not None},
        }

    def samples(self, count: int, seed: int, batch_size: int) -> Iterator[npt.NDArray[Any]]:
        model = self.model()
        if self.name == "vae":
            images = model.sample(count, seed=seed, batch_size=batch_size)
            yield from (images[i : i + batch_size] for i in range(0, count, batch_size))
            return
        source = spread(self._parts.train, _LATENT_IMAGES)
        latents = model.encode(source.as_array())
        latents = evaluation.random_latents(latents, count, seed)
        for start in range(0, count, batch_size):
            yield model.decode(latents[start : start + batch_size])


class Quantized:
    """A VQ-VAE with its prior: a run of its own. The name is that of its quantizer, or `vqvae`."""

    def __init__(self, name: str, directory: Path, config: RunConfig) -> None:
        self.name = name
        if name != "vqvae":
            vqvae = dataclasses.replace(config.vqvae, quantizer=name)
            config = dataclasses.replace(config, vqvae=vqvae)
        self._directory = directory
        self.config = config
        self._made: Run | None = None

    def run(self) -> Run:
        """Its run, which is made if it is not there."""
        if self._made is None:
            self._made = Run.create(self._directory, self.config)
        return self._made

    def train(self, verbose: Any, report: Any) -> None:
        if self.name != "vqvae" and not self.run().finished("prior"):
            report(f"Quantizer: {self.name}")
        self.run().train(verbose=verbose, report=report)

    def model(self) -> Any:
        return self.run().vqvae()

    def figures(self, source: ImageSource, verbose: int) -> dict[str, Any]:
        run = self.run()
        vqvae, prior = run.vqvae(), run.prior()
        found = run.evaluate(verbose=verbose)
        figures, of_prior = dict(found["vqvae"]), found["prior"]
        numbers, codes = math.prod(vqvae.image_shape), math.prod(vqvae.code_shape)
        bits = {
            "latents_uniform": figures.pop("code_bits_per_dimension"),
            "latents_marginal": figures["code_entropy_bits"] * codes / numbers,
            "latents_prior": of_prior["bits_per_image"] / numbers,
        }
        reconstruction = figures.pop("reconstruction_bits_per_dimension", None)
        if reconstruction is not None:
            totals = {k.replace("latents", "total"): reconstruction + v for k, v in bits.items()}
            bits = {"reconstruction": reconstruction, **bits, **totals}
        seconds = run.metrics()["seconds"]
        return {
            **figures,
            "bits_per_image_prior": of_prior["bits_per_image"],
            "given_labels": of_prior["given_labels"],
            "parameters": vqvae.count_params(),
            "prior_parameters": prior.count_params(),
            "seconds": {"training": seconds["vqvae"], "prior": seconds["prior"]},
            "bits_per_dimension": bits,
        }

    def samples(self, count: int, seed: int, batch_size: int) -> Iterator[npt.NDArray[Any]]:
        run = self.run()
        codes = run.prior().sample(count, labels=self._labels(count), seed=seed)
        for start in range(0, count, batch_size):
            yield run.vqvae().decode(codes[start : start + batch_size])

    def _labels(self, count: int) -> Any:
        """Classes in the proportions of the real images, for a conditional prior."""
        if self.run().prior().num_classes is None:
            return None
        labels = spread(self.run().parts.evaluation()[1], count).labels
        assert labels is not None  # a conditional prior was trained on them
        return np.random.default_rng(self.config.seed).permutation(np.resize(labels, count))
