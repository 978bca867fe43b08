"""What `Run.write_report` computes: figures of reconstructions, codes and samples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from keras_vqvae import evaluation, metrics
from keras_vqvae.data import ImageBatches, ImageSource
from keras_vqvae.runs.directory import SAMPLE_FIGURES, write_json
from keras_vqvae.runs.encoding import check_count
from keras_vqvae.runs.extractors import check_enough, feature_extractor
from keras_vqvae.runs.parts import labels_like, spread
from keras_vqvae.runs.prices import image_prices

if TYPE_CHECKING:
    from keras_vqvae.runs.run import Run

# At most so many samples and real images are compared.
MOST_SAMPLES = 10_000
SHEET = 64
# Of so many images the nearest training image is looked for.
_COPIES = 128
NEIGHBORS = 3


@dataclass
class Findings:
    """What was found out about a run.

    Attributes:
        part: which images it was evaluated on.
        title: what to call them in a sentence, `"test images"`.
        source: these images.
        figures: by group, as in `metrics.json`.
        codes: of all these images.
        drawn: codes that the prior drew, `None` without a prior.
        labels: of the drawn codes, for a conditional prior.
        nearest: for the first samples, indices of training images and their distances.
        notes: what is missing, and why.
    """

    part: str
    title: str
    source: ImageSource
    figures: dict[str, Any]
    codes: npt.NDArray[np.int32]
    drawn: npt.NDArray[np.int32] | None = None
    labels: npt.NDArray[np.int32] | None = None
    nearest: tuple[Any, Any] | None = None
    notes: list[str] = field(default_factory=list)


class Evaluation:
    """One evaluation of a run.

    Args:
        run: the run; its VQ-VAE is trained.
        images: other images than its own, or `None`.
        samples: how many images to draw and compare; by default as many as there are real ones, and
            10 000 at most; 0 for none.
        batch_size: images at one time.
        verbose: 1 for progress bars.
        report: is told in words what begins.
    """

    def __init__(
        self,
        run: "Run",
        images: Any,
        samples: int | None,
        batch_size: int,
        verbose: int,
        report: Callable[[str], None],
    ) -> None:
        if samples is not None and samples < 0:
            raise ValueError(f"`samples` should be at least 0. Received: samples={samples}")
        run.vqvae()  # raises if it is not trained, before any data is read
        if samples and not run.finished("prior"):
            raise ValueError(
                f"{str(run.directory)!r} has no trained prior to draw from. Received: "
                f"samples={samples}. Train one with `keras-vqvae prior`, or ask for no samples"
            )
        self._run = run
        self._images = images
        self._samples = samples
        self._batch_size = batch_size
        self._verbose = verbose
        self._report = report

    def findings(self) -> Findings:
        """All that can be found out."""
        run = self._run
        self._report("Reconstructing held-out images")
        part, source = run.parts.evaluation(self._images)
        figures = run.evaluate(self._images, batch_size=self._batch_size, verbose=self._verbose)
        codes = (
            run.codes(part) if self._images is None else run.encode(source, verbose=self._verbose)
        )
        check_count(codes, source, run.files.codes(part))
        title = f"{part} images" if self._images is None else f"images of {part!r}"
        groups = {k: v for k, v in figures.items() if k != "part"}
        found = Findings(part, title, source, groups, codes.codes)
        found.figures["bits_per_dimension"] = image_prices(
            groups["vqvae"], groups.get("prior"), run.vqvae().image_shape
        )
        if not run.finished("prior"):
            found.notes.append(
                "This run has no trained prior: there are no samples, no bits of codes under a "
                "prior, no Fréchet distance, precision or recall of samples, and no look for "
                "copies of training images. `keras-vqvae prior RUN` trains one."
            )
            return found
        count = min(len(source), MOST_SAMPLES) if self._samples is None else self._samples
        self._draw(found, count)
        if count:
            self._compare(found, count)
        else:
            found.notes.append("No samples were compared with real images: 0 were asked for.")
        if self._images is None and part == "train":
            found.notes.append(
                "There are no held-out images: all figures are of training images, and no copies "
                "of them were looked for."
            )
        else:
            self._look_for_copies(found)
        return found

    def _draw(self, found: Findings, count: int) -> None:
        run, prior = self._run, self._run.prior()
        # A sheet of them is drawn in any case, to be looked at.
        count = max(count, SHEET)
        if prior.num_classes is not None:
            found.labels = labels_like(found.source, count, run.config.seed)
        self._report(f"Drawing {count} images")
        found.drawn = prior.sample(
            count, labels=found.labels, seed=run.config.seed, verbose=self._verbose
        )

    def _compare(self, found: Findings, count: int) -> None:
        assert found.drawn is not None  # the caller has drawn
        run, size = self._run, self._batch_size
        try:
            check_enough(run.parts, min(len(found.source), count), count)
        except ValueError as error:
            found.notes.append(f"Features were not compared: {error}.")
            return
        extractor, name = feature_extractor(
            run.parts,
            run.files.classifier,
            (found.title, found.source),
            lambda: (run.vqvae(), "VQ-VAE"),
            run.config.seed,
            self._verbose,
            self._report,
        )
        self._report(f"Comparing features ({name})")
        real = spread(found.source, count)
        features = evaluation.image_features(real, extractor, size)
        sets = {
            "samples": self._decoded(found.drawn[:count]),
            "reconstructions": self._reconstructed(real),
            "training_images": spread(run.parts.train, len(real)),
        }
        group: dict[str, Any] = {"feature_extractor": name}
        for kind, images in sets.items():
            others = evaluation.image_features(images, extractor, size)
            try:  # Of features there may be too few. That images cannot be read is no note.
                if kind == "samples":
                    group |= evaluation.evaluate_samples(features, others)
                    found.figures["samples"] = group
                else:
                    distance = metrics.FrechetDistance()
                    distance.update_state(features, others)
                    group[f"frechet_distance_of_{kind}"] = distance.result()
            except ValueError as error:
                found.notes.append(f"Features were not compared to the end: {error}.")
                return

    def _look_for_copies(self, found: Findings) -> None:
        run, vqvae = self._run, self._run.vqvae()
        assert found.drawn is not None  # the caller has drawn
        self._report("Looking for the nearest training images")
        held_out = spread(found.source, _COPIES)
        real = held_out.read(np.arange(len(held_out)))
        queries = {
            "samples": vqvae.decode(found.drawn[:_COPIES]),
            "held_out_images": real,
            "their_reconstructions": vqvae.reconstruct(real),
        }
        train = run.parts.train
        indices, distances = evaluation.nearest_images(
            np.concatenate([q.astype(np.float32) for q in queries.values()]),
            train,
            min(NEIGHBORS, len(train)),
            vqvae.value_range,
        )
        starts = np.cumsum([0, *map(len, queries.values())])
        found.figures["nearest_training_image"] = {
            kind: float(np.median(distances[start : start + len(queries[kind]), 0]))
            for kind, start in zip(queries, starts, strict=False)
        }
        drawn = len(queries["samples"])
        found.nearest = indices[:drawn], distances[:drawn]

    def _decoded(self, codes: Any) -> Iterator[Any]:
        for start in range(0, len(codes), self._batch_size):
            yield self._run.vqvae().decode(codes[start : start + self._batch_size])

    def _reconstructed(self, source: ImageSource) -> Iterator[Any]:
        batches = ImageBatches(source, self._batch_size)
        for step in range(len(batches)):
            yield self._run.vqvae().reconstruct(np.asarray(batches[step]))


def keep(run: "Run", found: Findings) -> None:
    """Writes the figures to `metrics.json`, beside what training wrote there.

    Those of samples are removed if this evaluation has none: its notes say why.
    """
    metrics = {k: v for k, v in run.metrics().items() if k not in SAMPLE_FIGURES}
    for name, group in found.figures.items():
        metrics[name] = {**metrics.get(name, {}), **group}
    metrics |= {"evaluated_on": found.part, "notes": found.notes}
    write_json(run.files.metrics, metrics)
