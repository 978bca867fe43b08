"""VQ-VAE and prior as one thing."""

import os
import pathlib
import tempfile
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_vqvae.models.code_prior import CodePrior
from keras_vqvae.models.pixelcnn import PixelCNN
from keras_vqvae.models.prior_checks import check_sizes
from keras_vqvae.models.vqvae import VQVAE

__all__ = ["LogProbTerms", "TwoStage"]


class LogProbTerms(NamedTuple):
    """What the probability of an image in two stages is made of, in nats: float64 `(N,)`.

    Attributes:
        reconstruction: `log p(x | z_q)`, of the 8-bit image given its own codes.
        codes: `log p(z_q)`, of its codes under the prior.
    """

    reconstruction: np.ndarray
    codes: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """Their sum."""
        return self.reconstruction + self.codes


class TwoStage:
    """A generator of images: a VQ-VAE, and a prior that learns the distribution of its codes.

    Args:
        vqvae: a `VQVAE`.
        prior: a `CodePrior` for its codes. By default a `PixelCNN` of default size.

    Raises:
        TypeError: for models of other kinds, such as the two in the wrong order.
        ValueError: if the prior is for another grid, another number of codes, or was fitted on the
            codes of another model.

    Example:
    >>> import numpy as np
    >>> from keras_vqvae import models
    >>> vqvae = models.convolutional_vqvae((8, 8, 1), num_embeddings=8, widths=(4, 4))
    >>> prior = models.PixelCNN(
    ...     vqvae.code_shape, vqvae.num_embeddings, filters=8, residual_blocks=1
    ... )
    >>> model = TwoStage(vqvae, prior)
    >>> images = np.random.randint(0, 256, (16, 8, 8, 1)).astype("uint8")
    >>> history = model.fit(images, epochs=(1, 1), verbose=0)
    >>> model.sample(2, seed=0).shape
    (2, 8, 8, 1)

    References:
        - [Neural Discrete Representation Learning](https://arxiv.org/abs/1711.00937), §3.3
    """

    def __init__(self, vqvae: VQVAE, prior: CodePrior | None = None) -> None:
        self.vqvae = _checked("vqvae", vqvae, VQVAE)
        if prior is None:
            prior = PixelCNN(vqvae.code_shape, vqvae.num_embeddings)
        self.prior = _checked("prior", prior, CodePrior)
        sizes, table_sizes = check_sizes(vqvae.num_embeddings, vqvae.code_shape)
        if (vqvae.code_shape, table_sizes) != (prior.code_shape, prior.table_sizes):
            raise ValueError(
                f"`prior` should be for codes of shape {vqvae.code_shape} below {sizes}, as the "
                f"VQ-VAE's are. Received: a prior for shape {prior.code_shape} below "
                f"{prior.num_embeddings}"
            )
        self._check_fingerprint()

    def fit(
        self,
        images: Any,
        labels: Any = None,
        epochs: tuple[int, int] = (10, 10),
        batch_size: int = 128,
        validation_data: Any = None,
        callbacks: tuple[Any, Any] = (None, None),
        verbose: Any = "auto",
    ) -> tuple[Any, Any]:
        """Trains the VQ-VAE, encodes the images, and trains the prior on their codes.

        A model that is not compiled yet is compiled with its defaults (Adam).

        Args:
            images: array `(N, H, W, C)` in the VQ-VAE's `value_range`.
            labels: for a conditional prior what its `fit` takes as `y`: integer array `(N,)`,
                conditions, or the pair of both.
            epochs: of the VQ-VAE, and of the prior. 0 leaves a stage as it is.
            batch_size: images, or grids of codes, a step. Defaults to `128`.
            validation_data: images, or images and labels, that neither stage trains on.
            callbacks: Keras callbacks of the VQ-VAE's stage, and of the prior's.
            verbose: as for `keras.Model.fit`.

        Returns:
            The two histories, as `keras.Model.fit` returns them; `None` for a stage of 0 epochs.

        Raises:
            TypeError: for images that are no array, and labels that are no integers.
            ValueError: for labels that the prior needs and are missing, or of another shape or out
                of range, before anything is trained; and what the `fit` of either stage refuses.
        """
        for name, both in (("epochs", epochs), ("callbacks", callbacks)):
            if not isinstance(both, list | tuple) or len(both) != 2:
                raise ValueError(
                    f"`{name}` should be two, for the VQ-VAE and for the prior. "
                    f"Received: {name}={both!r}"
                )
        several = isinstance(validation_data, list | tuple)
        *pair, weights = keras.utils.unpack_x_y_sample_weight(
            tuple(validation_data) if several else validation_data
        )
        self.vqvae.refuse_weights(sample_weight=weights)
        named = (("images", images, labels), ("validation_data", *pair))
        for name, given, y in named:
            if given is None and name == "validation_data":
                continue
            if not hasattr(given, "__array__"):
                raise TypeError(
                    f"`{name}` should be an array of images. Received: {given!r}. Of batches, fit "
                    "the VQ-VAE first, and the prior on `models.EncodedBatches(vqvae, batches)`."
                )
            if epochs[1]:  # now, and not after the first stage, which may take hours
                self.prior.check_y(y, len(given))
        histories: list[Any] = [None, None]
        common = {"batch_size": batch_size, "verbose": verbose}
        if epochs[0]:
            _compile_if_needed(self.vqvae)
            histories[0] = self.vqvae.fit(
                images,
                epochs=epochs[0],
                validation_data=pair[0],
                callbacks=callbacks[0],
                **common,
            )
        if epochs[1]:
            _compile_if_needed(self.prior)
            validation = None if pair[0] is None else (self.vqvae.encode(pair[0]), pair[1])
            self.prior.codes_fingerprint = self.vqvae.fingerprint()
            histories[1] = self.prior.fit(
                self.vqvae.encode(images),
                labels,
                epochs=epochs[1],
                validation_data=validation,
                callbacks=callbacks[1],
                **common,
            )
        return histories[0], histories[1]

    def sample(self, n: int, batch_size: int | None = None, **kwargs: Any) -> np.ndarray:
        """Draws new images: codes from the prior, decoded.

        Args:
            n: how many.
            batch_size: how many at one time, at most. By default as `CodePrior.sample` has it: 64,
                or fewer where their state would be large.
            **kwargs: as for `CodePrior.sample`: `labels`, `sampler`, `given`, `seed`, `condition`,
                `guidance`, `verbose`.

        Returns:
            NumPy float32 `(n, H, W, C)` in the VQ-VAE's `value_range`.
        """
        self._check_fingerprint()
        codes = self.prior.sample(n, batch_size=batch_size, **kwargs)
        if n == 0:
            return np.zeros((0, *self.vqvae.image_shape), "float32")
        return self.vqvae.decode(codes, batch_size=batch_size or 64)

    def log_prob(
        self, images: Any, labels: Any = None, condition: Any = None, batch_size: int = 128
    ) -> np.ndarray:
        """A lower bound on the log-probability of images: `log p(x | z_q) + log p(z_q)`.

        The probability of an image is a sum over all grids of codes, of which this is the term of
        its own. Images are scored as 8 bits a channel, by `likelihood.log_prob`.

        Args:
            images: array or data set of images `(N, H, W, C)` in the VQ-VAE's `value_range`.
            labels: integer array `(N,)`, for a prior conditioned on classes.
            condition: float array `(N, *condition_shape)`, for a prior conditioned on such.
            batch_size: how many at one time, for arrays. Defaults to `128`.

        Returns:
            NumPy float64 `(N,)`, in nats; `log_prob_terms` gives the two terms.

        Raises:
            ValueError: for a prior of other codes, images of another shape or scale or such as the
                likelihood cannot score, and missing labels.
        """
        return self.log_prob_terms(images, labels, condition, batch_size).total

    def log_prob_terms(
        self, images: Any, labels: Any = None, condition: Any = None, batch_size: int = 128
    ) -> LogProbTerms:
        """The two terms of `log_prob`, which takes the same arguments."""
        self._check_fingerprint()
        reconstruction, codes, count = [np.zeros((0,))], [np.zeros((0,))], 0
        labels, condition = (
            None if y is None else np.atleast_1d(np.asarray(y)) for y in (labels, condition)
        )
        for grids, log_probs in self.vqvae.scored_batches(images, batch_size):
            first, count = count, count + len(grids)
            label, vector = (None if y is None else y[first:count] for y in (labels, condition))
            reconstruction.append(log_probs)
            codes.append(self.prior.log_prob(grids, label, vector, batch_size))
        for name, y in (("labels", labels), ("condition", condition)):
            if y is not None and len(y) != count:
                raise ValueError(
                    f"`{name}` should be as many as `images`. "
                    f"Received: shape {y.shape}, {count} images"
                )
        return LogProbTerms(*(np.concatenate(x, dtype="float64") for x in (reconstruction, codes)))

    def save(self, directory: Any) -> None:
        """Writes `vqvae.keras` and `prior.keras` into a directory, which is made if needed.

        Each file appears whole or not at all; files of these names are replaced.

        Raises:
            ValueError: for a name that ends in `.keras`, which is that of a file with one model.
        """
        folder = pathlib.Path(directory)
        if folder.suffix == ".keras":
            raise ValueError(
                "`directory` should be a directory for the two models, which `TwoStage.load` "
                f"reads. Received: directory={str(directory)!r}, the name of a file"
            )
        folder.mkdir(parents=True, exist_ok=True)
        for name, model in (("vqvae", self.vqvae), ("prior", self.prior)):
            with tempfile.TemporaryDirectory(dir=folder) as temporary:
                path = pathlib.Path(temporary) / f"{name}.keras"
                model.save(path)
                os.replace(path, folder / path.name)

    @classmethod
    def load(cls, directory: Any) -> "TwoStage":
        """The model that `save` wrote into a directory.

        Raises:
            FileNotFoundError: if one of the two files is missing.
        """
        folder = pathlib.Path(directory)
        paths = [folder / "vqvae.keras", folder / "prior.keras"]
        for path in paths:
            if not path.is_file():
                raise FileNotFoundError(
                    f"`directory` should hold vqvae.keras and prior.keras. Missing: {path}"
                )
        return cls(*(keras.models.load_model(path) for path in paths))

    def _check_fingerprint(self) -> None:
        fitted_on = self.prior.codes_fingerprint
        if fitted_on is not None and fitted_on != self.vqvae.fingerprint():
            raise ValueError(
                "`prior` was fitted on the codes of another VQ-VAE (or of this one before it was "
                f"trained on): fingerprint {fitted_on[:12]}, not {self.vqvae.fingerprint()[:12]}. "
                "Fit a new prior on the codes of this one."
            )


def _checked(name: str, model: Any, kind: type[Any]) -> Any:
    if not isinstance(model, kind):
        raise TypeError(f"`{name}` should be a `models.{kind.__name__}`. Received: {model!r}")
    return model


def _compile_if_needed(model: keras.Model) -> None:
    if not model.compiled:
        model.compile()
