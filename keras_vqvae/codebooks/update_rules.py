"""How the table learns: by the gradient of its loss, or as a moving average of its vectors."""

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_vqvae.checks import check_share
from keras_vqvae.choices import PACKAGE, Choice, get_choice
from keras_vqvae.ops import all_reduce_sum, code_sums

if TYPE_CHECKING:
    from keras_vqvae.codebooks.codebook import Codebook

__all__ = ["EMAUpdate", "FrozenTable", "GradientUpdate", "UpdateRule", "get_update_rule"]


class UpdateRule(Choice):
    """What a table does with the vectors that chose its codes.

    A rule holds settings only. Its state, if it has any, lives in weights of the codebook, made by
    `build` and kept in `codebook.update_state`.
    """

    trains_by_gradient = False

    def build(self, codebook: "Codebook") -> dict[str, Any]:
        """Creates the rule's weights on `codebook` and returns them by name."""
        return {}

    def step(
        self,
        codebook: "Codebook",
        vectors: Any,
        indices: Any,
        weights: Any,
        counts: Any,
        usable: Any,
    ) -> None:
        """One training step.

        Args:
            codebook: the codebook whose table learns.
            vectors: float32 `(N, D)`, this replica's.
            indices: int32 `(N,)`, the code that each vector chose.
            weights: float32 `(N,)`, 0 for masked rows, or `None`.
            counts: float32 `(K,)`, how many vectors of all replicas chose each code.
            usable: a boolean scalar. Where it is `False` the batch is empty or not finite, and the
                step should change nothing.
        """
        return

    def transform(self, codebook: "Codebook", stored: Any) -> Any:
        """The codes as they are compared and looked up, of the table as it is stored `(K, D)`."""
        return stored

    def inverse_transform(self, codebook: "Codebook", codes: Any) -> Any:
        """What is to be stored so that `transform` gives these codes `(K, D)`."""
        return codes

    def frozen_mask(self, num_embeddings: int) -> Any:
        """Which codes nothing may move, as a NumPy boolean `(K,)`; `None` if there are none."""
        return None

    def reset(self, codebook: "Codebook", replaced: Any, counts: Any) -> None:
        """The codes marked in `replaced` `(K,)` were set anew from `counts` `(K,)` vectors."""
        return


@keras.saving.register_keras_serializable(PACKAGE)
class GradientUpdate(UpdateRule):
    """The paper's rule: the table is a trainable weight, learning from `‖sg(z_e) − e‖²`.

    References:
        - [Neural Discrete Representation Learning](https://arxiv.org/abs/1711.00937), equation 3
    """

    trains_by_gradient = True


@keras.saving.register_keras_serializable(PACKAGE)
class EMAUpdate(UpdateRule):
    """Each code follows the moving average of the vectors that choose it.

    With `n_k` and `s_k` the number and sum of a batch's vectors that chose code k:

    ```
    N_k ← γ N_k + (1 − γ) n_k
    e_k ← e_k + (1 − γ) (s_k − n_k e_k) / N_k
    ```

    This is the paper's `e_k = M_k / N_k`, with the sums `M_k` left out: they are `N_k e_k` at all
    times. So nothing can disagree with the table. A code that is not chosen stays where it is
    instead of drifting, a k-means start or a revived code needs its count set and nothing more, and
    the state is K numbers instead of K·(D + 1). Counts start at 0, which gives the first vectors
    that choose a code their full weight, as a bias-corrected average would.

    A step is one training call. With `gradient_accumulation_steps=k` in the optimizer the table
    takes k steps for one of the other weights; `decay=γ ** (1 / k)` then forgets as γ does without.

    With cosine distance a code is brought back to length 1 after each step, and the average goes on
    from there. Implementations that keep `M_k` at its own length, and normalise what they look up,
    weigh older vectors less where those that choose a code point in different directions.

    Args:
        decay: γ, in [0, 1). Defaults to `0.99`.

    References:
        - [Neural Discrete Representation Learning](https://arxiv.org/abs/1711.00937), appendix A.1
    """

    def __init__(self, decay: float = 0.99) -> None:
        self.decay = check_share("decay", decay)

    def build(self, codebook: "Codebook") -> dict[str, Any]:
        return {"counts": codebook.add_statistic("ema_counts", (codebook.num_embeddings,))}

    def step(
        self,
        codebook: "Codebook",
        vectors: Any,
        indices: Any,
        weights: Any,
        counts: Any,
        usable: Any,
    ) -> None:
        table = ops.convert_to_tensor(codebook.embeddings)
        old_counts = ops.convert_to_tensor(codebook.update_state["counts"])
        s = all_reduce_sum(code_sums(vectors, indices, codebook.num_embeddings, weights))
        new_counts = self.decay * old_counts + (1.0 - self.decay) * counts
        towards = s - ops.expand_dims(counts, -1) * table
        # Where a count is 0 the numerator is 0 too; the floor only keeps 0/0 out.
        step = (1.0 - self.decay) * towards / ops.expand_dims(ops.maximum(new_counts, 1e-12), -1)
        moves = ops.expand_dims(ops.logical_and(usable, counts > 0), -1)
        codebook.store(ops.where(moves, codebook.distance.normalize(table + step), table))
        codebook.update_state["counts"].assign(ops.where(usable, new_counts, old_counts))

    def reset(self, codebook: "Codebook", replaced: Any, counts: Any) -> None:
        variable = codebook.update_state["counts"]
        variable.assign(ops.where(replaced, counts, ops.convert_to_tensor(variable)))

    def get_config(self) -> dict[str, Any]:
        return {"decay": self.decay}


@keras.saving.register_keras_serializable(PACKAGE)
class FrozenTable(UpdateRule):
    """The table stays as it starts (or is set): neither gradients nor averages move it.

    Its usage is counted all the same. A random table with a `revival` moves by the revival alone.
    """


def get_update_rule(identifier: Any, argument: str = "update") -> UpdateRule:
    """The update rule of that name (`"gradient"`, `"ema"`, `"frozen"`), config or instance.

    `argument` is the name of the argument, for the message.
    """
    names: dict[str, type[UpdateRule]] = {
        "gradient": GradientUpdate,
        "ema": EMAUpdate,
        "frozen": FrozenTable,
    }
    return get_choice(identifier, UpdateRule, names, argument)
