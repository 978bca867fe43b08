"""A Gaussian whose scale the decoder gives too."""

import keras

from keras_vqvae.choices import PACKAGE
from keras_vqvae.likelihoods.families import NORMAL
from keras_vqvae.likelihoods.location_scale import LocationScale

__all__ = ["GaussianWithScale"]


@keras.saving.register_keras_serializable(PACKAGE)
class GaussianWithScale(LocationScale):
    """Independent Gaussians of learned location and scale, integrated over the bin of a level.

    ```
    loss = −log [Φ((x + ½ − μ)/s) − Φ((x − ½ − μ)/s)]        nats per dimension, in grey levels
    ```

    with the bins of 0 and 255 open to the outside. The decoder puts out two numbers for each
    channel: first all `a`, then all `b`, with `μ = 255 (a + ½)` and
    `s = 255/8 · exp(6 tanh(b/6))`: zeros mean mid-grey and a scale of 32 levels.

    The loss is the probability of the 8-bit image, as `log_prob` is: a density would reward scales
    below a grey level without end.

    Example:
    >>> import numpy as np
    >>> likelihood = GaussianWithScale()
    >>> likelihood.num_parameters(channels=3)
    6
    >>> image, output = np.full((1, 2, 2, 1), 100 / 255), np.zeros((1, 2, 2, 2))
    >>> round(float(likelihood.loss(image, output)[0]), 4)  # log(32 √2π) and a little
    4.7529

    References:
        - [Simple and Effective VAE Training with Calibrated Decoders](https://arxiv.org/abs/2006.13202)
    """

    family = NORMAL
