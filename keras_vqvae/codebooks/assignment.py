"""Which code a vector gets in training."""

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_vqvae.checks import as_divisor, check_count, check_number, check_schedulable
from keras_vqvae.choices import PACKAGE, Choice, get_choice
from keras_vqvae.ops import random_uniform, sampled_code, transported_code

if TYPE_CHECKING:
    from keras_vqvae.codebooks.codebook import Codebook

__all__ = ["Assignment", "NearestCode", "OptimalTransport", "SampledCode", "get_assignment"]


class Assignment(Choice):
    """Chooses codes in training. In evaluation the nearest code is taken."""

    def choose(self, codebook: "Codebook", vectors: Any, table: Any, weights: Any = None) -> Any:
        """The code of each vector, in training: `(N, D)`, normalised, to int32 `(N,)`.

        `table` is float32 `(K, D)`, as it is compared; `weights` float32 `(N,)`, 0 for masked rows,
        which must not matter to others, or `None`.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable(PACKAGE)
class NearestCode(Assignment):
    """`argmin_k ‖x − e_k‖²`, in training as in evaluation."""

    def choose(self, codebook: "Codebook", vectors: Any, table: Any, weights: Any = None) -> Any:
        return codebook.search(vectors, table)


@keras.saving.register_keras_serializable(PACKAGE)
class SampledCode(Assignment):
    """Stochastic codes: in training a code is drawn, the nearer the likelier.

    ```
    p(k) = softmax_k(−‖x − e_k‖² / τ)
    ```

    That is the argmax of `−‖x − e_k‖² / τ` plus Gumbel noise. Codes that are never nearest are
    chosen, and learn, too. Losses are those of the code that was drawn. Distances are squared, so τ
    is in the square of the vectors' unit (with `distance="cosine"` they are at most 4). The
    `"rotation"` estimator suits it badly: it was reported to diverge when codes are drawn.

    Args:
        temperature: τ > 0; near 0 the nearest code is drawn. A number, or a schedule out of
            `keras.optimizers.schedules` over the training steps, which `layer.number` calls
            `"assignment_temperature"`. Defaults to `1.0`.

    References:
        - [Autoregressive Image Generation using Residual Quantization](https://arxiv.org/abs/2203.01941)
    """

    schedulable = ("temperature",)

    def __init__(self, temperature: Any = 1.0) -> None:
        self.temperature = check_schedulable("temperature", temperature, above_zero=True)

    def choose(self, codebook: "Codebook", vectors: Any, table: Any, weights: Any = None) -> Any:
        uniforms = random_uniform((ops.shape(vectors)[0],), codebook.seed_generator)
        temperature = as_divisor(self.temperature)
        return sampled_code(vectors, table, uniforms, temperature, codebook.chunk_size)

    def get_config(self) -> dict[str, Any]:
        return self.numbers_config()


@keras.saving.register_keras_serializable(PACKAGE)
class OptimalTransport(Assignment):
    """All codes of a batch are chosen about equally often, at the least cost (OptVQ).

    Codes far from the vectors get some of them, learn from them, and come near: none is left
    behind, whatever the table started from. `ops.transported_code` has the formulas. Losses are
    those of the code that was chosen. What a vector gets depends on its batch; in evaluation, where
    it must not, the nearest code is taken. The authors' code makes a plan there, too.

    It needs batches of many more vectors than there are codes to tell anything, and costs an
    iteration as much as a search. Vectors take part over all replicas; masked ones do not.

    Args:
        epsilon: ε > 0, how much the cost counts beside an even use. Defaults to `10.0`, the
            authors'.
        iterations: how many of Sinkhorn's, from 1 to 1 000. Defaults to `5`, the authors'.

    References:
        - [Preventing Local Pitfalls in Vector Quantization via Optimal
          Transport](https://arxiv.org/abs/2412.15195)
    """

    def __init__(self, epsilon: float = 10.0, iterations: int = 5) -> None:
        self.epsilon = check_number("epsilon", epsilon, above_zero=True)
        self.iterations = check_count("iterations", iterations, highest=1_000)

    def choose(self, codebook: "Codebook", vectors: Any, table: Any, weights: Any = None) -> Any:
        return transported_code(
            vectors, table, self.epsilon, self.iterations, weights, codebook.chunk_size
        )

    def get_config(self) -> dict[str, Any]:
        return {"epsilon": self.epsilon, "iterations": self.iterations}


def get_assignment(identifier: Any) -> Assignment:
    """The assignment of that name, config or instance."""
    names: dict[str, type[Assignment]] = {
        "nearest": NearestCode,
        "sampled": SampledCode,
        "optimal_transport": OptimalTransport,
    }
    return get_choice(identifier, Assignment, names, "assignment")
