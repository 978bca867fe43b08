"""p(x | z): what the decoder's output means, and the loss that follows."""

from typing import Any

from keras_vqvae.choices import get_choice
from keras_vqvae.likelihoods.bernoulli import Bernoulli as Bernoulli
from keras_vqvae.likelihoods.categorical import Categorical as Categorical
from keras_vqvae.likelihoods.discretized_logistic import DiscretizedLogistic as DiscretizedLogistic
from keras_vqvae.likelihoods.discretized_logistic_mixture import (
    DiscretizedLogisticMixture as DiscretizedLogisticMixture,
)
from keras_vqvae.likelihoods.gaussian import Gaussian as Gaussian
from keras_vqvae.likelihoods.gaussian_with_scale import GaussianWithScale as GaussianWithScale
from keras_vqvae.likelihoods.likelihood import Likelihood as Likelihood

__all__ = [
    "Bernoulli",
    "Categorical",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "Gaussian",
    "GaussianWithScale",
    "Likelihood",
    "get",
]


def get(identifier: Any) -> Likelihood:
    """The likelihood of that name (`"gaussian"`, `"discretized_logistic"`), config or instance."""
    names: dict[str, type[Likelihood]] = {
        "bernoulli": Bernoulli,
        "categorical": Categorical,
        "discretized_logistic": DiscretizedLogistic,
        "discretized_logistic_mixture": DiscretizedLogisticMixture,
        "gaussian": Gaussian,
        "gaussian_with_scale": GaussianWithScale,
    }
    return get_choice(identifier, Likelihood, names, "likelihood")
