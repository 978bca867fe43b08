"""What `Run.write_report` computes: figures of reconstructions, codes and samples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from keras_vqvae import evaluation
from keras_vqvae.data import ImageBatches, ImageSource
from keras_vqvae.metrics import FrechetDistance
from keras_vqvae.runs.directory import SAMPLE_FIGURES, STAGES, write_json
from keras_vqvae.runs.encoding import in_batches
from keras_vqvae.runs.extractors import check_enough, feature_extractor
from keras_vqvae.runs.held_out import HeldOut
from keras_vqvae.runs.parts import labels_like
from keras_vqvae.runs.prices import image_prices
from keras_vqvae.runs.sample_count import check_samples, sample_count

if TYPE_CHECKING:
    from keras_vqvae.runs.run import Run

# So many samples are drawn in any case, to be looked at.
SHEET = 64
# Of so many images the nearest training image is looked for.
_COPIES = 128
NEIGHBORS = 3


class Drawn(NamedTuple):
    """What a prior drew.

    Attributes:
        codes: `(n, h, w)`.
        labels: the classes that were asked for, `(n,)`; `None` of a prior without classes.
    """

    codes: npt.NDArray[np.int32]
    labels: npt.NDArray[np.int32] | None


class Nearest(NamedTuple):
    """Training images that are nearest to samples.

    Attributes:
        samples: images in the model's `value_range`, `(n, H, W, C)`.
        indices: of training images, `(n, neighbours)`, the nearest first.
        distances: on the [0, 1] scale, of the same shape.
    """

    samples: npt.NDArray[np.float32]
    indices: npt.NDArray[np.int64]
    distances: npt.NDArray[np.float64]


@dataclass
class Findings:
    """What was found out about a run.

    Attributes:
        held_out: the images that it was evaluated on.
        figures: by group, as in `metrics.json`.
        drawn: what the prior drew, `None` without a prior.
        nearest: of the first samples, where they were looked for.
        notes: what is missing, and why.
    """

    held_out: HeldOut
    figures: dict[str, Any]
    drawn: Drawn | None = None
    nearest: Nearest | None = None
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
        check_samples(samples)
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
        held_out = HeldOut(run, self._images)
        stages = [stage for stage in STAGES if run.finished(stage)]
        found = Findings(held_out, held_out.figures(stages, self._batch_size, self._verbose))
        found.figures["bits_per_dimension"] = image_prices(
            found.figures["vqvae"], found.figures.get("prior"), run.vqvae().image_shape
        )
        held_out.codes(self._verbose)  # those of other images are found out before any are drawn
        if "prior" in stages:
            self._judge_samples(found)
        else:
            found.notes.append(
                "This run has no trained prior: there are no samples, no bits of codes under a "
                "prior, no Fréchet distance, precision or recall of samples, and no look for "
                "copies of training images. `keras-vqvae prior RUN` trains one."
            )
        return found

    def _judge_samples(self, found: Findings) -> None:
        count = sample_count(self._samples, found.held_out.source)
        found.drawn = self._draw(found.held_out.source, max(count, SHEET))
        if count:
            self._compare(found, found.drawn.codes[:count])
        else:
            found.notes.append("No samples were compared with real images: 0 were asked for.")
        if found.held_out.were_trained_on:
            found.notes.append(
                "There are no held-out images: all figures are of training images, and no copies "
                "of them were looked for."
            )
        else:
            self._look_for_copies(found, found.drawn.codes[:_COPIES])

    def _draw(self, source: ImageSource, count: int) -> Drawn:
        """Samples, of the classes in the proportions of these images."""
        prior, seed = self._run.prior(), self._run.config.seed
        labels = None if prior.num_classes is None else labels_like(source, count, seed)
        self._report(f"Drawing {count} images")
        return Drawn(prior.sample(count, labels=labels, seed=seed, verbose=self._verbose), labels)

    def _compare(self, found: Findings, codes: npt.NDArray[np.int32]) -> None:
        """By features: samples, what is lost without any prior, and what real images differ by."""
        run, source, size = self._run, found.held_out.source, self._batch_size
        try:
            check_enough(run.parts, min(len(source), len(codes)), len(codes))
        except ValueError as error:
            found.notes.append(f"Features were not compared: {error}.")
            return
        extractor, name = feature_extractor(
            run.parts,
            run.files.classifier,
            (found.held_out.title, source),
            lambda: (run.vqvae(), "VQ-VAE"),
            run.config.seed,
            self._verbose,
            self._report,
        )
        self._report(f"Comparing features ({name})")
        real = source.spread(len(codes))
        features = evaluation.image_features(real, extractor, size)
        sets = {
            "samples": self._decoded(codes),
            "reconstructions": self._reconstructed(real),
            "training_images": run.parts.train.spread(len(real)),
        }
        group: dict[str, Any] = {"feature_extractor": name}
        for kind, images in sets.items():
            others = evaluation.image_features(images, extractor, size)
            try:  # Of features there may be too few. That images cannot be read is no note.
                if kind == "samples":
                    group |= evaluation.evaluate_samples(features, others)
                    found.figures["samples"] = group
                else:
                    distance = FrechetDistance()
                    distance.update_state(features, others)
                    group[f"frechet_distance_of_{kind}"] = distance.result()
            except ValueError as error:
                found.notes.append(f"Features were not compared to the end: {error}.")
                return

    def _look_for_copies(self, found: Findings, codes: npt.NDArray[np.int32]) -> None:
        """How near samples come to training images, beside held-out images and reconstructions."""
        run, vqvae = self._run, self._run.vqvae()
        self._report("Looking for the nearest training images")
        held_out = found.held_out.source.spread(_COPIES).as_array()
        queries = {
            "samples": vqvae.decode(codes),
            "held_out_images": held_out,
            "their_reconstructions": vqvae.reconstruct(held_out),
        }
        train = run.parts.train
        indices, distances = evaluation.nearest_images(
            np.concatenate([q.astype(np.float32) for q in queries.values()]),
            train,
            min(NEIGHBORS, len(train)),
            vqvae.value_range,
        )
        ends = np.cumsum([len(q) for q in queries.values()])
        parts = np.split(distances, ends[:-1])
        found.figures["nearest_training_image"] = {
            kind: float(np.median(part[:, 0])) for kind, part in zip(queries, parts, strict=True)
        }
        found.nearest = Nearest(queries["samples"], indices[: ends[0]], parts[0])

    def _decoded(self, codes: npt.NDArray[np.int32]) -> Iterator[npt.NDArray[np.float32]]:
        return map(self._run.vqvae().decode, in_batches(codes, self._batch_size))

    def _reconstructed(self, source: ImageSource) -> Iterator[npt.NDArray[np.float32]]:
        batches = ImageBatches(source, self._batch_size)
        for step in range(len(batches)):
            yield self._run.vqvae().reconstruct(np.asarray(batches[step]))


def keep(run: "Run", found: Findings) -> None:
    """Writes the figures to `metrics.json`, beside what training wrote there.

    Those of samples are removed if this evaluation has none: its notes say why.
    """
    content = {k: v for k, v in run.metrics().items() if k not in SAMPLE_FIGURES}
    for name, group in found.figures.items():
        content[name] = {**content.get(name, {}), **group}
    content |= {
        "evaluated_on": found.held_out.part,
        "evaluated_images": found.held_out.source.fingerprint(),
        "notes": found.notes,
    }
    write_json(run.files.metrics, content)
