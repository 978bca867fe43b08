"""What `Run.train` does for each stage: fit, look, evaluate."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vqvae import evaluation
from keras_vqvae.data import CodeFile, ImageBatches
from keras_vqvae.runs.building import build_prior
from keras_vqvae.runs.creating import forget_figures
from keras_vqvae.runs.directory import stages_named, write_json
from keras_vqvae.runs.parts import class_captions
from keras_vqvae.runs.prices import with_figures
from keras_vqvae.runs.stages import code_batches, fit_image_model, fit_stage
from keras_vqvae.runs.watched import tensorboard_callbacks

if TYPE_CHECKING:
    from keras_vqvae.runs.run import Run

# Of a prior without classes.
_SAMPLES = 64
_RECONSTRUCTIONS = 32


class Session:
    """One call of `Run.train`.

    Args:
        run: the run.
        verbose: as for `keras.Model.fit`.
        callbacks: further Keras callbacks.
        tensorboard: whether to write event files.
        report: is told in words what begins.
        checkpoint_minutes: how often to write a checkpoint within an epoch.
    """

    def __init__(
        self,
        run: "Run",
        verbose: Any,
        callbacks: Sequence[Any],
        tensorboard: bool,
        report: Callable[[str], None] | None,
        checkpoint_minutes: float | None,
    ) -> None:
        if checkpoint_minutes is not None and not checkpoint_minutes > 0:
            raise ValueError(
                "`checkpoint_minutes` should be positive, or None. "
                f"Received: checkpoint_minutes={checkpoint_minutes!r}"
            )
        self._run = run
        self._verbose = verbose
        self._bars = 1 if verbose in (1, "auto") else 0
        self._callbacks = list(callbacks)
        self._tensorboard = tensorboard
        self._report = report or (lambda text: None)
        self._checkpoint_seconds = checkpoint_minutes and 60.0 * checkpoint_minutes

    def has_work(self, stage: str) -> bool:
        """Whether something of a stage, or of `"all"`, is not done yet."""
        run, done = self._run, self._run.metrics().get("seconds", {})
        return not all(run.finished(one) and one in done for one in stages_named(stage))

    def train(self, stage: str) -> None:
        """Does what is not done yet of a stage, or of `"all"`.

        Raises:
            ValueError: for another stage, or a prior before its VQ-VAE; and as `Run.train`.
        """
        stages = stages_named(stage)
        if stage == "prior" and not self._run.finished("vqvae"):
            raise ValueError(
                f"the VQ-VAE of {str(self._run.directory)!r} is not trained to its end, and the "
                "prior learns its codes. Train with stage 'vqvae' or 'all' first"
            )
        for one in stages:
            if not self._train(one):
                return

    def _train(self, stage: str) -> bool:
        """Does what is not done yet of one stage; whether it is done then."""
        run = self._run
        if not run.finished(stage):
            run.files.remove_leftovers()
            run.check_settings()
            run.check_data()
            if stage in run.metrics().get("seconds", {}):
                forget_figures(run.files, stage)  # of a model that is gone
            self._fit_vqvae() if stage == "vqvae" else self._fit_prior()
        if not run.finished(stage):
            left = run.progress(stage)
            self._report(f"A callback has ended the training after {left.kept}")
            return False
        if stage not in run.metrics().get("seconds", {}):
            self._finish(stage)
        return True

    def _fit_vqvae(self) -> None:
        run = self._run
        self._announce("vqvae", f"the VQ-VAE on {len(run.parts.train)} images")
        fit_image_model(
            "vqvae",
            run.files,
            run.config,
            run.parts,
            self._verbose,
            self._callbacks_of("vqvae"),
            self._checkpoint_seconds,
        )

    def _fit_prior(self) -> None:
        run, config = self._run, self._run.config
        training, parts = config.prior_training, run.parts
        self._report("Encoding the training images")
        start = time.perf_counter()
        codes = run.codes("train", self._bars)
        held_out = None if parts.validation is None else run.codes("validation")
        self._note_seconds("encode", time.perf_counter() - start)
        conditional = config.prior.conditional
        classes = parts.num_classes() if conditional else None
        self._announce("prior", f"the prior on the codes of {len(codes.codes)} images")

        def batches(file: CodeFile, shuffle: bool) -> ImageBatches:
            labels = file.labels if conditional else None
            return code_batches(file.codes, labels, training, config.seed, shuffle)

        fit_stage(
            "prior",
            run.files,
            config,
            lambda: build_prior(config, run.vqvae(), classes),
            batches(codes, shuffle=True),
            None if held_out is None else batches(held_out, shuffle=False),
            self._verbose,
            self._callbacks_of("prior"),
            self._checkpoint_seconds,
        )

    def _finish(self, stage: str) -> None:
        """Pictures and figures of a stage that is trained."""
        run = self._run
        start = time.perf_counter()
        if stage == "vqvae":
            self._report("Reconstructing held-out images")
            self._draw_reconstructions()
        else:
            count, columns = _sheet(run.prior().num_classes)
            self._report(f"Drawing {count} new images")
            self._draw_samples(count, columns)
            self._note_seconds("sample", time.perf_counter() - start)
            start = time.perf_counter()
        self._report("Evaluating")
        before = run.metrics().get("evaluated_images")
        images = run.parts.evaluation()[1].fingerprint()
        # Figures of both stages are of the same images, which may have changed in between.
        both = stage == "prior" and before not in (None, images)
        figures = run.evaluate(stage="all" if both else stage, verbose=self._bars)
        self._note_seconds("evaluate", time.perf_counter() - start)
        self._keep(stage, figures, images)

    def _keep(self, stage: str, figures: dict[str, Any], images: str) -> None:
        """Writes to `metrics.json` what is known of a stage, the last thing that it does."""
        run = self._run
        metrics = with_figures(run.metrics(), figures, images, run.vqvae().image_shape)
        metrics["data"] = run.parts.record()
        metrics[stage] |= self._facts(stage)
        if stage == "prior":
            # A report from before has notes of what it lacked, and prices without it.
            metrics.pop("notes", None)
        metrics["seconds"] = {
            **metrics.get("seconds", {}),
            stage: round(run.progress(stage).seconds, 2),
        }
        write_json(run.files.metrics, metrics)

    def _facts(self, stage: str) -> dict[str, Any]:
        run = self._run
        model: Any = run.vqvae() if stage == "vqvae" else run.prior()
        progress = run.progress(stage)
        facts: dict[str, Any] = {
            "parameters": model.count_params(),
            "epochs": progress.epochs,
            "best_epoch": progress.best_epoch,
        }
        if stage == "vqvae":
            facts["code_shape"] = list(model.code_shape)
            facts["num_embeddings"] = model.num_embeddings
            facts["fingerprint"] = model.fingerprint()
        return facts

    def _draw_reconstructions(self) -> None:
        run = self._run
        originals = run.parts.evaluation()[1].spread(_RECONSTRUCTIONS).as_array()
        vqvae = run.vqvae()
        evaluation.reconstruction_grid(
            originals,
            vqvae.reconstruct(originals),
            value_range=vqvae.value_range,
            path=run.files.reconstructions,
        )

    def _draw_samples(self, count: int, columns: int) -> None:
        run, classes = self._run, self._run.prior().num_classes
        captions, labels = None, None
        if classes is not None:
            labels = np.arange(count) % columns
            captions = class_captions(run.parts.train, labels)
        images = run.sample(count, labels=labels, verbose=self._bars)
        value_range = run.vqvae().value_range
        evaluation.image_grid(images, columns, value_range, run.files.samples, captions)

    def _callbacks_of(self, stage: str) -> list[Any]:
        if not self._tensorboard:
            return self._callbacks
        return [*self._callbacks, *tensorboard_callbacks(self._run, stage)]

    def _announce(self, stage: str, what: str) -> None:
        done = self._run.progress(stage)
        epoch = f", from epoch {done.epochs + 1}" if done.kept else ""
        step = f", step {done.steps + 1}" if done.steps else ""
        self._report(f"Training {what}{epoch}{step}")

    def _note_seconds(self, name: str, seconds: float) -> None:
        metrics = self._run.metrics()
        before = metrics.get("seconds", {})
        total = round(before.get(name, 0.0) + seconds, 2)
        write_json(self._run.files.metrics, {**metrics, "seconds": {**before, name: total}})


def _sheet(classes: int | None) -> tuple[int, int]:
    """How many samples are drawn, and in how many columns: those of a class below one another."""
    if classes is None:
        return _SAMPLES, 8
    columns = min(classes, 10)
    return 6 * columns, columns
