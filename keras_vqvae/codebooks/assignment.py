"""Which code a vector gets in training."""

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE, Choice, check_number, get_choice
from keras_vqvae.ops import sampled_code

if TYPE_CHECKING:
    from keras_vqvae.codebooks.codebook import Codebook

__all__ = ["Assignment", "NearestCode", "SampledCode", "get_assignment"]


class Assignment(Choice):
    """Chooses codes in training. In evaluation the nearest code is taken."""

    def choose(self, codebook: "Codebook", vectors: Any) -> Any:
        """The code of each vector, in training: `(N, D)`, normalised, to int32 `(N,)`."""
        raise NotImplementedError


@keras.saving.register_keras_serializable(PACKAGE)
class NearestCode(Assignment):
    """`argmin_k ‖x − e_k‖²`, in training as in evaluation."""

    def choose(self, codebook: "Codebook", vectors: Any) -> Any:
        return codebook.search(vectors)


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
        temperature: τ > 0; near 0 the nearest code is drawn. Defaults to `1.0`.

    References:
        - [Autoregressive Image Generation using Residual Quantization](https://arxiv.org/abs/2203.01941)
    """

    def __init__(self, temperature: float = 1.0) -> None:
        hint = "; one that changes over training is that of `GumbelQuantizer`"
        self.temperature = check_number("temperature", temperature, above_zero=True, hint=hint)

    def choose(self, codebook: "Codebook", vectors: Any) -> Any:
        uniforms = keras.random.uniform((ops.shape(vectors)[0],), seed=codebook.seed_generator)
        return sampled_code(
            vectors, codebook.table(), uniforms, self.temperature, codebook.chunk_size
        )

    def get_config(self) -> dict[str, Any]:
        return {"temperature": self.temperature}


def get_assignment(identifier: Any) -> Assignment:
    """The assignment of that name (`"nearest"`, `"sampled"`), config or instance."""
    names: dict[str, type[Assignment]] = {"nearest": NearestCode, "sampled": SampledCode}
    return get_choice(identifier, Assignment, names, "assignment")
