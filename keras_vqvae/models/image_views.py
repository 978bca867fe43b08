"""A trained autoencoder in use: images to latents, and back, and how probable they are."""

import hashlib
import threading
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vqvae.compilation import resolve_jit_compile
from keras_vqvae.models.batching import image_batches, map_batches
from keras_vqvae.models.images import refuse_list
from keras_vqvae.training import gradient_by_input

__all__ = ["ImageViews"]

# Layers count the calls that functional models are made of: two threads would mix theirs up. One
# for all models, as they may share layers.
_ONE_GRAPH = threading.RLock()


class ImageViews:
    """The part of `Autoencoder` that is for use, with the functional models that it runs."""

    name: str
    built: bool
    value_range: tuple[float, float]
    likelihood: Any
    encoder: Any
    decoder: Any
    to_unit_scale: Any
    from_unit_scale: Any
    build: Any
    check_images: Any
    compiled_function: Any
    parameters_of: Any
    _costs: Any
    _image_shape: Any
    _latent_shape: Any

    @property
    def image_shape(self) -> tuple[int, ...]:
        """`(height, width, channels)` of the images."""
        self._require_built("image_shape")
        shape: tuple[int, ...] = self._image_shape
        return shape

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Shape of what `encode` gives of an image: `(h, w, D)`, or that of its codes."""
        self._require_built("latent_shape")
        shape: tuple[int, ...] = self._latent_shape
        return shape

    def reconstruct(self, images: Any, batch_size: int = 128) -> np.ndarray:
        """Images through the bottleneck and back.

        Args:
            images: array or data set of images `(N, H, W, C)` in `value_range`.
            batch_size: how many at one time, for arrays. Defaults to `128`.

        Returns:
            NumPy float32 `(N, H, W, C)` in `value_range`.
        """
        self.check_images(images, "images")
        self._require_built("reconstruct")
        return self.map_data("reconstruct", self._reconstruct, images, batch_size)

    def encode(self, images: Any, batch_size: int = 128) -> np.ndarray:
        """The encoder's output for images: NumPy float32 `(N, h, w, D)`."""
        self.check_images(images, "images")
        return self.encode_checked(images, batch_size)

    def encode_checked(self, images: Any, batch_size: int) -> np.ndarray:
        """As `encode`, of images that have been looked at, such as a batch of more."""
        return self.map_data("encode", self.encoder_model(), images, batch_size)

    def decode(self, latents: Any, batch_size: int = 128) -> np.ndarray:
        """Images of latents.

        Args:
            latents: array `(N, h, w, D)`, or a data set or list of batches of such.
            batch_size: how many at one time. Defaults to `128`.

        Returns:
            NumPy float32 `(N, H, W, C)` in `value_range`.

        Raises:
            TypeError: for a list of single ones.
        """
        return self._decode(latents, "latents", batch_size)

    def _decode(self, latents: Any, argument: str, batch_size: int) -> np.ndarray:
        model = self.decoder_model()
        # A list of batches is as good as a data set, one of single grids is not.
        if isinstance(latents, list | tuple) and (
            not len(latents) or np.ndim(latents[0]) <= len(self.latent_shape)
        ):
            refuse_list(latents, argument, argument)
        if hasattr(latents, "__array__"):
            checked = self.check_latents(latents, argument)
            return self.map_data("decode", model, checked, batch_size)
        batches = (batch for _, batch in image_batches(latents, batch_size))
        return self.map_data(
            "decode", model, (self.check_latents(batch, argument) for batch in batches)
        )

    def log_prob_given(self, images: Any, latents: Any, batch_size: int = 128) -> np.ndarray:
        """How probable images are given latents, `log p(x | z)`.

        Args:
            images: array of images `(N, H, W, C)` in `value_range`.
            latents: array of what `encode` gives.
            batch_size: how many at one time. Defaults to `128`.

        Returns:
            NumPy float32 `(N,)`: nats of each whole 8-bit image, by `likelihood.log_prob`. It says
            nothing of what the latents cost.

        Raises:
            TypeError: of a `VQVAE`, for codes that are no integers.
            ValueError: for images of another shape or scale, or such as the likelihood cannot
                score, another number of latents, and of a `VQVAE` for codes of another shape or
                beyond the table.
        """
        latents = self.check_latents(np.asarray(latents), "latents")
        if len(images) != len(latents):
            raise ValueError(
                "`latents` should be as many as `images`. "
                f"Received: {len(latents)} latents, {len(images)} images"
            )

        def score(unit: np.ndarray, first: int) -> np.ndarray:
            rows = latents[first : first + len(unit)]
            return self.map_rows("log_prob_given", self._log_prob_given, (unit, rows))

        return self.map_images(score, images, batch_size)

    def reconstruction_log_prob(self, images: Any, batch_size: int = 128) -> np.ndarray:
        """How probable images are given their own latents: `log_prob_given(x, encode(x))`.

        Args:
            images: array or data set of images `(N, H, W, C)` in `value_range`.
            batch_size: how many at one time, for arrays. Defaults to `128`.

        Returns:
            NumPy float32 `(N,)`, in nats of each whole 8-bit image.
        """
        scored = [log_probs for _, log_probs in self.scored_batches(images, batch_size)]
        return np.concatenate([np.zeros((0,), "float32"), *scored])

    def scored_batches(
        self, images: Any, batch_size: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Batch by batch the latents of images, and how probable the images are given them."""
        self._require_built("likelihood of images")
        for _, batch, unit in self._unit_batches(images, batch_size):
            latents = self.encode_checked(batch, batch_size)
            yield latents, self.map_rows("log_prob_given", self._log_prob_given, (unit, latents))

    def bottleneck_gradient(self, images: Any) -> np.ndarray:
        """What reaches the encoder: the gradient of the loss of images by the encoder's output.

        The loss is that of evaluation, a mean over these images. No weight is changed.

        Args:
            images: array of images `(N, H, W, C)` in `value_range`, taken in one batch.

        Returns:
            NumPy float32 `(N, h, w, D)`.
        """
        self.check_images(images, "images")
        self._require_built("bottleneck_gradient")
        compiled = self.compiled_function(
            "bottleneck_gradient",
            self._bottleneck_gradient,
            jit_compile=resolve_jit_compile("auto") is not False,
        )
        return np.array(ops.convert_to_numpy(compiled(ops.convert_to_tensor(images))))

    def _bottleneck_gradient(self, images: Any) -> Any:
        unit = self.to_unit_scale(images)
        z_e = self.encoder(unit - 0.5, training=False)

        def loss(z_e: Any) -> Any:
            return sum(self._costs(z_e, unit, training=False)[0].values())

        return ops.cast(gradient_by_input(loss, z_e), "float32")

    def check_latents(self, latents: np.ndarray, argument: str) -> np.ndarray:
        """Refuses what `encode` cannot have given. Here: nothing."""
        return latents

    def decoder_input(self, latents: Any) -> Any:
        """What the decoder sees of latents as `encode` gives them. Here: those themselves."""
        return latents

    def _log_prob_given(self, unit: Any, latents: Any) -> Any:
        parameters = self.parameters_of(self.decoder_input(latents), unit, training=False)
        return self.likelihood.log_prob(unit, parameters)

    def _reconstruct(self, images: Any) -> Any:
        return self(images, training=False)  # type: ignore[operator] # a Keras model

    def map_data(self, key: str, function: Any, data: Any, batch_size: int = 128) -> np.ndarray:
        """A function of tensors, compiled, for all rows of an array or a data set.

        As `predict`, and any number of threads may do it at a time: weights are only read. (Keras's
        own `predict` takes them out of the variables on JAX while it is at it.)

        Args:
            key: what the function is known by; the first one of a key is kept.
            function: of a batch; reads this model's weights.
            data: array, or data set of batches.
            batch_size: rows at one time, for arrays. Defaults to `128`.
        """
        # Apart from the functions of rows on the unit scale, which may have the same name.
        compiled = self.compiled_function(
            ("data", key), function, jit_compile=resolve_jit_compile("auto") is not False
        )
        size = batch_size if hasattr(data, "__array__") else None
        parts = []
        for _, batch in image_batches(data, batch_size):
            size = size or len(batch)
            found = map_batches(compiled, (_single_precision(batch),), size)
            if found is not None:
                parts.append(found)
        if parts:
            return np.concatenate(parts)
        if not hasattr(data, "__array__"):
            raise ValueError("the data set should have at least one item. Received: none")
        row = np.zeros((1, *np.shape(data)[1:]), np.asarray(data).dtype)
        return self.map_data(key, function, row)[:0]

    def map_images(self, function: Any, images: Any, batch_size: int) -> np.ndarray:
        """`function` of images batch by batch, put together.

        Args:
            function: of images on the unit scale, NumPy float32, and the index of the first one;
                returns a NumPy array, a row for each.
            images: array or data set of images in `value_range`.
            batch_size: how many at one time, for arrays.
        """
        self._require_built("likelihood of images")
        results = [function(unit, i) for i, _, unit in self._unit_batches(images, batch_size)]
        return np.concatenate(results or [np.zeros((0,), "float32")])

    def _unit_batches(
        self, images: Any, batch_size: int
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """The index of the first image of each batch, the batch, and it on the unit scale.

        Whether images seem to have another scale is judged by all of an array, or by the first
        batch of a data set: a batch of dark ones says nothing.
        """
        low, high = self.value_range
        whole = hasattr(images, "__array__")
        if whole:
            self.check_images(images, "images")
        for first, batch in image_batches(images, batch_size):
            if not whole:
                self.check_images(batch, "images", by_scale=first == 0)
            unit = (batch.astype("float32") - np.float32(low)) / np.float32(high - low)
            self.likelihood.check_scores(unit)
            yield first, batch, unit

    def map_rows(self, key: str, function: Any, arrays: tuple[Any, ...]) -> np.ndarray:
        """A compiled function of the rows of arrays, padded to one of few sizes."""
        compiled = self.compiled_function(
            key, function, jit_compile=resolve_jit_compile("auto") is not False
        )
        found = map_batches(compiled, arrays, 1 << max(len(arrays[0]) - 1, 0).bit_length())
        return np.zeros((0,), "float32") if found is None else found

    def encoder_model(self) -> keras.Model:
        """A plain functional model, images to latents, that shares this model's weights."""
        # In float32 under any dtype policy.
        make = self._functional_encoder
        return self._cached("encoder_model", lambda: make(keras.layers.Identity(dtype="float32")))

    def decoder_model(self) -> keras.Model:
        """A plain functional model, latents to images, that shares this model's weights."""
        self._require_built("decoder_model")
        return self._cached("decoder_model", self._make_decoder_model)

    def fingerprint(self) -> str:
        """A hash of the weights that latents depend on: 64 hexadecimal digits.

        Two models of the same layers with one fingerprint give the same codes of the same images
        on the unit scale. `value_range`, which says what that scale is of the images, is no
        weight: models that differ in nothing else share a fingerprint.
        """
        self._require_built("fingerprint")
        digest = hashlib.sha256()
        for weight in _merged(self, self._fingerprint_weights()):
            digest.update(np.ascontiguousarray(ops.convert_to_numpy(weight)).tobytes())
        return digest.hexdigest()

    def _fingerprint_weights(self) -> list[Any]:
        return list(self.encoder.weights)

    def _functional_encoder(self, latent_to_output: Any) -> keras.Model:
        self._require_built("encoder")
        images = keras.Input(self._image_shape, name="images")
        z_e = self.encoder(self.to_unit_scale(images) - 0.5)
        return keras.Model(images, latent_to_output(z_e), name=f"{self.name}_encoder")

    def _make_decoder_model(self) -> keras.Model:
        latents = keras.Input(self._latent_shape, name="latents")
        output = self.from_unit_scale(self.decoder(latents))
        return keras.Model(latents, output, name=f"{self.name}_decoder")

    def _cached(self, name: str, make: Any) -> keras.Model:
        # In the instance's dict, past Keras's tracking: these models own no weights.
        models = self.__dict__.setdefault("_views", {})
        with _ONE_GRAPH:
            if name not in models:
                models[name] = make()
        return models[name]

    def _build_if_known(self) -> None:
        shape = getattr(self.encoder, "input_shape", None) if self.encoder.built else None
        if not self.built and shape is not None:
            self.build(shape)

    def _require_built(self, what: str) -> None:
        self._build_if_known()
        if not self.built:
            raise ValueError(
                f"Model '{self.name}' has no `{what}` before it has seen the shape of the images. "
                "Call `model.build((None, height, width, channels))`, or `fit`, first."
            )


def _single_precision(array: np.ndarray) -> np.ndarray:
    return array.astype("float32") if array.dtype == np.float64 else array


def _merged(model: keras.Model, weights: list[Any]) -> list[Any]:
    """Weights with what low-rank factors make of them in their place, as Keras saves them."""
    values, factors = {}, set()
    for layer in model._flatten_layers():
        if getattr(layer, "lora_enabled", False):
            for name in ("kernel", "embeddings"):
                if hasattr(layer, f"lora_{name}_a"):
                    values[id(getattr(layer, f"_{name}"))] = getattr(layer, name)
                    factors |= {id(getattr(layer, f"lora_{name}_{part}")) for part in "ab"}
    return [values.get(id(weight), weight) for weight in weights if id(weight) not in factors]
