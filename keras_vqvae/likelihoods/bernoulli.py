"""A Bernoulli for each pixel: for binary images."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.likelihoods.likelihood import Likelihood, mean_over_dimensions

__all__ = ["Bernoulli"]


@keras.saving.register_keras_serializable(PACKAGE)
class Bernoulli(Likelihood):
    """Independent Bernoullis with the decoder's output as logits.

    ```
    loss = −x log p − (1 − x) log(1 − p),  p = sigmoid(logit)        nats per dimension
    ```

    A probability for binary images only; for grey levels between, the loss still works (it is the
    cross-entropy to a coin that shows white with probability x), but is no likelihood of them.

    Example:
    >>> import numpy as np
    >>> loss = Bernoulli().loss(np.ones((1, 2, 2, 1)), np.zeros((1, 2, 2, 1)))
    >>> round(float(loss[0]), 4)
    0.6931
    """

    def loss(self, images: Any, parameters: Any) -> Any:
        images, logits = ops.cast(images, "float32"), ops.cast(parameters, "float32")
        return mean_over_dimensions(ops.softplus(logits) - images * logits)

    def mean(self, parameters: Any) -> Any:
        return ops.sigmoid(ops.cast(parameters, "float32"))
