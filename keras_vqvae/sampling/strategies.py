"""How a code is chosen from the probabilities that a prior gives."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vqvae.checks import as_divisor, check_count, check_number, check_share
from keras_vqvae.choices import PACKAGE, Choice, get_choice
from keras_vqvae.ops import invert_cumulative

__all__ = ["Greedy", "Random", "Sampler", "TopK", "TopP", "get"]

#: The logit of a code that is not to be drawn, or that the table of a depth does not have.
EXCLUDED = -1e30


def _by_value(value: Any) -> Any:
    """What stands for a value in a key: the contents of what can be changed in place."""
    if isinstance(value, list | tuple):
        return (type(value), *map(_by_value, value))
    if isinstance(value, dict):
        return (dict, *((_by_value(k), _by_value(v)) for k, v in value.items()))
    if isinstance(value, set):
        return (set, frozenset(value))
    if isinstance(value, np.ndarray) and value.dtype != object:
        return (np.ndarray, value.shape, str(value.dtype), value.tobytes())
    return value


class Sampler(Choice):
    """A strategy: which codes may be drawn, and with what weights.

    `filter` rewrites logits; the draw itself, from a uniform number by the cumulative distribution,
    is the same for all. Numbers that a user varies from call to call (temperature, p) are
    `settings`: they enter compiled code as inputs, so that changing them compiles nothing anew.

    Args:
        temperature: logits are divided by it; positive. Less than 10⁻⁶ counts as 10⁻⁶. Defaults to
            `1.0`.
    """

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = check_number(
            "temperature", temperature, above_zero=True, hint=" ('greedy' is the limit of 0)"
        )

    def settings(self) -> dict[str, float]:
        """The numbers that enter compiled code as inputs."""
        return {"temperature": self.temperature}

    def compilation_key(self) -> tuple[Any, ...]:
        """What compiled code depends on beyond the settings: the class, and all other attributes.

        Lists, dicts, sets and arrays count by what they hold. With other attributes that cannot be
        told apart by value, each object of a class of your own is compiled for itself.
        """
        settings = self.settings()
        others = tuple((n, _by_value(v)) for n, v in vars(self).items() if n not in settings)
        try:
            hash(others)
        except TypeError:
            return (type(self), id(self))  # what is compiled keeps the object, and so its number
        return (type(self), *others)

    def check(self, num_embeddings: int) -> None:
        """Raises a ValueError if this strategy makes no sense for so many codes."""

    def filter(self, logits: Any, settings: dict[str, Any]) -> Any:
        """Logits `(batch, K)` at temperature 1 to those that are drawn from."""
        # Codes that a table does not have stay excluded however hot it is.
        excluded = logits <= EXCLUDED / 2
        return ops.where(excluded, EXCLUDED, logits / as_divisor(settings["temperature"]))

    def draw(self, logits: Any, uniforms: Any, settings: dict[str, Any]) -> Any:
        """One code for each row: the inverse of the cumulative distribution at `uniforms`.

        Args:
            logits: float `(batch, K)`.
            uniforms: float32 `(batch,)` in [0, 1).
            settings: as `settings()` gives them, as numbers or tensors.

        Returns:
            int32 `(batch,)`. A code that the strategy excludes is never drawn.
        """
        kept = self.filter(ops.cast(logits, "float32"), settings)
        weights = ops.softmax(ops.cast(kept, "float32"))
        return invert_cumulative(weights, uniforms)

    def get_config(self) -> dict[str, Any]:
        return {"temperature": self.temperature}


@keras.saving.register_keras_serializable(PACKAGE)
class Random(Sampler):
    """Draws from the whole distribution: with temperature 1, exact samples of the prior.

    Args:
        temperature: logits are divided by it; positive. Defaults to `1.0`.
    """


@keras.saving.register_keras_serializable(PACKAGE)
class Greedy(Sampler):
    """Takes the most probable code, the first of equals."""

    def __init__(self) -> None:
        super().__init__()

    def filter(self, logits: Any, settings: dict[str, Any]) -> Any:
        best = ops.one_hot(ops.argmax(logits, axis=-1), logits.shape[-1])
        return ops.where(best > 0, 0.0, EXCLUDED)

    def get_config(self) -> dict[str, Any]:
        return {}


@keras.saving.register_keras_serializable(PACKAGE)
class TopK(Sampler):
    """Draws among the k most probable codes.

    Args:
        k: how many, between 1 and the number of codes.
        temperature: logits are divided by it; positive. Defaults to `1.0`.
    """

    def __init__(self, k: int, temperature: float = 1.0) -> None:
        super().__init__(temperature)
        self.k = check_count("k", k)

    def check(self, num_embeddings: int) -> None:
        if self.k > num_embeddings:
            raise ValueError(
                f"`k` should be at most the number of codes, {num_embeddings}. Received: k={self.k}"
            )

    def filter(self, logits: Any, settings: dict[str, Any]) -> Any:
        # By index and not by value: of equal logits exactly k stay.
        kept = ops.sum(ops.one_hot(ops.top_k(logits, self.k)[1], logits.shape[-1]), axis=-2)
        return ops.where(kept > 0, super().filter(logits, settings), EXCLUDED)

    def get_config(self) -> dict[str, Any]:
        return {"k": self.k, **super().get_config()}


@keras.saving.register_keras_serializable(PACKAGE)
class TopP(Sampler):
    """Draws among the fewest codes that hold a share p of the probability ("nucleus").

    Args:
        p: in (0, 1].
        temperature: logits are divided by it first; positive. Defaults to `1.0`.

    References:
        - [The Curious Case of Neural Text Degeneration](https://arxiv.org/abs/1904.09751)
    """

    def __init__(self, p: float, temperature: float = 1.0) -> None:
        super().__init__(temperature)
        self.p = check_share("p", p, "(0, 1]")

    def settings(self) -> dict[str, float]:
        return {**super().settings(), "p": self.p}

    def filter(self, logits: Any, settings: dict[str, Any]) -> Any:
        logits = super().filter(logits, settings)
        K = logits.shape[-1]
        ordered, indices = ops.top_k(logits, K)
        # Not divided by their sum: some processors round that, and equal codes would not be equal
        # shares. The first is 1.
        weights = ops.exp(ordered - ordered[..., :1])
        total = ops.sum(weights, axis=-1, keepdims=True)
        # A code is kept while those before it hold less than p: the first always is.
        kept = ops.cumsum(weights, axis=-1) - weights < settings["p"] * total
        rank = ops.argsort(indices, axis=-1)
        kept = ops.take_along_axis(ops.cast(kept, "float32"), rank, axis=-1)
        return ops.where(kept > 0, logits, EXCLUDED)

    def get_config(self) -> dict[str, Any]:
        return {"p": self.p, **super().get_config()}


def get(identifier: Any) -> Sampler:
    """The strategy of that name (`"random"`, `"greedy"`), config or instance."""
    names: dict[str, type[Sampler]] = {"random": Random, "greedy": Greedy}
    return get_choice(identifier, Sampler, names, "sampler")
