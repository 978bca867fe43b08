"""A Bernoulli for each pixel: for binary images."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.compilation import is_concrete
from keras_vqvae.likelihoods.likelihood import Likelihood, mean_over_dimensions

__all__ = ["Bernoulli"]


@keras.saving.register_keras_serializable(PACKAGE)
class Bernoulli(Likelihood):
    """Independent Bernoullis with the decoder's output as logits.

    ```
    loss = −x log p − (1 − x) log(1 − p),  p = sigmoid(logit)        nats per dimension
    ```

    A probability for binary images only, black and white. For grey levels between, the loss still
    works (it is the cross-entropy to a coin that shows white with probability x), but is no
    likelihood of them: `log_prob` refuses such images, and where it is compiled and cannot raise,
    it gives NaN for each of them.

    Example:
    >>> import numpy as np
    >>> loss = Bernoulli().loss(np.ones((1, 2, 2, 1)), np.zeros((1, 2, 2, 1)))
    >>> round(float(loss[0]), 4)
    0.6931
    """

    takes_any_numbers = True

    def loss(self, images: Any, parameters: Any) -> Any:
        images, logits = self.checked(images, parameters)
        return mean_over_dimensions(ops.softplus(logits) - images * logits)

    def level_log_probs(self, levels: Any, parameters: Any) -> Any:
        white, black = levels > 254.5, levels < 0.5
        log_probs = ops.log_sigmoid(ops.where(white, parameters, -parameters))
        return ops.where(ops.logical_or(white, black), log_probs, float("nan"))

    def log_prob(self, images: Any, parameters: Any) -> Any:
        if is_concrete(images):
            self.check_scores(ops.convert_to_numpy(images))
        return super().log_prob(images, parameters)

    def check_scores(self, images: np.ndarray) -> None:
        # As `log_prob` rounds them: scaling may leave white a rounding below 1.
        levels = np.round(255.0 * np.asarray(images, "float32"))
        between = (levels > 0) & (levels < 255)
        if between.any():
            raise ValueError(
                "The likelihood Bernoulli() scores binary images only, black and white. Received: "
                f"images with grey levels such as {float(images[between][0]):.3g} of the way from "
                "black to white. Make them binary first (`255 * (images > 127)`), or choose a "
                "likelihood of grey levels such as 'discretized_logistic'."
            )

    def mean(self, parameters: Any) -> Any:
        return ops.sigmoid(ops.cast(parameters, "float32"))

    def draw(self, parameters: Any, uniforms: Any) -> Any:
        return ops.cast(uniforms < self.mean(parameters), "float32")
