"""Several models under one budget, in one directory."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from keras_vqvae import evaluation
from keras_vqvae.data.files import remove_leftovers
from keras_vqvae.runs import creating
from keras_vqvae.runs.comparison_page import comparison_page
from keras_vqvae.runs.config import RunConfig
from keras_vqvae.runs.contenders import BASELINES, MODELS, Contender, contender
from keras_vqvae.runs.directory import holds_more_than, read_json, write_json
from keras_vqvae.runs.environment import environment
from keras_vqvae.runs.errors import RunExistsError
from keras_vqvae.runs.extractors import check_enough, feature_extractor
from keras_vqvae.runs.holding import hold_directory
from keras_vqvae.runs.parts import DataParts
from keras_vqvae.runs.sample_count import check_samples, sample_count

_FIGURES = "comparison.json"


class Comparison:
    """Models of images, trained alike on the same data, and what an image costs under each.

    The autoencoder and the VAE have the encoder and the decoder of the VQ-VAE, its likelihood, and
    its training: epochs, batches, learning rate, seed. Quantized models have a prior besides.

    | file | what it is |
    |---|---|
    | `comparison.json` | the settings of all models, and the figures of each |
    | `comparison.html` | the table, reconstructions and samples on one page |
    | `classifier.keras` | whose features samples are compared by, for data with labels |
    | `autoencoder/`, `vae/` | model, history, checkpoints and training time of a baseline |
    | `vqvae/`, `finite_scalar/`, … | a run, which all commands take |

    What was interrupted goes on; models that are trained are not trained again.

    It is made by `Comparison.create`.

    Args:
        directory: where it is.
        config: the settings.
        models: names: `"autoencoder"`, `"vae"`, `"vqvae"`, or that of a quantizer.

    Example:
    >>> import tempfile
    >>> from keras_vqvae.runs import demo_config
    >>> folder = tempfile.mkdtemp()
    >>> comparison = Comparison.create(folder, demo_config(smoke=True), ["vae", "finite_scalar"])
    >>> [one.name for one in comparison.contenders]
    ['vae', 'finite_scalar']

    References:
        - [Neural Discrete Representation Learning](https://arxiv.org/abs/1711.00937), §4.1
    """

    def __init__(
        self, directory: str | os.PathLike[str], config: RunConfig, models: Sequence[str]
    ) -> None:
        self.directory = Path(directory)
        self.config = config
        self.parts = DataParts(config.data, config.seed)
        self.contenders: list[Contender] = [
            contender(name, self.directory / name, config, self.parts) for name in models
        ]
        self.page = self.directory / "comparison.html"
        self.figures_file = self.directory / _FIGURES
        self._classifier = self.directory / "classifier.keras"

    @classmethod
    def create(
        cls,
        directory: str | os.PathLike[str],
        config: RunConfig,
        models: Sequence[str] = (*BASELINES, "vqvae"),
    ) -> Self:
        """A new comparison, or the one that is there, which may get further models.

        Models that it has figures of stay in it, before the further ones, and are evaluated with
        them: by the same features, and as many samples. Everything is checked before anything is
        written.

        Args:
            directory: where; it is made if needed.
            config: the settings, those of the VQ-VAE and its training for all models.
            models: which. Defaults to autoencoder, VAE and VQ-VAE.

        Raises:
            RunExistsError: if the directory holds a comparison with other settings, or other files.
            RunInUseError: if another process is at work in the directory of a new one.
            ValueError: for an unknown model, no model, one given twice, settings that do not fit
                the data or a model, images that have changed, a `comparison.json` that is damaged,
                or a new comparison in the folder of its images.
        """
        if not models or len(set(models)) < len(models):
            raise ValueError(
                "`models` should name at least one model, and each once. "
                f"Received: models={list(models)}"
            )
        config = creating.with_absolute_source(config)
        before = _Begun.read(Path(directory) / _FIGURES)
        there = [] if before is None else before.models
        comparison = cls(directory, config, list(dict.fromkeys([*there, *models])))
        if before is not None:
            before.check_settings(comparison)
        elif holds_more_than(comparison.directory, comparison.figures_file):
            raise RunExistsError(
                f"the output {str(comparison.directory)!r} is not empty and holds no comparison. "
                "Give another directory (`--output`)"
            )
        else:
            creating.check_output(directory, config)
        for settings in dict.fromkeys(one.config for one in comparison.contenders):
            creating.check_fit(settings, comparison.parts)
        if before is not None:
            before.check_images(comparison)
        else:
            content = {"config": config.to_dict(), "fingerprint": comparison.fingerprint()}
            comparison.directory.mkdir(parents=True, exist_ok=True)
            with hold_directory(comparison.directory):
                made_since = comparison.figures_file.exists()  # by another process
                if not made_since:
                    write_json(comparison.figures_file, content)
            if made_since:
                return cls.create(directory, config, models)
        return comparison

    def fingerprint(self) -> str:
        """Of the training images, which are the same for all models."""
        return self.parts.train.fingerprint()

    def run(
        self,
        samples: int | None = None,
        verbose: Any = 0,
        report: Callable[[str], None] | None = None,
    ) -> dict[str, Any]:
        """Trains what is not trained, and evaluates all.

        Args:
            samples: how many images to draw from each model and compare with real ones. By default
                as many as there are real ones, 10 000 at most; 0 for none.
            verbose: as for `keras.Model.fit`.
            report: is told in words what begins. Defaults to `None`.

        Returns:
            What `comparison.json` holds: `config`, the settings; `fingerprint`, of the training
            images; `models`, the figures of each by name; `part` and `images`, what they are of;
            `feature_extractor`; `files`, what lossless files take in bits per dimension; and
            `notes`.

        Raises:
            NonFiniteLossError: if a loss becomes NaN or infinite.
            RunInUseError: if another process is at work in the directory.
            ValueError: for `samples` below 0.
        """
        check_samples(samples)
        with hold_directory(self.directory):
            return self._run(samples, verbose, report or (lambda text: None))

    def _run(
        self, samples: int | None, verbose: Any, report: Callable[[str], None]
    ) -> dict[str, Any]:
        for file in (self.figures_file, self.page, self._classifier):
            remove_leftovers(file)
        for one in self.contenders:
            one.train(verbose, report)
        part, source = self.parts.evaluation()
        bars = 1 if verbose in (1, "auto") else 0
        found: dict[str, Any] = {
            "config": self.config.to_dict(),
            "fingerprint": self.fingerprint(),
            "part": part,
            "images": len(source),
            "image_shape": list(source.image_shape),
            "models": {},
            "notes": [],
            "environment": environment(),
        }
        for one in self.contenders:
            report(f"Evaluating: {one.name}")
            found["models"][one.name] = one.figures(bars)
        found["files"] = evaluation.lossless_rates(
            source.spread(1000).as_array(), self.parts.value_range()
        )
        count = sample_count(samples, source)
        if count:
            self._compare_samples(found, count, bars, report)
        write_json(self.figures_file, found)
        comparison_page(self, found).save(self.page)
        return read_json(self.figures_file)

    def _compare_samples(
        self, found: dict[str, Any], count: int, bars: int, report: Callable[[str], None]
    ) -> None:
        part, source = self.parts.evaluation()
        last = self.contenders[-1]
        try:
            check_enough(self.parts, min(len(source), count), count)
        except ValueError as error:
            found["notes"].append(f"Samples were not compared with real images: {error}")
            return
        extractor, found["feature_extractor"] = feature_extractor(
            self.parts,
            self._classifier,
            (f"{part} images", source),
            lambda: (last.model(), last.name),
            self.config.seed,
            bars,
            report,
        )
        real = evaluation.image_features(source.spread(count), extractor)
        for one in self.contenders:
            report(f"Drawing {count} images: {one.name}")
            drawn = evaluation.image_features(one.samples(count, batch_size=256), extractor)
            try:
                found["models"][one.name]["samples"] = evaluation.evaluate_samples(real, drawn)
            except ValueError as error:
                found["notes"].append(f"Samples were not compared with real images: {error}")
                return


class _Begun(NamedTuple):
    """What `comparison.json` says of a comparison that has begun.

    Attributes:
        config: its settings.
        models: those that it has figures of.
        fingerprint: of the images that it began with; `None` if nothing is known.
    """

    config: RunConfig
    models: list[str]
    fingerprint: str | None

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """What the file says; `None` if there is none.

        Raises:
            ValueError: if it is damaged.
        """
        if not file.exists():
            return None
        content = read_json(file)
        config, there = content.get("config"), content.get("models", {})
        remedy = "Restore it, or give another directory (`--output`)"
        are_models = isinstance(there, dict) and set(there) <= set(MODELS)
        if not isinstance(config, dict) or not are_models:
            raise ValueError(
                f"the file {str(file)!r} is damaged: it lacks the settings (`config`) of a "
                f"comparison, or its `models` are not some of {', '.join(MODELS)}. {remedy}"
            )
        try:
            return cls(RunConfig.from_dict(config), list(there), content.get("fingerprint"))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{str(file)!r}: {error}. {remedy}") from error

    def check_settings(self, now: Comparison) -> None:
        """Raises a RunExistsError if it goes on with other settings."""
        differences = self.config.differences(now.config)
        if differences:
            raise RunExistsError(
                f"the output {str(now.directory)!r} holds a comparison with other settings "
                f"({'; '.join(differences)}). Give another directory (`--output`)"
            )

    def check_images(self, now: Comparison) -> None:
        """Raises a ValueError if it goes on with other images."""
        if self.fingerprint not in (None, now.fingerprint()):
            raise ValueError(
                f"the images of {now.config.data.source!r} have changed since this comparison "
                "began. Restore them, or give another directory (`--output`)"
            )
