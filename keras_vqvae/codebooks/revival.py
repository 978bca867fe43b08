"""What happens to codes that nothing chooses any more."""

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE, Choice, get_choice
from keras_vqvae.codebooks.draws import uniform_rows
from keras_vqvae.ops import share_rows

if TYPE_CHECKING:
    from keras_vqvae.codebooks.codebook import Codebook

__all__ = ["ReplaceDead", "Revival", "get_revival"]


class Revival(Choice):
    """Finds codes that are out of use and gives them a new place.

    It holds settings only; its state lives in weights of the codebook.
    """

    def build(self, codebook: "Codebook") -> dict[str, Any]:
        """Creates the weights on `codebook` and returns them by name."""
        return {}

    def step(self, codebook: "Codebook", vectors: Any, weights: Any, counts: Any) -> None:
        """One training step, after the update rule's: the last word on the table is revival's.

        Args:
            codebook: the codebook whose codes are watched.
            vectors: float32 `(N, D)`, this replica's.
            weights: float32 `(N,)`, 0 for masked rows, or `None`.
            counts: float32 `(K,)`, how many vectors of all replicas chose each code.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable(PACKAGE)
class ReplaceDead(Revival):
    """A code that is hardly chosen is moved onto a random vector of the batch.

    The share of the vectors that choose a code is followed as a moving average; a code is dead when
    that average falls below `threshold` times the share it would have if all codes were used alike,
    1/K. The threshold is relative, so it means the same for any batch and any table: an absolute
    count can call every code dead for ever in a small batch. A new or revived code is given the
    even share to begin with, and so has `log(threshold) / log(decay)` steps to be chosen in.

    Args:
        threshold: share of the even share below which a code is dead, in (0, 1). Defaults to `0.1`.
        decay: decay of the moving average a step, in (0, 1). Defaults to `0.95`: with the default
            threshold, a code that is never chosen is replaced after 45 steps.
    """

    def __init__(self, threshold: float = 0.1, decay: float = 0.95) -> None:
        if not 0.0 < threshold < 1.0:
            raise ValueError(
                "`threshold` should be in (0, 1): a share of the even share 1/K, not a count. "
                f"Received: threshold={threshold}"
            )
        if not 0.0 < decay < 1.0:
            raise ValueError(f"`decay` should be in (0, 1). Received: decay={decay}")
        self.threshold = threshold
        self.decay = decay

    def build(self, codebook: "Codebook") -> dict[str, Any]:
        share = codebook.add_weight(
            name="share",
            shape=(codebook.num_embeddings,),
            initializer=keras.initializers.Constant(1.0 / codebook.num_embeddings),
            dtype="float32",
            trainable=False,
            autocast=False,
        )
        return {"share": share}

    def step(self, codebook: "Codebook", vectors: Any, weights: Any, counts: Any) -> None:
        K = codebook.num_embeddings
        total = ops.sum(counts)
        old_share = ops.convert_to_tensor(codebook.revival_state["share"])
        share = self.decay * old_share + (1.0 - self.decay) * counts / ops.maximum(total, 1.0)
        uniforms = keras.random.uniform((K,), seed=codebook.seed_generator)
        rows = share_rows(uniform_rows(vectors, uniforms, weights))
        # An empty or wholly masked batch has nothing to say, one that is not finite even less.
        usable = ops.logical_and(total > 0, ops.isfinite(ops.sum(rows)))
        dead = ops.logical_and(share < self.threshold / K, usable)
        table = ops.convert_to_tensor(codebook.embeddings)
        codebook.embeddings.assign(ops.where(ops.expand_dims(dead, -1), rows, table))
        codebook.update_rule.reset(codebook, dead, ops.zeros((K,)))
        share = ops.where(usable, share, old_share)
        codebook.revival_state["share"].assign(ops.where(dead, 1.0 / K, share))

    def get_config(self) -> dict[str, Any]:
        return {"threshold": self.threshold, "decay": self.decay}


def get_revival(identifier: Any) -> Revival | None:
    """The revival of that name (`"replace_dead"`), config or instance; `None` for none."""
    if identifier is None:
        return None
    names: dict[str, type[Revival]] = {"replace_dead": ReplaceDead}
    return get_choice(identifier, Revival, names, "revival")
