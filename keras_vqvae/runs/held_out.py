"""The images that a run is judged by."""

import warnings
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from keras_vqvae import evaluation
from keras_vqvae.data import CodeFile
from keras_vqvae.data.codes import encode_source

if TYPE_CHECKING:
    from keras_vqvae.runs.run import Run


class HeldOut:
    """Images, their codes, and the figures of a run's models on them.

    Args:
        run: the run.
        images: as for `Run.evaluate`; `None` are the run's own.

    Attributes:
        part: which images they are: the part of the run's data, or the name of others.
        title: what to call them in a sentence, `"test images"`.
        source: the images.
    """

    def __init__(self, run: "Run", images: Any) -> None:
        self._run = run
        self._are_own = images is None
        self._codes: CodeFile | None = None
        if self._are_own and run.data_changed():
            warnings.warn(
                f"the images of {run.config.data.source!r} are not those that this run began "
                "with, or were copied: some that are held out now may have been trained on",
                stacklevel=3,
            )
        self.part, self.source = run.parts.evaluation(images)
        self.title = f"{self.part} images" if self._are_own else f"images of {self.part!r}"

    @property
    def were_trained_on(self) -> bool:
        """Whether there are no held-out images, and these stand in."""
        return self._are_own and self.part == "train"

    def codes(self, verbose: int = 0) -> CodeFile:
        """Their codes, with labels; those of the run's own images are kept.

        Raises:
            ValueError: if codes were kept, it is not known of which images, and there are more or
                fewer now.
        """
        if self._codes is None:
            self._codes = self._kept_codes(verbose) if self._are_own else self._new_codes(verbose)
        return self._codes

    def figures(self, stages: Collection[str], batch_size: int, verbose: int) -> dict[str, Any]:
        """By stage, as `Run.evaluate` gives them; the models of these stages are trained.

        Raises:
            ValueError: for images without labels where the prior is conditioned on them, before
                any work is done; as `codes`.
        """
        run, figures = self._run, {}
        if "prior" in stages and self.source.labels is None and run.prior().num_classes is not None:
            raise ValueError(
                f"the images of {self.source.name!r} should have labels, one folder a class: the "
                "prior of this run is conditioned on the class"
            )
        if "vqvae" in stages:
            figures["vqvae"] = evaluation.evaluate_vqvae(
                run.vqvae(), self.source, batch_size, verbose
            )
        if "prior" in stages:
            file = self.codes(verbose)
            figures["prior"] = evaluation.evaluate_prior(
                run.prior(), file.codes, file.labels, batch_size
            )
        return figures

    def _new_codes(self, verbose: int) -> CodeFile:
        return encode_source(self._run.vqvae(), self.source, verbose=verbose)

    def _kept_codes(self, verbose: int) -> CodeFile:
        found = self._run.codes(self.part, verbose)
        path = str(self._run.files.codes(self.part))
        if len(found.codes) != len(self.source):
            raise ValueError(
                f"the file {path!r} holds the codes of {len(found.codes)} images, and there are "
                f"{len(self.source)}. Remove it: it is made anew"
            )
        return found
