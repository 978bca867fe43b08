"""The run: a directory, and what can be done with it."""

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from keras_vqvae import data, models
from keras_vqvae.data.codes import encode_source
from keras_vqvae.data.splits import PARTS
from keras_vqvae.runs import creating, evaluating, training
from keras_vqvae.runs.checkpoints import Progress, newest_progress, save_model
from keras_vqvae.runs.commands import prior_command
from keras_vqvae.runs.config import PriorConfig, RunConfig, TrainingConfig
from keras_vqvae.runs.describing import describe
from keras_vqvae.runs.directory import (
    RunDirectory,
    read_json,
    stages_named,
    write_json,
)
from keras_vqvae.runs.encoding import decode_codes, kept_codes
from keras_vqvae.runs.figure_rows import figure_rows
from keras_vqvae.runs.held_out import HeldOut
from keras_vqvae.runs.holding import hold_directory
from keras_vqvae.runs.labels import class_number
from keras_vqvae.runs.parts import DataParts
from keras_vqvae.runs.report_page import report_page
from keras_vqvae.runs.samplers import choose_sampler
from keras_vqvae.runs.trained_models import TrainedModels

__all__ = ["Run"]


class Run:
    """Both stages on one data set, in one directory.

    | file | what it is |
    |---|---|
    | `config.json` | all settings |
    | `vqvae.keras`, `prior.keras` | the models; each is there when its stage is finished |
    | `metrics.json` | figures on held-out images, times, versions, the data |
    | `history_vqvae.csv`, `history_prior.csv` | the logs of each epoch |
    | `reconstructions.png`, `samples.png` | what the models do, to look at |
    | `report.html` | figures and pictures on one page, by `write_report` |
    | `classifier.keras` | whose features it compares samples by, for data with labels |
    | `codes_train.npz`, `codes_validation.npz`, `codes_test.npz` | codes, with labels |
    | `checkpoints/` | the last, the last but one, and the best of each stage |
    | `tensorboard/` | event files, if asked for |

    A run that was interrupted goes on from its last checkpoint when it is trained again, and ends
    as if it had not been. Every file is written whole or not at all.

    It is made by `Run.create` and `Run.open`.

    Args:
        directory: where the run is.
        config: its settings.
        parts: its images, where they are loaded already, as in a comparison.

    Example:
    >>> import tempfile
    >>> from keras_vqvae.runs import demo_config
    >>> run = Run.create(tempfile.mkdtemp(), demo_config(smoke=True))
    >>> run.finished("vqvae"), Run.open(run.directory).config == run.config
    (False, True)
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        config: RunConfig,
        parts: DataParts | None = None,
    ) -> None:
        self.directory = Path(directory)
        self.config = config
        self.files = RunDirectory(directory)
        self.parts = DataParts(config.data, config.seed) if parts is None else parts
        self._models = TrainedModels(self.files, config)

    @classmethod
    def create(
        cls,
        directory: str | os.PathLike[str],
        config: RunConfig,
        overwrite: bool = False,
        parts: DataParts | None = None,
    ) -> Self:
        """A new run, or the one that is there if it has the same settings.

        Everything is checked before anything is written: the data is opened and the model built.
        Settings of a stage that has not begun may differ from those of the run that is there.

        Args:
            directory: where; it is made if needed.
            config: the settings.
            overwrite: whether to remove what a run that is there has made, and begin anew.
                Defaults to `False`.
            parts: the images that the settings name, where they are loaded already.

        Raises:
            RunExistsError: if the directory holds a run with other settings, or other files.
            RunInUseError: if another process is at work in the directory.
            ValueError: if the settings do not fit the data, or a new run is to be in the folder of
                its images.
        """
        config = creating.with_absolute_source(config)
        files = RunDirectory(directory)
        overwrite = overwrite and files.is_run()
        run = cls(directory, config, parts)
        if not overwrite and creating.is_same_run(files, config):
            return run
        if overwrite or not files.is_run():
            creating.check_output(directory, config)
        creating.check_fit(config, run.parts)
        files.path.mkdir(parents=True, exist_ok=True)
        with hold_directory(directory):
            if overwrite:
                creating.forget_all(files)
            else:
                creating.is_same_run(files, config)  # once more: another process may have made one
            creating.begin(files, config, run.parts)
        return run

    @classmethod
    def open(cls, directory: str | os.PathLike[str]) -> Self:
        """The run in a directory.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if its settings are damaged.
        """
        files = RunDirectory(directory)
        if not files.is_run():
            raise FileNotFoundError(
                f"{str(directory)!r} should be the directory of a run, and has no config.json. "
                "`keras-vqvae train --output` makes one"
            )
        settings = read_json(files.config)
        try:
            return cls(directory, RunConfig.from_dict(settings))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{str(files.config)!r}: {error}") from error

    def change_prior(
        self, prior: PriorConfig, prior_training: TrainingConfig, overwrite: bool = False
    ) -> Self:
        """This run with another prior, which is not trained yet.

        Args:
            prior: the second model.
            prior_training: its training.
            overwrite: whether to remove a prior that is there. Defaults to `False`.

        Raises:
            RunExistsError: if there is one with other settings.
            RunInUseError: if another process is at work in the run.
            ValueError: if the settings do not fit the data, or the data has changed since the run
                began; nothing is removed then.
        """
        config = replace(self.config, prior=prior, prior_training=prior_training)
        if not overwrite:
            return self.create(self.directory, config)
        run = type(self)(self.directory, config)
        creating.check_fit(config, run.parts)
        if self.files.has_begun("vqvae"):
            run.check_data()
        with hold_directory(self.directory):
            creating.forget_prior(self.files)
            creating.begin(self.files, config, run.parts)
        return run

    def take_over(self, vqvae: models.VQVAE) -> None:
        """Makes a VQ-VAE that was trained elsewhere, as in a search, the first stage of this run.

        `train` then evaluates it and goes on with the prior.

        Args:
            vqvae: of images as this run has.

        Raises:
            RunExistsError: if this run has a VQ-VAE already, or part of one.
            ValueError: if the model is for other images, or has no grid of one code a position.
        """
        creating.check_taken_over(vqvae, self.files, self.parts)
        save_model(vqvae, self.files.model("vqvae"))

    # -- training ---------------------------------------------------------------------------------

    def train(
        self,
        stage: str = "all",
        verbose: Any = "auto",
        callbacks: Sequence[Any] = (),
        tensorboard: bool = False,
        report: Callable[[str], None] | None = None,
        checkpoint_minutes: float | None = 10.0,
    ) -> dict[str, Any]:
        """Does what is not done yet of a stage, or of both; then evaluates.

        Sets Keras's random seed. The first Ctrl-C ends training after the step that runs, with a
        checkpoint; the second one at once. A callback that sets `stop_training` at the end of an
        epoch ends the stage there; within an epoch it leaves a checkpoint, from which the same call
        goes on.

        Args:
            stage: `"vqvae"`, `"prior"` (which needs the first) or `"all"`.
            verbose: as for `keras.Model.fit`; 0 also turns the other progress bars off.
            callbacks: further Keras callbacks.
            tensorboard: whether to write event files to `tensorboard/`: losses, and every few
                epochs reconstructions, codes and samples.
            report: is told in words what begins. Defaults to `None`.
            checkpoint_minutes: how often to write a checkpoint within a long epoch, or `None`; one
                is written after each epoch in any case. Defaults to `10.0`.

        Returns:
            The metrics, as `metrics.json` has them.

        Raises:
            KeyboardInterrupt: after Ctrl-C; the same call goes on from there.
            NonFiniteLossError: if the loss becomes NaN or infinite.
            OSError: if a file cannot be written.
            RunInUseError: if another process is at work in the run.
            ValueError: if the data has changed since the run began, or its settings since this
                object was made, or all checkpoints of a stage are damaged.
        """
        session = training.Session(
            self, verbose, callbacks, tensorboard, report, checkpoint_minutes
        )
        # What is done already needs nobody else to be kept away.
        with hold_directory(self.directory) if session.has_work(stage) else nullcontext():
            session.train(stage)
        return self.metrics()

    def finished(self, stage: str) -> bool:
        """Whether the model of a stage is there."""
        return self.files.model(stage).exists()

    def progress(self, stage: str) -> Progress:
        """How far a stage has come: epochs, history, seconds."""
        return newest_progress(self.files, stage)

    # -- use --------------------------------------------------------------------------------------

    def vqvae(self) -> models.VQVAE:
        """The trained VQ-VAE."""
        return self._models.vqvae()

    def prior(self) -> models.CodePrior:
        """The trained prior."""
        return self._models.prior()

    def sample(
        self,
        n: int = 16,
        labels: Any = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        batch_size: int | None = None,
        verbose: int = 0,
    ) -> npt.NDArray[np.float32]:
        """Draws new images.

        Args:
            n: how many. Defaults to `16`.
            labels: integers `(n,)` or one for all, for a conditional prior. By default the classes
                in turn.
            temperature: below 1 more probable codes, 0 the most probable one. Defaults to `1.0`.
            top_k: draw among the k most probable codes only.
            top_p: draw among the fewest codes that hold this share of the probability only.
            seed: an integer ≥ 0. By default the run's.
            batch_size: how many at one time. By default 64, or fewer where their state is large.
            verbose: 1 for a progress bar. Defaults to `0`.

        Returns:
            `(n, H, W, C)` in the `value_range` of the images.

        Raises:
            ValueError: for settings that do not fit together or are out of range.
        """
        prior = self.prior()
        if labels is None and prior.num_classes is not None:
            labels = np.arange(n) % prior.num_classes
        return models.TwoStage(self.vqvae(), prior).sample(
            n,
            batch_size=batch_size,
            labels=labels,
            sampler=choose_sampler(temperature, top_k, top_p),
            seed=self.config.seed if seed is None else seed,
            verbose=verbose,
        )

    def label_number(self, label: int | str | None) -> int | None:
        """The number of a class that is given by number or name; `None` for `None`.

        Raises:
            ValueError: for an unknown class, or a prior that knows no classes.
        """
        if label is None:
            return None
        classes = self.prior().num_classes
        if classes is None:
            conditional = replace(self.config, prior=replace(self.config.prior, conditional=True))
            command = prior_command(conditional, self.config, str(self.directory), overwrite=True)
            raise ValueError(
                f"`label` needs a prior that is trained with `conditional`. Received: {label!r}. "
                f"`{command}` trains one"
            )
        return class_number(label, self._class_names() or [], classes)

    def codes(self, part: str = "train", verbose: int = 0) -> data.CodeFile:
        """The codes of a part of the run's images, which are kept in `codes_<part>.npz`.

        Those of images that have changed since are made anew.

        Args:
            part: `"train"`, `"validation"` or `"test"`.
            verbose: 1 for a progress bar. Defaults to `0`.

        Raises:
            ValueError: for another part, one that the data has not, or a file that does not belong
                to this run's VQ-VAE.
        """
        if part not in PARTS:
            raise ValueError(f"`part` should be one of {', '.join(PARTS)}. Received: part={part!r}")
        path = self.files.codes(part)
        if path.exists():
            found = kept_codes(self.vqvae(), path)
            if not self._images_changed(part):
                return found
        source = getattr(self.parts, part)
        if source is None:
            raise ValueError(
                f"`part` should be one that the data of {str(self.directory)!r} has. "
                f"Received: part={part!r}"
            )
        # The file comes last: codes that are there are of the images that are named here.
        metrics = self.metrics()
        encoded = {**metrics.get("encoded", {}), part: source.fingerprint()}
        path.unlink(missing_ok=True)
        write_json(self.files.metrics, {**metrics, "encoded": encoded})
        return data.encode_to_file(self.vqvae(), source, path, verbose=verbose)

    def other_images(
        self, images: Any, part: str | None = None
    ) -> tuple[str | None, data.ImageSource]:
        """Other images as this run sees its own: of their size and colour, classes by name.

        Args:
            images: what `data.load_images` takes.
            part: `"train"`, `"validation"` or `"test"`. By default the test part if there is one,
                else the training part.

        Returns:
            The name of the part, `None` of images without parts, and the images.

        Raises:
            ValueError: for images of another shape, of classes that this run does not have, or
                without this part.
        """
        return self.parts.other(images, self.vqvae().image_shape, self._class_names(), part)

    def encode(
        self,
        images: Any,
        path: str | os.PathLike[str] | None = None,
        verbose: int = 0,
        part: str | None = None,
    ) -> data.CodeFile:
        """The codes of other images.

        Args:
            images: what `data.load_images` takes.
            path: a code file to write; an existing one is replaced. Defaults to `None`.
            verbose: 1 for a progress bar. Defaults to `0`.
            part: as for `other_images`.

        Raises:
            ValueError: as `other_images`.
        """
        vqvae = self.vqvae()
        _, source = self.other_images(images, part)
        if path is None:
            return encode_source(vqvae, source, verbose=verbose)
        return data.encode_to_file(vqvae, source, path, verbose=verbose)

    def decode(self, codes: Any, verbose: int = 0) -> npt.NDArray[np.float32]:
        """The images of codes: an array `(N, h, w)`, or a file of this run's VQ-VAE."""
        return decode_codes(self.vqvae(), codes, verbose)

    def evaluate(
        self, images: Any = None, stage: str = "all", batch_size: int = 128, verbose: int = 0
    ) -> dict[str, Any]:
        """Figures on images that were not trained on.

        Args:
            images: what `data.load_images` takes; a run with a conditional prior needs labels. By
                default the run's own: its test part, or else its validation part.
            stage: `"vqvae"`, `"prior"`, or `"all"` that are trained. Defaults to `"all"`.
            batch_size: images at one time. Defaults to `128`.
            verbose: 1 for progress bars. Defaults to `0`.

        Returns:
            `part`, and `vqvae` and `prior` with the figures of `evaluation.evaluate_vqvae` and
            `evaluation.evaluate_prior`.

        Raises:
            ValueError: for another stage, images of another shape, or codes that were kept of more
                or fewer images than there are now.
        """
        stages = stages_named(stage)
        if stage == "all" and not self.finished("prior"):
            stages = ("vqvae",)
        held_out = HeldOut(self, images)
        return {"part": held_out.part, **held_out.figures(stages, batch_size, verbose)}

    def write_report(
        self,
        images: Any = None,
        samples: int | None = None,
        path: str | os.PathLike[str] | None = None,
        batch_size: int = 128,
        verbose: int = 0,
        report: Callable[[str], None] | None = None,
    ) -> dict[str, Any]:
        """Figures as of `evaluate`, and of samples, in `metrics.json`; and a page to look at.

        Samples of the prior are compared with real images: Fréchet distance, precision and recall
        of features, which are those of a classifier that is trained on the labels once, or without
        labels those of the VQ-VAE's own encoder; and by their nearest training images. Without a
        trained prior all this is left out, and `notes` say so. Images are read, drawn and decoded
        batch by batch.

        Args:
            images: as for `evaluate`. Figures of other images are not written to `metrics.json`.
            samples: how many to draw. By default as many as there are images, 10 000 at most; 0
                compares none.
            path: the page, which is replaced if it is there. By default the run's `report.html`;
                with `images`, none is written.
            batch_size: images at one time. Defaults to `128`.
            verbose: 1 for progress bars. Defaults to `0`.
            report: is told in words what begins. Defaults to `None`.

        Returns:
            `part`, `vqvae`, `bits_per_dimension`, with a prior `prior`, `samples` and
            `nearest_training_image`; and `notes`, what is left out and why.

        Raises:
            FileNotFoundError: if the VQ-VAE is not trained to its end.
            IsADirectoryError: if `path` is a folder.
            ValueError: for images of another shape or that are not finite, `samples` below 0, or
                samples of a run that has no trained prior.
        """
        if path is None and images is None:
            path = self.files.report
        if path is not None and Path(path).is_dir():
            raise IsADirectoryError(f"the page {str(path)!r} is a folder. Give the name of a file")
        found = evaluating.Evaluation(
            self, images, samples, batch_size, verbose, report or (lambda text: None)
        ).findings()
        figures = {"part": found.held_out.part, **found.figures, "notes": found.notes}
        if images is None:
            evaluating.keep(self, found)
        if path is not None:
            report_page(self, found, figure_rows(figures)).save(path)
        return figures

    def data_changed(self) -> bool:
        """Whether the training images are others than when the run began, as far as files tell.

        They are also if their classes have other numbers now.
        """
        began_with, train = self.metrics().get("data", {}), self.parts.train
        classes = None if train.class_names is None else list(train.class_names)
        same_classes = began_with.get("classes", classes) == classes
        return began_with.get("fingerprint") not in (None, train.fingerprint()) or not same_classes

    def check_data(self) -> None:
        """Sees to it that the training images are those that the run began with.

        Raises:
            ValueError: if `data_changed`.
        """
        if self.data_changed():
            raise ValueError(
                f"the images of {self.config.data.source!r}, or the folders of their classes, have "
                "changed since this run began. Restore them, or begin a run anew (`train` with "
                "`--overwrite`, or with another `--output`)"
            )

    def check_settings(self) -> None:
        """Sees to it that this object has the settings of the run, which may have been changed.

        Raises:
            ValueError: if it has not.
        """
        differences = RunConfig.from_dict(read_json(self.files.config)).differences(self.config)
        if differences:
            raise ValueError(
                f"the settings of {str(self.directory)!r} have been changed since this object was "
                f"made ({'; '.join(differences)}). Use what `change_prior` gives, or `Run.open`"
            )

    def metrics(self) -> dict[str, Any]:
        """What `metrics.json` holds."""
        return read_json(self.files.metrics) if self.files.metrics.exists() else {}

    def _images_changed(self, part: str) -> bool:
        """Whether a part has other images than those of the kept codes, as far as is known."""
        of = self.metrics().get("encoded", {}).get(part)
        if of is None:
            return False
        try:
            source = getattr(self.parts, part)
        except (OSError, ValueError):  # they are not there any more: their codes are
            return False
        return source is not None and of != source.fingerprint()

    def _class_names(self) -> list[str] | None:
        """Of the training images by number, as far as is known without looking at them."""
        names: list[str] | None = self.metrics().get("data", {}).get("classes")
        return names

    def info(self) -> dict[str, Any]:
        """Settings, progress, versions, device, fingerprints and sizes."""
        return describe(self)
