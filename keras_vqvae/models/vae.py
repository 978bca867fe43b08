"""The variational autoencoder: the baseline with a Gaussian bottleneck."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vqvae.checks import check_count
from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.scheduled_numbers import ScheduledNumbers
from keras_vqvae.models.autoencoder import Autoencoder, BottleneckOutput
from keras_vqvae.ops import draw_normals, mean_over_valid, normal_kl, random_normal
from keras_vqvae.saved_generator import SavedGenerator
from keras_vqvae.seeds import check_seed, sampling_seed

__all__ = ["VAE"]


@keras.saving.register_keras_serializable(PACKAGE)
class VAE(SavedGenerator, ScheduledNumbers, Autoencoder):
    """An autoencoder whose latents are drawn from a Gaussian that the encoder gives.

    ```
    loss = −log p(x | z) + β Σ ½ (μ² + σ² − 1 − log σ²),  z = μ + σ ε,  ε ~ N(0, 1)
    ```

    both in nats per dimension of the image: with β = 1 it is the bound on −log p(x), up to what the
    likelihood's loss leaves out. `fit` and `evaluate` log the loss and its terms,
    `reconstruction_loss` and `kl_loss`, as they enter it.

    Training draws ε anew in each step. Evaluation takes one ε for all images and all calls, so that
    figures can be compared; `call`, `predict`, `encode` and `reconstruct` take the mean, z = μ.
    How probable images are, `log_prob_bound` says.

    Args:
        encoder: a Keras model or layer, images `(batch, H, W, C)` centred on 0 in [−½, ½] to
            `(batch, h, w, 2 D)`: first D means, then D logs of variances.
        decoder: a Keras model or layer, `(batch, h, w, D)` to the likelihood's parameters. Its last
            layer has no activation.
        likelihood: a name out of `likelihoods` such as `"gaussian"`, or a `Likelihood`.
        value_range: what black and white are in the images. Defaults to `(0, 255)`.
        beta: weight of the divergence: a number ≥ 0, or a Keras schedule over the training steps.
            One that is assigned later has an effect from the next `compile` on. Defaults to `1.0`.
        seed: of the noise in training.
        **kwargs: as for `keras.Model`.

    Raises:
        ValueError: for a `beta` below 0; and when built, for images of no fixed size, or an encoder
            with an odd number of channels.

    Example:
    >>> import numpy as np
    >>> from keras_vqvae import models
    >>> model = models.convolutional_vae((8, 8, 1), embedding_dim=4, widths=(8, 8))
    >>> model.compile("adam")
    >>> images = np.random.randint(0, 256, (4, 8, 8, 1)).astype("uint8")
    >>> history = model.fit(images, verbose=0)
    >>> model.encode(images).shape, model.sample(2, seed=0).shape
    ((4, 2, 2, 4), (2, 8, 8, 1))
    >>> model.log_prob_bound(images, samples=3).shape  # nats of each 8-bit image
    (4,)

    References:
        - [Auto-Encoding Variational Bayes](https://arxiv.org/abs/1312.6114)
        - [β-VAE](https://openreview.net/forum?id=Sy2fzU9gl), for β
    """

    def __init__(
        self,
        encoder: Any,
        decoder: Any,
        likelihood: Any = "gaussian",
        value_range: tuple[float, float] = (0, 255),
        beta: Any = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, decoder, likelihood, value_range, **kwargs)
        self.beta: Any
        self.set_numbers(beta=beta)
        self.seed = check_seed(seed)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self._evaluation_noise: Any = None
        self.track(("reconstruction_loss", "kl_loss"), {})

    # -- the model --------------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        if len(input_shape) == 4 and None in input_shape[1:]:
            raise ValueError(
                f"Model '{self.name}' needs images of one size, as its prior is over a grid of "
                f"latents. Received: input_shape={tuple(input_shape)}"
            )
        super().build(input_shape)

    def build_bottleneck(self, latent_shape: Any) -> None:
        if latent_shape[-1] % 2:
            raise ValueError(
                f"The encoder of model '{self.name}' should give 2 D channels, means and logs of "
                f"variances. Received: {latent_shape[-1]} channels"
            )
        self.build_numbers()
        self._evaluation_noise = draw_normals(0, 0, 1, self.decoded_shape(latent_shape)[1:])

    def decoded_shape(self, latent_shape: Any) -> Any:
        return (*latent_shape[:-1], latent_shape[-1] // 2)

    def posterior(self, z_e: Any) -> tuple[Any, Any]:
        """Mean and log-variance, each float32 `(batch, h, w, D)`, of the encoder's output."""
        mean, log_variance = ops.split(ops.cast(z_e, "float32"), 2, axis=-1)
        return mean, log_variance

    def through_bottleneck(self, z_e: Any, training: bool) -> BottleneckOutput:
        mean, log_variance = self.posterior(z_e)
        noise = self._evaluation_noise
        if training:
            noise = random_normal(ops.shape(mean), self.seed_generator, mean.dtype)
        axes = tuple(range(1, len(mean.shape)))
        divergence = mean_over_valid(ops.sum(normal_kl(mean, log_variance), axis=axes))
        kl_loss = self.number("beta") * divergence / math.prod(self.image_shape)
        if training:
            self.advance()
        latent = mean + ops.exp(0.5 * log_variance) * noise
        return BottleneckOutput(latent, {"kl_loss": kl_loss}, {})

    def latent_of(self, z_e: Any, training: bool) -> Any:
        return super().latent_of(z_e, training) if training else self.posterior(z_e)[0]

    # -- use --------------------------------------------------------------------------------------

    def encode(self, images: Any, batch_size: int = 128) -> np.ndarray:
        """The means of the latents of images: NumPy float32 `(N, h, w, D)`."""
        return super().encode(images, batch_size)

    def encoder_model(self) -> keras.Model:
        """A plain functional model, images to means, that shares this model's weights."""
        return self._cached(
            "encoder_model", lambda: self._functional_encoder(lambda z: self.posterior(z)[0])
        )

    def sample(
        self, n: int, seed: int | None = None, batch_size: int = 128, first: int = 0
    ) -> np.ndarray:
        """Draws new images: latents from N(0, 1), decoded.

        Args:
            n: how many.
            seed: an integer ≥ 0; a sample depends on it and its own index alone. By default drawn
                from NumPy's global generator, which `keras.utils.set_random_seed` sets.
            batch_size: how many at one time. Defaults to `128`.
            first: the index of the first one, to draw many in parts. Defaults to `0`.

        Returns:
            NumPy float32 `(n, H, W, C)` in `value_range`: the expected images of the latents.
        """
        n, first = check_count("n", n, least=0), check_count("first", first, least=0)
        seed = sampling_seed(seed)
        self._require_built("sample")
        if n == 0:
            return np.zeros((0, *self.image_shape), "float32")
        return self.decode(draw_normals(seed, first, n, self._latent_shape), batch_size)

    def log_prob_bound(
        self, images: Any, samples: int = 1, batch_size: int = 128, seed: int = 0
    ) -> np.ndarray:
        """A lower bound on the log-probability of images, importance-weighted.

        ```
        log 1/S Σ_s p(x | z_s) p(z_s) / q(z_s | x),  z_s ~ q(z | x)
        ```

        With one sample its expectation is the evidence lower bound. With more it is tighter, and
        tends to log p(x). The images are scored as 8 bits a channel, by `likelihood.log_prob`.

        Args:
            images: array or data set of images `(N, H, W, C)` in `value_range`.
            samples: S, at the cost of S passes of the decoder. Defaults to `1`.
            batch_size: how many at one time, for arrays. Defaults to `128`.
            seed: of the noise. The result depends on it and on the image's index, and not on the
                batches; more samples begin with those of fewer. Defaults to `0`.

        Returns:
            NumPy float64 `(N,)`, in nats of each whole image.

        Raises:
            ValueError: for `samples` below 1, images of another shape or scale, or such as the
                likelihood cannot score.

        References:
            - [Importance Weighted Autoencoders](https://arxiv.org/abs/1509.00519), equation 8
        """
        samples, seed = check_count("samples", samples), sampling_seed(seed)

        def bound(unit: np.ndarray, first: int) -> np.ndarray:
            encoded = self.map_rows(
                "encode", lambda x: self.encoder(x - 0.5, training=False), (unit,)
            )
            total = np.full(len(unit), -np.inf)
            for s in range(samples):
                noise = draw_normals(seed, first, len(unit), self._latent_shape, stream=3 + s)
                weights = self.map_rows("log_weights", self.log_weights, (unit, encoded, noise))
                total = np.logaddexp(total, weights.astype("float64"))
            return total - math.log(samples)

        return self.map_images(bound, images, batch_size)

    def kl_divergence(self, images: Any, batch_size: int = 128) -> np.ndarray:
        """What the latents of images cost: the divergence of q(z | x) from N(0, 1).

        Args:
            images: array or data set of images `(N, H, W, C)` in `value_range`.
            batch_size: how many at one time, for arrays. Defaults to `128`.

        Returns:
            NumPy float32 `(N,)`, in nats of each whole image.
        """
        return self.map_images(
            lambda unit, first: self.map_rows("kl_divergence", self._divergence, (unit,)),
            images,
            batch_size,
        )

    def _divergence(self, unit: Any) -> Any:
        mean, log_variance = self.posterior(self.encoder(unit - 0.5, training=False))
        return ops.sum(normal_kl(mean, log_variance), axis=tuple(range(1, len(mean.shape))))

    def log_weights(self, unit: Any, z_e: Any, noise: Any) -> Any:
        """`log p(x | z) p(z) / q(z | x)` at `z = μ + σ · noise`; it can be compiled.

        Args:
            unit: images on the unit scale, `(batch, H, W, C)`.
            z_e: the encoder's output for them.
            noise: standard normal, `(batch, h, w, D)`, or `(1, h, w, D)` for all.

        Returns:
            float32 `(batch,)`, in nats.
        """
        mean, log_variance = self.posterior(z_e)
        z = mean + ops.exp(0.5 * log_variance) * noise
        # The constants of 2π in both densities cancel.
        ratio = 0.5 * (ops.square(noise) + log_variance - ops.square(z))
        log_prob = self.likelihood.log_prob(unit, self.decoder(z, training=False))
        return log_prob + ops.sum(ratio, axis=tuple(range(1, len(z.shape))))

    # -- saving -----------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}
