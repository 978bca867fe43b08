"""p(x | z): what the decoder's output means, and the loss that follows."""

from typing import Any

from keras_vqvae.choices import get_choice
from keras_vqvae.likelihoods.bernoulli import Bernoulli as Bernoulli
from keras_vqvae.likelihoods.gaussian import Gaussian as Gaussian
from keras_vqvae.likelihoods.likelihood import Likelihood as Likelihood

__all__ = ["Bernoulli", "Gaussian", "Likelihood", "get"]


def get(identifier: Any) -> Likelihood:
    """The likelihood of that name (`"gaussian"`, `"bernoulli"`), config or instance."""
    names: dict[str, type[Likelihood]] = {"bernoulli": Bernoulli, "gaussian": Gaussian}
    return get_choice(identifier, Likelihood, names, "likelihood")
