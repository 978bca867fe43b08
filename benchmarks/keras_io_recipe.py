"""The peer: the recipe of the keras.io example "Vector-Quantized Variational Autoencoders".

Written anew: https://keras.io/examples/generative/vq_vae/ was read for its settings, and no code is
taken from it. Kept as the example has it: network, table and its start, distances, one-hot lookup,
losses, optimizer, images centred on 0 before training, one `predict` over the whole grid for each
code that is drawn. Where versions of the example differ, the quicker one is taken: the draw happens
inside the predicted model.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

LATENT_DIM = 16
NUM_EMBEDDINGS = 128
IMAGE_SHAPE = (28, 28, 1)
CODE_SHAPE = (7, 7)


def make_encoder(latent_dim: int = LATENT_DIM) -> keras.Model:
    """Images centred on 0, `(B, 28, 28, 1)`, to vectors `(B, 7, 7, D)`. Both contestants use it."""
    return keras.Sequential(
        [
            keras.Input(IMAGE_SHAPE),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(64, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(latent_dim, 1, padding="same"),
        ],
        name="encoder",
    )


def make_decoder(latent_dim: int = LATENT_DIM) -> keras.Model:
    """Vectors `(B, 7, 7, D)` to images centred on 0. Both contestants use it."""
    return keras.Sequential(
        [
            keras.Input((*CODE_SHAPE, latent_dim)),
            layers.Conv2DTranspose(64, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(32, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2DTranspose(1, 3, padding="same"),
        ],
        name="decoder",
    )


class RecipeQuantizer(layers.Layer):
    """A `(D, K)` table that learns by gradient, started uniformly within ±0.05."""

    def __init__(self, num_embeddings: int, beta: float = 0.25, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_embeddings = num_embeddings
        self.beta = beta

    def build(self, input_shape: Any) -> None:
        self.table = self.add_weight(
            name="table",
            shape=(input_shape[-1], self.num_embeddings),
            initializer=keras.initializers.RandomUniform(-0.05, 0.05),
        )

    def nearest(self, vectors: Any) -> Any:
        """Indices `(N,)` of vectors `(N, D)`."""
        products = ops.matmul(vectors, self.table)
        vector_norms = ops.sum(vectors**2, axis=1, keepdims=True)
        table_norms = ops.sum(self.table**2, axis=0)
        return ops.argmin(vector_norms + table_norms - 2 * products, axis=1)

    def indices(self, z: Any) -> Any:
        """Indices `(B, h, w)` of vectors `(B, h, w, D)`."""
        return ops.reshape(self.nearest(ops.reshape(z, (-1, z.shape[-1]))), ops.shape(z)[:-1])

    def call(self, z: Any) -> Any:
        flat = ops.reshape(z, (-1, z.shape[-1]))
        choice = ops.one_hot(self.nearest(flat), self.num_embeddings)
        codes = ops.reshape(ops.matmul(choice, ops.transpose(self.table)), ops.shape(z))
        commitment = ops.mean((ops.stop_gradient(codes) - z) ** 2)
        codebook = ops.mean((codes - ops.stop_gradient(z)) ** 2)
        self.add_loss(self.beta * commitment + codebook)
        return z + ops.stop_gradient(codes - z)


class RecipeVQVAE(keras.Model):
    """Encoder, quantizer and decoder with the recipe's training step.

    Args:
        data_variance: variance of the training images on the unit scale.
        num_embeddings: K.
        latent_dim: D.
    """

    def __init__(
        self,
        data_variance: float,
        num_embeddings: int = NUM_EMBEDDINGS,
        latent_dim: int = LATENT_DIM,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.data_variance = data_variance
        self.quantizer = RecipeQuantizer(num_embeddings, name="quantizer")
        self.encoder, self.decoder = make_encoder(latent_dim), make_decoder(latent_dim)
        images = keras.Input(IMAGE_SHAPE)
        vectors = self.encoder(images)
        self.vqvae = keras.Model(images, self.decoder(self.quantizer(vectors)), name="vqvae")
        self.coder = keras.Model(images, CodeIndices(self.quantizer)(vectors), name="coder")
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.vq_tracker = keras.metrics.Mean(name="vq_loss")

    @property
    def metrics(self) -> list[Any]:
        return [self.loss_tracker, self.reconstruction_tracker, self.vq_tracker]

    def call(self, images: Any, training: bool | None = None) -> Any:
        return self.vqvae(images, training=training)

    def train_step(self, images: Any) -> dict[str, Any]:
        with tf.GradientTape() as tape:
            outputs = self.vqvae(images, training=True)
            reconstruction_loss = ops.mean((images - outputs) ** 2) / self.data_variance
            vq_loss = sum(self.vqvae.losses)
            loss = reconstruction_loss + vq_loss
        variables = self.vqvae.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        self.loss_tracker.update_state(loss)
        self.reconstruction_tracker.update_state(reconstruction_loss)
        self.vq_tracker.update_state(vq_loss)
        return {metric.name: metric.result() for metric in self.metrics}


class CodeIndices(layers.Layer):
    """Vectors to indices, by the table of a quantizer that another model trains."""

    def __init__(self, quantizer: RecipeQuantizer, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.quantizer = quantizer

    def call(self, z: Any) -> Any:
        return self.quantizer.indices(z)


class MaskedConv(layers.Conv2D):
    """A convolution that sees what comes before a position, and with type B the position too."""

    def __init__(self, mask_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, padding="same", **kwargs)
        self.mask_type = mask_type

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        height, width = self.kernel_size
        seen = np.arange(height * width) < (height * width) // 2 + (self.mask_type == "B")
        self.mask = seen.reshape(height, width, 1, 1).astype("float32")

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, kernel * self.mask)


class DrawCodes(layers.Layer):
    """Logits `(B, h, w, K)` to a random index at each position."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, logits: Any) -> Any:
        flat = ops.reshape(logits, (-1, logits.shape[-1]))
        drawn = keras.random.categorical(flat, 1, seed=self.seed_generator)
        return ops.reshape(drawn, ops.shape(logits)[:-1])


def make_pixel_cnn(
    num_embeddings: int = NUM_EMBEDDINGS, code_shape: tuple[int, int] = CODE_SHAPE
) -> keras.Model:
    """The recipe's prior: codes `(B, h, w)` to logits `(B, h, w, K)`."""
    codes = keras.Input(code_shape, dtype="int32")
    x = ops.one_hot(codes, num_embeddings)
    x = MaskedConv("A", 128, 7, activation="relu")(x)
    for _ in range(2):
        h = layers.Conv2D(128, 1, activation="relu")(x)
        h = MaskedConv("B", 64, 3, activation="relu")(h)
        x = layers.Add()([x, layers.Conv2D(128, 1, activation="relu")(h)])
    for _ in range(2):
        x = MaskedConv("B", 128, 1, activation="relu")(x)
    model = keras.Model(codes, layers.Conv2D(num_embeddings, 1)(x), name="pixel_cnn")
    model.compile(
        keras.optimizers.Adam(3e-4),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def make_sampler(pixel_cnn: keras.Model) -> keras.Model:
    """Codes `(B, h, w)` to a draw at every position, of which the loop keeps one."""
    return keras.Model(pixel_cnn.input, DrawCodes()(pixel_cnn.output), name="sampler")


def sample_codes(sampler: keras.Model, count: int) -> np.ndarray:
    """The recipe's loop: a whole `predict` for each position. int32 `(count, h, w)`."""
    height, width = sampler.input_shape[1:]
    codes = np.zeros((count, height, width), dtype="int32")
    for row in range(height):
        for column in range(width):
            codes[:, row, column] = sampler.predict(codes, verbose=0)[:, row, column]
    return codes
