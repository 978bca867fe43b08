"""The VQ-VAE."""

import math
import re
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers import CodeIndices, CodeLookup
from keras_vqvae.metrics import CodeStatistics
from keras_vqvae.models.autoencoder import Autoencoder, BottleneckOutput
from keras_vqvae.models.codes import check_codes

__all__ = ["VQVAE"]


@keras.saving.register_keras_serializable(PACKAGE)
class VQVAE(Autoencoder):
    """An autoencoder whose latents are codes out of a learned table.

    ```
    loss = −log p(x | z_q)            nats per dimension, by the likelihood
         + ‖sg(z_e) − z_q‖²           if the table learns by gradient
         + β ‖z_e − sg(z_q)‖²
    ```

    `fit` and `evaluate` log the loss, each term (`reconstruction_loss`, `codebook_loss`,
    `commitment_loss`), and the epoch's `perplexity` and `codebook_usage` (with several tables,
    those of each as `depth_0/perplexity` and so on); `fit` also logs the mean `gradient_norm`.

    A VQ-VAE generates nothing by itself: a prior such as `PixelCNN` learns the distribution of its
    codes, and `decode` makes images of what the prior samples.

    Args:
        encoder: a Keras model or layer, images `(batch, H, W, C)` centred on 0 in [−½, ½] to
            `(batch, h, w, D)`.
        quantizer: a `layers.Quantizer` such as `layers.VectorQuantizer`.
        decoder: a Keras model or layer, `(batch, h, w, D)` to the likelihood's parameters. Its last
            layer has no activation.
        likelihood: a name out of `likelihoods` such as `"gaussian"`, or a `Likelihood`.
        value_range: what black and white are in the images. Defaults to `(0, 255)`.
        **kwargs: as for `keras.Model`.

    Example:
    >>> import numpy as np
    >>> from keras_vqvae import models
    >>> model = models.convolutional_vqvae(
    ...     (8, 8, 1), num_embeddings=16, embedding_dim=4, widths=(8, 8)
    ... )
    >>> model.compile("adam")
    >>> images = np.random.randint(0, 256, (4, 8, 8, 1)).astype("uint8")
    >>> history = model.fit(images, verbose=0)
    >>> codes = model.encode(images)
    >>> codes.shape, model.decode(codes).shape, model.bits_per_image
    ((4, 2, 2), (4, 8, 8, 1), 16.0)

    References:
        - [Neural Discrete Representation Learning](https://arxiv.org/abs/1711.00937), equation 3
    """

    def __init__(
        self,
        encoder: Any,
        quantizer: Any,
        decoder: Any,
        likelihood: Any = "gaussian",
        value_range: tuple[float, float] = (0, 255),
        **kwargs: Any,
    ) -> None:
        if not hasattr(quantizer, "discretize"):
            raise ValueError(
                "`quantizer` should be a quantizer such as `layers.VectorQuantizer(512)`. "
                f"Received: quantizer={quantizer!r}"
            )
        super().__init__(encoder, decoder, likelihood, value_range, **kwargs)
        self.quantizer = quantizer
        self.track(
            ("reconstruction_loss", *quantizer.loss_names),
            {
                _metric_name(use): CodeStatistics(
                    use.quantizer.num_embeddings,
                    prefix=f"{use.name}/" if use.name else "",
                    name=_metric_name(use),
                )
                for use in quantizer.tables()
                if quantizer.is_counted
            },
        )

    # -- the model --------------------------------------------------------------------------------

    def build_bottleneck(self, latent_shape: Any) -> None:
        if not self.quantizer.built:
            self.quantizer.build(latent_shape)

    def through_bottleneck(self, z_e: Any, training: bool) -> BottleneckOutput:
        output = self.quantizer.discretize(z_e, training=training)
        self._check_losses(output.losses)
        observations = {
            _metric_name(use): self._indices_of(use, output.indices)
            for use in self.quantizer.tables()
        }
        return BottleneckOutput(output.quantized, output.losses, observations)

    def _check_losses(self, losses: dict[str, Any]) -> None:
        """Refuses terms that `loss_names` leaves out: they would train, and be in no log."""
        if set(losses) != set(self.quantizer.loss_names):
            raise ValueError(
                f"Quantizer '{self.quantizer.name}' should give the losses that its `loss_names` "
                "lists. Received: "
                f"losses={sorted(losses)}, loss_names={sorted(self.quantizer.loss_names)}"
            )

    def _indices_of(self, use: Any, indices: Any) -> Any:
        if not self.quantizer.has_index_axis:
            return indices
        # The positions of a table are neighbours.
        return indices[..., use.positions[0] : use.positions[-1] + 1]

    def compile(
        self,
        optimizer: Any = "adam",
        loss: None = None,
        *,
        codebook_optimizer: Any = None,
        jit_compile: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        """Configures training.

        Args:
            optimizer: as for `keras.Model.compile`. Defaults to `"adam"`.
            loss: none; it stands here so that a second argument is refused as the loss it is.
            codebook_optimizer: an optimizer of its own for a table that learns by gradient, such as
                `keras.optimizers.Adam(0.01)` beside `Adam(0.001)`: at the encoder's rate the codes
                stay behind the vectors. By default `optimizer` trains both. Callbacks that set the
                learning rate set that of each; under the policy `"mixed_float16"` they cannot:
                give schedules (`keras.optimizers.schedules`).
            jit_compile: `"auto"` is XLA on an accelerator and on JAX, and none for training on a
                CPU with TensorFlow, where convolutions are slower with it.
            **kwargs: the other arguments of `keras.Model.compile`.

        Raises:
            ValueError: if a `loss` is given: it is the model's own; or a `codebook_optimizer` for
                a table that learns without gradients, or beside a `LossScaleOptimizer`.
        """
        if codebook_optimizer is not None:
            if not self.quantizer.learns_by_gradient:
                raise ValueError(
                    "`codebook_optimizer` needs a table that learns by gradient. This one does "
                    "not: leave `codebook_optimizer` out and set its rate in the quantizer "
                    "(`update=EMAUpdate(decay=...)`), or give the quantizer `update='gradient'`."
                )
            both = keras.optimizers.get(optimizer), keras.optimizers.get(codebook_optimizer)
            if any(isinstance(one, keras.optimizers.LossScaleOptimizer) for one in both):
                raise ValueError(
                    "`optimizer` and `codebook_optimizer` should scale no loss, which is one for "
                    "both. Pass the inner optimizers: under the policy 'mixed_float16' Keras "
                    f"scales the loss for the two. Received: optimizer={both[0].name}, "
                    f"codebook_optimizer={both[1].name}"
                )
            optimizer = keras.optimizers.MultiOptimizer(
                keras.optimizers.OptimizerMap(both[0], {self._codebook_path_pattern(): both[1]})
            )
        super().compile(optimizer, loss, jit_compile=jit_compile, **kwargs)

    def _codebook_path_pattern(self) -> str:
        """A regular expression for the paths of the weights that codes are made of."""
        names = "codebook(_network)?"
        inside = rf"(.*/)?{re.escape(self.quantizer.name)}/(.*/)?{names}/.+"
        # Parts that were built before they were put into a quantizer have paths of their own.
        own = [
            weight.path
            for layer in self.quantizer._flatten_layers()
            if re.fullmatch(names, layer.name)
            for weight in layer.weights
        ]
        return "|".join([inside, *map(re.escape, own)])

    # -- use --------------------------------------------------------------------------------------

    @property
    def num_embeddings(self) -> Any:
        """K, the number of codes that an index chooses from; a tuple if indices differ in it."""
        return self.quantizer.num_embeddings

    @property
    def code_shape(self) -> tuple[int, ...]:
        """Shape of the codes of an image: `(h, w)`, or `(h, w, Q)` for Q codes a position.

        A side that differs from image to image is `None`.
        """
        self._require_built("code_shape")
        shape: tuple[int, ...] = self.quantizer.indices_shape((None, *self._latent_shape))[1:]
        return shape

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """As `code_shape`."""
        return self.code_shape

    @property
    def bits_per_image(self) -> float:
        """Bits of an image's codes when all codes are equally likely.

        Raises:
            ValueError: for a model of images of any size, which has no one number of codes.
        """
        bits: float = self.quantizer.uniform_bits_per_position
        positions = self.code_shape[:2]
        if None in positions:
            raise ValueError(
                f"Model '{self.name}' takes images of any size, and has no one `bits_per_image`: "
                f"its codes have the shape {self.code_shape}. Multiply the positions of your "
                "codes by `quantizer.uniform_bits_per_position`."
            )
        return math.prod(positions) * bits

    def encode(self, images: Any, batch_size: int = 128) -> np.ndarray:
        """The codes of images.

        Args:
            images: array or data set of images `(N, H, W, C)` in `value_range`.
            batch_size: how many at one time, for arrays. Defaults to `128`.

        Returns:
            NumPy int32 `(N, h, w)` in [0, K), or `(N, h, w, Q)` for Q codes a position.
        """
        return super().encode(images, batch_size)

    def encode_checked(self, images: Any, batch_size: int) -> np.ndarray:
        return self.map_data("encode", self.codes_model(), images, batch_size)

    def decode(self, codes: Any, batch_size: int = 128) -> np.ndarray:
        """The images of codes.

        Args:
            codes: integer array `(N, h, w)` in [0, K), or `(N, h, w, Q)`, in which −1 leaves a code
                out (the deeper ones of a residual quantizer, for instance); or a data set or list
                of batches of such.
            batch_size: how many at one time. Defaults to `128`.

        Returns:
            NumPy float32 `(N, H, W, C)` in `value_range`.

        Raises:
            TypeError: for codes that are no integers, and for a list of single grids.
            ValueError: for codes of another shape or beyond the table.
        """
        return self._decode(codes, "codes", batch_size)

    def codes_model(self) -> keras.Model:
        """A plain functional model, images to codes, for export; it shares this model's weights.

        Example:
        >>> from keras_vqvae import models
        >>> model = models.convolutional_vqvae((8, 8, 1), num_embeddings=4, widths=(4,))
        >>> model.codes_model().output_shape, model.decoder_model().output_shape
        ((None, 4, 4), (None, 8, 8, 1))
        """
        # float32, as the model compares whatever its encoder puts out: no vector is rounded here.
        return self._cached(
            "codes_model",
            lambda: self._functional_encoder(
                CodeIndices(self.quantizer, dtype="float32", name="code_indices")
            ),
        )

    def check_latents(self, latents: Any, argument: str) -> np.ndarray:
        return check_codes(latents, self.code_shape, self.num_embeddings, argument, lowest=-1)

    def decoder_input(self, latents: Any) -> Any:
        return self.quantizer.codes_of(ops.cast(latents, "int32"))

    def _make_decoder_model(self) -> keras.Model:
        codes = keras.Input(self.code_shape, dtype="int32", name="codes")
        z_q = CodeLookup(self.quantizer, name="code_lookup")(codes)
        output = self.from_unit_scale(self.decoder(z_q))
        return keras.Model(codes, output, name=f"{self.name}_decoder")

    def _fingerprint_weights(self) -> list[Any]:
        statistics = {id(use.quantizer.code_counts) for use in self.quantizer.tables()}
        table = [w for w in self.quantizer.weights if id(w) not in statistics]
        return [*self.encoder.weights, *table]

    # -- saving -----------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "quantizer": keras.saving.serialize_keras_object(self.quantizer),
        }


def _metric_name(use: Any) -> str:
    return use.name or "codes"
