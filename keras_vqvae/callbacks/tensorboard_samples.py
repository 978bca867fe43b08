"""Samples in TensorBoard."""

import os
from typing import Any

from keras_vqvae.callbacks.event_files import EventFile
from keras_vqvae.callbacks.tensorboard_base import TensorBoardCallback
from keras_vqvae.checks import check_count
from keras_vqvae.evaluation import image_grid

__all__ = ["TensorBoardSamples"]


class TensorBoardSamples(TensorBoardCallback):
    """Writes images that the model samples, as one picture `samples`.

    The model that is trained is a prior, whose codes `vqvae` decodes, or a model that samples
    images itself, such as `models.VAE`. The seed is the same each time, so that pictures of
    different epochs are made of the same random numbers.

    Args:
        log_dir: a directory of its own for each training, a *run* in TensorBoard.
        vqvae: the `models.VQVAE` whose codes the prior learns; `None` if the model samples images.
        count: how many samples. Defaults to `16`.
        every: epochs from one picture to the next; the first and the last epoch have one too.
            Defaults to `5`.
        seed: an integer ≥ 0. Defaults to `0`.
        **kwargs: further arguments of the model's `sample`: `labels`, `sampler`, `guidance`, ….

    Raises:
        ValueError: for `every` or `count` below 1; when training begins, for a model that samples
            nothing, a prior of other codes than those of `vqvae`, and whatever `sample` refuses.
        OSError: when training begins, if the directory cannot be written.

    Example:
    >>> import numpy as np, tempfile
    >>> from keras_vqvae import models
    >>> vqvae = models.convolutional_vqvae((8, 8, 1), num_embeddings=6, widths=(4,))
    >>> prior = models.PixelCNN((4, 4), 6, filters=4, residual_blocks=1)
    >>> prior.compile("adam")
    >>> codes = np.random.randint(0, 6, (8, 4, 4))
    >>> samples = TensorBoardSamples(tempfile.mkdtemp(), vqvae, count=4)
    >>> history = prior.fit(codes, callbacks=[samples], verbose=0)
    """

    such_as = "`models.PixelCNN` and `models.VAE`"

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        vqvae: Any = None,
        count: int = 16,
        every: int = 5,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(log_dir, every)
        self.vqvae = vqvae
        self.count = check_count("count", count)
        self.seed = seed
        self.kwargs = kwargs

    def check(self) -> None:
        self.require("sample")
        model, vqvae = self.model, self.vqvae
        of_codes = hasattr(model, "code_shape")
        if of_codes != (vqvae is not None):
            remedy = "Leave `vqvae` out" if vqvae is not None else "Give `vqvae`, which decodes it"
            raise ValueError(
                f"Model '{model.name}' samples {'codes' if of_codes else 'images'}. {remedy}. "
                f"Received: vqvae={vqvae!r}"
            )
        self.require_pictures(vqvae if of_codes else model)
        if of_codes:
            self._require_its_codes()
        if model.built:
            self._samples()  # what `sample` refuses would end training after its first epoch

    def _require_its_codes(self) -> None:
        model, vqvae = self.model, self.vqvae
        ours, theirs = (
            (tuple(x.code_shape), _sizes(x.num_embeddings), x_fingerprint)
            for x, x_fingerprint in (
                (model, model.codes_fingerprint),
                (vqvae, vqvae.fingerprint() if model.codes_fingerprint else None),
            )
        )
        if ours != theirs:
            raise ValueError(
                f"`vqvae` should be the model whose codes '{model.name}' learns: shape {ours[0]}, "
                f"sizes {ours[1]}. Received: '{vqvae.name}' of shape {theirs[0]}, sizes {theirs[1]}"
                + (", with other weights" if ours[:2] == theirs[:2] else "")
            )

    def write(self, events: EventFile, epoch: int) -> None:
        value_range = (self.vqvae or self.model).value_range
        events.image("samples", image_grid(self._samples(), value_range=value_range), epoch)

    def _samples(self) -> Any:
        if self.vqvae is None:
            return self.model.sample(self.count, seed=self.seed, **self.kwargs)
        codes = self.model.sample(self.count, seed=self.seed, **{"verbose": 0, **self.kwargs})
        return self.vqvae.decode(codes)


def _sizes(num_embeddings: Any) -> Any:
    """K, or those of several indices, in one form."""
    if not isinstance(num_embeddings, list | tuple):
        return int(num_embeddings)
    sizes = tuple(int(size) for size in num_embeddings)
    return sizes[0] if len(set(sizes)) == 1 else sizes
