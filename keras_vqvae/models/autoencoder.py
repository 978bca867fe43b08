"""Encoder, bottleneck, decoder: the base of all image models, and the plain autoencoder."""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_vqvae.checks import check_value_range
from keras_vqvae.choices import PACKAGE
from keras_vqvae.likelihoods import get as get_likelihood
from keras_vqvae.models.decoder_checks import warn_of_activation
from keras_vqvae.models.image_layers import FromUnitScale, ToUnitScale
from keras_vqvae.models.image_views import ImageViews
from keras_vqvae.models.images import check_image_data, check_training_data
from keras_vqvae.ops import mean_over_valid
from keras_vqvae.training import StepModel, StepOutput
from keras_vqvae.training.step import evaluate_arguments, fit_arguments

__all__ = ["Autoencoder", "BottleneckOutput"]


class BottleneckOutput(NamedTuple):
    """What a bottleneck gives.

    Attributes:
        latent: what the decoder sees, `(batch, height, width, D)`.
        terms: loss terms by name, scalars.
        observations: for each of the model's `step_metrics`, what it is updated with.
    """

    latent: Any
    terms: dict[str, Any]
    observations: dict[str, Any]


@keras.saving.register_keras_serializable(PACKAGE)
class Autoencoder(ImageViews, StepModel):
    """An encoder and a decoder of images, and the base of the models with a bottleneck between.

    Images go in as they are on disk, `(batch, height, width, channels)` in `value_range`; the model
    scales them. Calling it, and `predict`, give reconstructions in `value_range`. It trains on the
    images alone; data sets of `(image, label)` pairs are taken, and the labels are not looked at.
    Images as labels are refused, unless they are the images themselves: no model here denoises.

    The loss is the likelihood's, in nats per dimension, plus the terms of the bottleneck. Each term
    is logged under its name.

    Args:
        encoder: a Keras model or layer, images `(batch, H, W, C)` centred on 0 in [−½, ½] to
            `(batch, h, w, D)`.
        decoder: a Keras model or layer, `(batch, h, w, D)` to the likelihood's parameters. Its last
            layer has no activation; one that cannot be negative is warned about in `build`.
        likelihood: a name out of `likelihoods` such as `"gaussian"`, or a `Likelihood`.
        value_range: what black and white are in the images. Defaults to `(0, 255)`.
        **kwargs: as for `keras.Model`.

    Example:
    >>> import numpy as np, keras
    >>> model = Autoencoder(keras.layers.Conv2D(2, 4, 4), keras.layers.Conv2DTranspose(1, 4, 4))
    >>> model.compile("adam")
    >>> images = np.random.randint(0, 256, (4, 8, 8, 1)).astype("uint8")
    >>> history = model.fit(images, verbose=0)
    >>> model.reconstruct(images).shape
    (4, 8, 8, 1)
    """

    def __init__(
        self,
        encoder: Any,
        decoder: Any,
        likelihood: Any = "gaussian",
        value_range: tuple[float, float] = (0, 255),
        **kwargs: Any,
    ) -> None:
        # autocast would round 8-bit images to 8 bits of mantissa under mixed_bfloat16.
        super().__init__(**{**kwargs, "autocast": False})
        for name, part in (("encoder", encoder), ("decoder", decoder)):
            if not isinstance(part, keras.layers.Layer):
                raise ValueError(
                    f"`{name}` should be a Keras model or layer. Received: {name}={part!r}"
                )
        self.encoder = encoder
        self.decoder = decoder
        self._likelihood = get_likelihood(likelihood)
        self._value_range = check_value_range(value_range)
        self.to_unit_scale = ToUnitScale(self.value_range, name="to_unit_scale")
        self.from_unit_scale = FromUnitScale(
            self.likelihood, self.value_range, name="from_unit_scale"
        )
        self._image_shape: Any = None
        self._latent_shape: Any = None
        self.track(("reconstruction_loss",), {})

    @property
    def likelihood(self) -> Any:
        """The likelihood of images given the decoder's output."""
        return self._likelihood

    @likelihood.setter
    def likelihood(self, value: Any) -> None:
        raise self._fixed("likelihood", value)

    @property
    def value_range(self) -> tuple[float, float]:
        """What black and white are in the images."""
        return self._value_range

    @value_range.setter
    def value_range(self, value: Any) -> None:
        raise self._fixed("value_range", value)

    def _fixed(self, name: str, value: Any) -> AttributeError:
        return AttributeError(
            f"`{name}` of model '{self.name}' is fixed: what is compiled already would go on with "
            f"the old one. Make a new model of the same parts, with `{name}={value!r}`"
        )

    # -- the model --------------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        if len(input_shape) != 4:
            raise ValueError(
                f"Model '{self.name}' expects images (batch, height, width, channels). "
                f"Received: input_shape={tuple(input_shape)}"
            )
        input_shape = (None, *input_shape[1:])
        encoded_shape = _built_output_shape(self.encoder, input_shape)
        self.build_bottleneck(encoded_shape)
        latent_shape = self.decoded_shape(encoded_shape)
        decoded = _built_output_shape(self.decoder, latent_shape)
        self._check_decoded(decoded, input_shape)
        warn_of_activation(self.decoder, self.likelihood, self.name)
        self.to_unit_scale.build(input_shape)
        self.from_unit_scale.build(decoded)
        self._image_shape = tuple(input_shape[1:])
        self._latent_shape = tuple(latent_shape[1:])
        self.built = True
        self._build_compile_metrics()

    def _check_decoded(self, decoded_shape: Any, images_shape: Any) -> None:
        decoded, image = tuple(decoded_shape[1:]), tuple(images_shape[1:])
        expected = (*image[:2], self.likelihood.num_parameters(image[2]))
        if decoded != expected:
            raise ValueError(
                f"The decoder of model '{self.name}' gives outputs of shape {decoded} for images "
                f"of shape {image}, and should give {expected}: height and width divisible by the "
                f"stride of the encoder, and {expected[2]} channels, the parameters of "
                f"{self.likelihood!r} for {image[2]} of the image."
            )

    def build_bottleneck(self, latent_shape: Any) -> None:
        """Builds what stands between encoder and decoder."""

    def through_bottleneck(self, z_e: Any, training: bool) -> BottleneckOutput:
        """Takes the encoder's output to what the decoder sees. Here: as it is."""
        return BottleneckOutput(z_e, {}, {})

    def latent_of(self, z_e: Any, training: bool) -> Any:
        """What the decoder sees when the model is called; in training what a step sees."""
        return self.through_bottleneck(z_e, training).latent

    def decoded_shape(self, latent_shape: Any) -> Any:
        """The shape of what the decoder sees, of that of the encoder's output."""
        return latent_shape

    def call(self, images: Any, training: bool | None = None) -> Any:
        z_e = self.encoder(self.to_unit_scale(images) - 0.5, training=training)
        latent = self.latent_of(z_e, bool(training))
        return self.from_unit_scale(self.parameters_of(latent, images, training))

    def parameters_of(self, latent: Any, images: Any, training: bool | None) -> Any:
        """The decoder's output, which has the size of the images.

        Of a model of images of any size, that is only known of the images at hand.
        """
        parameters = self.decoder(latent, training=training)
        if None not in (*parameters.shape[1:], *images.shape[1:]):
            self._check_decoded(parameters.shape, images.shape)
        return parameters

    def compute_step(self, data: Any, training: bool) -> StepOutput:
        images, _, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        self.refuse_weights(sample_weight=sample_weight)
        if not self.built:  # Keras leaves it to the first step on TensorFlow
            self.build(tuple(images.shape))
        unit = self.to_unit_scale(images)
        z_e = self.encoder(unit - 0.5, training=training)
        terms, observations, parameters = self._costs(z_e, unit, training)
        return StepOutput(
            terms=terms,
            batch_size=ops.shape(images)[0],
            observations=observations,
            y_true=ops.cast(images, "float32"),
            y_pred=self.from_unit_scale(parameters),
        )

    def _costs(self, z_e: Any, unit: Any, training: bool) -> tuple[dict[str, Any], Any, Any]:
        """Loss terms and observations of the encoder's output, and the decoder's."""
        latent, terms, observations = self.through_bottleneck(z_e, training)
        parameters = self.parameters_of(latent, unit, training)
        likelihood_loss = mean_over_valid(self.likelihood.loss(unit, parameters))
        return {"reconstruction_loss": likelihood_loss, **terms}, observations, parameters

    # -- training ---------------------------------------------------------------------------------

    def compile(
        self,
        optimizer: Any = "adam",
        loss: None = None,
        *,
        jit_compile: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        """Configures training.

        Args:
            optimizer: as for `keras.Model.compile`. Defaults to `"adam"`.
            loss: none; it stands here so that a second argument is refused as the loss it is.
            jit_compile: `"auto"` is XLA on an accelerator and on JAX, and none for training on a
                CPU with TensorFlow, where convolutions are slower with it.
            **kwargs: the other arguments of `keras.Model.compile`.

        Raises:
            ValueError: if a `loss` is given: it is the model's own.
        """
        if loss is not None or kwargs.pop("loss_weights", None) is not None:
            raise ValueError(
                f"Model '{self.name}' has its own loss. Leave `loss` out, and choose the "
                "reconstruction loss by the `likelihood` of the constructor."
            )
        self._build_if_known()
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        self._build_compile_metrics()

    def _build_compile_metrics(self) -> None:
        # Keras would build them on (images, None), which JAX refuses: ours compare with the images.
        if self._compile_metrics is not None and self.built:
            image = keras.KerasTensor((None, *self._image_shape))
            self._compile_metrics.build(image, image)

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """The values of all metrics; called by Keras where it builds a model by its first batch.

        The batch has no images as `y` to compare with. Metrics are updated by the steps.
        """
        return self.get_metrics_result()

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.fit`, after a look at the images: all of an array, else a first batch.

        Arrays are shuffled. Batches come in the order of the data set, a `PyDataset`'s too, which
        Keras would shuffle; `shuffle=True` has it do so.

        Raises:
            TypeError: for a path, a list of images, or an `ImageSource` that is in no batches.
            ValueError: for images of another shape or scale, or with NaN or infinite pixels; for
                other images as `y`, which the model would not look at; and for sample or class
                weights.
        """
        given = fit_arguments(x, *args, **kwargs)
        self.refuse_weights(**given)
        self._check_training_data(x, given.get("y"))
        validation = given.get("validation_data")
        if validation is not None:
            images, y, weights = keras.utils.unpack_x_y_sample_weight(validation)
            self.refuse_weights(sample_weight=weights)
            self._check_training_data(images, y, "validation_data")
        return super().fit(**given)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`, after the same look at the images as `fit` takes."""
        given = evaluate_arguments(x, *args, **kwargs)
        if not given.get("_use_cached_eval_dataset"):  # `fit` has looked at them
            self.refuse_weights(**given)
            self._check_training_data(x, given.get("y"))
        return super().evaluate(**given)

    def _check_training_data(self, x: Any, y: Any, argument: str = "x") -> None:
        check_training_data(x, y, self.value_range, self._image_shape, argument)

    def check_images(self, images: Any, argument: str = "x", by_scale: bool = True) -> None:
        """Raises a ValueError for images of another shape or scale than the model's.

        Without `by_scale` those that only seem to have another one pass, as dark ones do.
        """
        check_image_data(images, self.value_range, self._image_shape, argument, by_scale)

    # -- saving -----------------------------------------------------------------------------------

    def export(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.export`: float32 images to their reconstructions.

        `encoder_model`, `decoder_model` and, of a `VQVAE`, `codes_model` give models of the parts,
        which can be exported too.
        """
        if self._image_shape is not None:
            self(keras.KerasTensor((None, *self._image_shape)))  # steps of training do not call it
            # Keras would take the dtype that layers compute in.
            images = keras.InputSpec("float32", (None, *self._image_shape))
            kwargs.setdefault("input_signature", [images])
        return super().export(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "encoder": serialize(self.encoder),
            "decoder": serialize(self.decoder),
            "likelihood": serialize(self.likelihood),
            "value_range": list(self.value_range),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        parts = {
            key: keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
            for key, value in config.items()
            if isinstance(value, dict) and "class_name" in value
        }
        return cls(**{**config, **parts})


def _built_output_shape(part: Any, input_shape: Any) -> Any:
    """Builds a network, and gives the shape of what it gives for inputs of a shape."""
    names = ("build", "compute_output_shape")
    if any(getattr(getattr(type(part), name), "_is_default", False) for name in names):
        # A subclass that has a `call` alone: Keras builds it, and learns its shape, by a call.
        return part(keras.KerasTensor(input_shape)).shape
    if not part.built:
        part.build(input_shape)
    return part.compute_output_shape(input_shape)
