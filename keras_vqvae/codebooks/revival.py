"""What happens to codes that nothing chooses any more."""

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from keras_vqvae.checks import check_count, check_number, check_share
from keras_vqvae.choices import PACKAGE, Choice, get_choice
from keras_vqvae.codebooks.draws import uniform_rows
from keras_vqvae.ops import gather_rows, nearest_code, random_normal, random_uniform, take_rows

if TYPE_CHECKING:
    from keras_vqvae.codebooks.codebook import Codebook

__all__ = ["AnchorRevival", "ReplaceDead", "ReplaceUnused", "Revival", "get_revival"]


class Revival(Choice):
    """Finds codes that are out of use and gives them a new place.

    It holds settings only; its state lives in weights of the codebook.
    """

    def build(self, codebook: "Codebook") -> dict[str, Any]:
        """Creates the weights on `codebook` and returns them by name."""
        return {}

    def step(
        self, codebook: "Codebook", vectors: Any, weights: Any, counts: Any, usable: Any
    ) -> None:
        """One training step, after the update rule's: the last word on the table is revival's.

        Args:
            codebook: the codebook whose codes are watched.
            vectors: float32 `(N, D)`, this replica's.
            weights: float32 `(N,)`, 0 for masked rows, or `None`.
            counts: float32 `(K,)`, how many vectors of all replicas chose each code.
            usable: a boolean scalar. Where it is `False` the batch is empty or not finite, and the
                step should change nothing.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable(PACKAGE)
class ReplaceDead(Revival):
    """A code that is hardly chosen is moved onto a random vector of the batch.

    The share of the vectors that choose a code is followed as a moving average; a code is dead when
    that average falls below `threshold` times the share it would have if all codes were used alike,
    1/K. The threshold is relative, so it means the same for any batch and any table: an absolute
    count can call every code dead for ever in a small batch. A new or revived code is given the
    even share to begin with, and so has `log(threshold) / log(decay)` steps to be chosen in. With
    fewer than K/4 vectors in a step it has more of them, as many as have so many times K/4 vectors:
    an evenly used code, whose turn comes once in K vectors, is not taken for a dead one.

    Args:
        threshold: share of the even share below which a code is dead, in (0, 1). Defaults to `0.1`.
        decay: decay of the moving average a step of K/4 vectors or more, in (0, 1). Defaults to
            `0.95`: with the default threshold, a code that is never chosen is replaced after 45 of
            them.
    """

    def __init__(self, threshold: float = 0.1, decay: float = 0.95) -> None:
        hint = ": a share of the even share 1/K, not a count"
        self.threshold = check_share("threshold", threshold, "(0, 1)", hint)
        self.decay = check_share("decay", decay, "(0, 1)")

    def build(self, codebook: "Codebook") -> dict[str, Any]:
        K = codebook.num_embeddings
        even = keras.initializers.Constant(1.0 / K)
        return {"share": codebook.add_statistic("share", (K,), even)}

    def step(
        self, codebook: "Codebook", vectors: Any, weights: Any, counts: Any, usable: Any
    ) -> None:
        K = codebook.num_embeddings
        total = ops.sum(counts)
        old_share = ops.convert_to_tensor(codebook.revival_state["share"])
        decay = ops.power(self.decay, ops.minimum(4.0 * total / K, 1.0))
        share = decay * old_share + (1.0 - decay) * counts / ops.maximum(total, 1.0)
        uniforms = random_uniform((K,), codebook.seed_generator)
        rows = _rows_of_all(vectors, uniforms, weights)
        dead = ops.logical_and(share < self.threshold / K, usable)
        codebook.replace(dead, rows)
        share = ops.where(usable, share, old_share)
        codebook.revival_state["share"].assign(ops.where(dead, 1.0 / K, share))

    def get_config(self) -> dict[str, Any]:
        return {"threshold": self.threshold, "decay": self.decay}


@keras.saving.register_keras_serializable(PACKAGE)
class ReplaceUnused(Revival):
    """A code that nothing has chosen for a number of steps is moved near a random vector.

    ```
    e_k = z + noise_scale · ‖z‖ · n,   n ~ N(0, I),   z a random vector of the batch
    ```

    The rule looks at age alone: one vector that chooses a code starts its count anew. Codes that
    are chosen rarely are kept, where `ReplaceDead` replaces them.

    Args:
        after_steps: after how many training steps in which nothing chose it a code is moved.
            Defaults to `100`.
        noise_scale: length of the noise relative to the vector's, per dimension. Defaults to
            `1e-4`, which keeps apart two codes that are moved onto the same vector.

    References:
        - [Straightening Out the Straight-Through Estimator](https://arxiv.org/abs/2305.08842)
    """

    def __init__(self, after_steps: int = 100, noise_scale: float = 1e-4) -> None:
        self.after_steps = check_count("after_steps", after_steps)
        self.noise_scale = check_number("noise_scale", noise_scale)

    def build(self, codebook: "Codebook") -> dict[str, Any]:
        unused = codebook.add_statistic("unused_steps", (codebook.num_embeddings,))
        return {"unused_steps": unused}

    def step(
        self, codebook: "Codebook", vectors: Any, weights: Any, counts: Any, usable: Any
    ) -> None:
        uniforms = random_uniform((codebook.num_embeddings,), codebook.seed_generator)
        rows = _rows_of_all(vectors, uniforms, weights)
        noise = random_normal(ops.shape(rows), codebook.seed_generator)
        length = ops.sqrt(ops.sum(ops.square(rows), axis=-1, keepdims=True))
        rows = rows + self.noise_scale * length * noise
        variable = codebook.revival_state["unused_steps"]
        old = ops.convert_to_tensor(variable)
        unused = ops.where(usable, ops.where(counts > 0, 0.0, old + 1.0), old)
        expired = ops.logical_and(unused >= self.after_steps, usable)
        codebook.replace(expired, rows)
        variable.assign(ops.where(expired, 0.0, unused))

    def get_config(self) -> dict[str, Any]:
        return {"after_steps": self.after_steps, "noise_scale": self.noise_scale}


@keras.saving.register_keras_serializable(PACKAGE)
class AnchorRevival(Revival):
    """Clustering VQ (CVQ): codes are drawn to the vectors nearest to them, the more the less used.

    With `s_k` the share of a batch's vectors that chose code k, and `x_k` the vector of the batch
    nearest to it, its anchor:

    ```
    p_k ← γ p_k + (1 − γ) s_k
    α_k = exp(−10 K p_k / (1 − γ) − 0.001)
    e_k ← (1 − α_k) e_k + α_k x_k
    ```

    A code in even use has α = 0 and is left alone; one that is not in use jumps onto its anchor in
    one step, and does so about `7 / (1 − γ)` steps after its last use. The averages start at 0,
    so codes that the first batches do not choose jump at once. The anchors cost a second search of
    the same size.

    Args:
        decay: γ, decay of the averages a step, in (0, 1). Defaults to `0.99`.

    References:
        - [Online Clustered Codebook](https://arxiv.org/abs/2307.15139), §3.2
    """

    def __init__(self, decay: float = 0.99) -> None:
        self.decay = check_share("decay", decay, "(0, 1)")

    def build(self, codebook: "Codebook") -> dict[str, Any]:
        return {"share": codebook.add_statistic("share", (codebook.num_embeddings,))}

    def step(
        self, codebook: "Codebook", vectors: Any, weights: Any, counts: Any, usable: Any
    ) -> None:
        K = codebook.num_embeddings
        variable = codebook.revival_state["share"]
        old = ops.convert_to_tensor(variable)
        share = self.decay * old + (1.0 - self.decay) * counts / ops.maximum(ops.sum(counts), 1.0)
        alpha = ops.exp(-10.0 * K * share / (1.0 - self.decay) - 1e-3)
        alpha = ops.where(usable, alpha, 0.0)
        table = ops.convert_to_tensor(codebook.embeddings)
        # Mixed as they are compared: with cosine distance a stored code may have any length.
        codes = ops.stop_gradient(codebook.table())
        anchors = self._anchors(codes, vectors, weights)
        moved = codes + ops.expand_dims(alpha, -1) * (anchors - codes)
        moved = codebook.update_rule.inverse_transform(codebook, moved)
        # On JAX the assigned value is the weight for the rest of the step: it carries the gradient.
        moved = moved + (table - ops.stop_gradient(table))
        codebook.store(ops.where(ops.expand_dims(alpha > 0, -1), moved, table))
        # What moved half of its way or more stands for other vectors now.
        codebook.update_rule.reset(codebook, alpha > 0.5, ops.zeros((K,), "float32"))
        variable.assign(ops.where(usable, share, old))

    @staticmethod
    def _anchors(codes: Any, vectors: Any, weights: Any) -> Any:
        """For each code the nearest valid vector of all replicas."""
        vectors = gather_rows(vectors)
        weights = None if weights is None else gather_rows(weights)
        # In place of masked rows stands a valid one, which is a candidate anyway; it is also put in
        # front, so that the search never runs over nothing.
        valid = uniform_rows(vectors, ops.zeros((1,), "float32"), weights)
        if weights is not None:
            vectors = ops.where(ops.expand_dims(weights > 0, -1), vectors, valid)
        candidates = ops.concatenate([valid, vectors], axis=0)
        # In chunks of codes here, whose length goes by the number of vectors.
        return take_rows(candidates, nearest_code(codes, candidates))

    def get_config(self) -> dict[str, Any]:
        return {"decay": self.decay}


def _rows_of_all(vectors: Any, uniforms: Any, weights: Any) -> Any:
    """A random valid row of all replicas' vectors for each of the uniforms: the same on each."""
    weights = None if weights is None else gather_rows(weights)
    return uniform_rows(gather_rows(vectors), uniforms, weights)


def get_revival(identifier: Any) -> Revival | None:
    """The revival of that name, config or instance; `None` for none.

    The names are `"replace_dead"`, `"replace_unused"` and `"cvq"`.
    """
    if identifier is None:
        return None
    names: dict[str, type[Revival]] = {
        "replace_dead": ReplaceDead,
        "replace_unused": ReplaceUnused,
        "cvq": AnchorRevival,
    }
    return get_choice(identifier, Revival, names, "revival")
