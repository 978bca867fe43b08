"""The table of codes as a layer: its weights, and the rules that change them."""

import warnings
from typing import Any

import keras
from keras import ops

from keras_vqvae.checks import check_count, not_built
from keras_vqvae.choices import PACKAGE
from keras_vqvae.codebooks.assignment import get_assignment
from keras_vqvae.codebooks.distances import get_distance
from keras_vqvae.codebooks.initialization import DataInitializer, get_embeddings_initializer
from keras_vqvae.codebooks.revival import get_revival
from keras_vqvae.codebooks.update_rules import get_update_rule
from keras_vqvae.compilation import is_concrete
from keras_vqvae.kept_assignments import are_assignments_kept
from keras_vqvae.ops import (
    all_finite,
    all_reduce_sum,
    code_counts,
    gather_rows,
    nearest_code,
    random_uniform,
)
from keras_vqvae.saved_generator import SavedGenerator
from keras_vqvae.seeds import check_seed

__all__ = ["Codebook"]


@keras.saving.register_keras_serializable(PACKAGE)
class Codebook(SavedGenerator, keras.layers.Layer):
    """A table of K codes of D numbers, with its search, its lookup and its learning.

    A quantizer owns one or several. Its methods work on flat lists of vectors; shapes, losses and
    gradient estimators are the quantizer's business. All arithmetic is float32 under every dtype
    policy.

    Args:
        num_embeddings: K, the number of codes.
        embedding_dim: D, the length of a code. By default taken from the input in `build`.
        update: how the table learns: `"gradient"`, `"ema"`, `"frozen"` or an `UpdateRule`.
        embeddings_initializer: `"uniform"` (±1/K), `"kmeans"`, a `DataInitializer`, or a Keras
            initializer, its name or its config.
        revival: what happens to unused codes: `None`, `"replace_dead"`, `"replace_unused"`,
            `"cvq"` or a `Revival`.
        distance: `"euclidean"`, `"cosine"` or a `Distance`.
        assignment: which code a vector gets in training: `"nearest"`, `"sampled"`,
            `"optimal_transport"` or an `Assignment`.
        chunk_size: how many vectors the search compares at one time. By default as many as keep the
            scores within 16 MiB on a CPU, 32 MiB on an accelerator.
        seed: seed of the random draws: where codes start, initialisation from data, and revival.
        **kwargs: as for `keras.layers.Layer`.

    Example:
    >>> import numpy as np
    >>> codebook = Codebook(4, embeddings_initializer="ones")
    >>> codebook.build((None, 2))
    >>> tuple(codebook.lookup(np.array([3, -1])).shape)
    (2, 2)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int | None = None,
        update: Any = "gradient",
        embeddings_initializer: Any = "uniform",
        revival: Any = None,
        distance: Any = "euclidean",
        assignment: Any = "nearest",
        chunk_size: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_embeddings = check_count("num_embeddings", num_embeddings)
        self.embedding_dim = _optional_count("embedding_dim", embedding_dim)
        self.chunk_size = _optional_count("chunk_size", chunk_size)
        if num_embeddings > 2**30:
            raise ValueError(
                "`num_embeddings` should be at most 2**30: indices are int32. Use several smaller "
                f"tables. Received: num_embeddings={num_embeddings}"
            )
        self.update_rule = get_update_rule(update)
        self.frozen_codes = self.update_rule.frozen_mask(self.num_embeddings)
        self.seed = check_seed(seed)
        self.embeddings_initializer = get_embeddings_initializer(embeddings_initializer)
        self.revival = get_revival(revival)
        self.distance = get_distance(distance)
        self.assignment = get_assignment(assignment)
        self.seed_generator = keras.random.SeedGenerator(self.seed)
        self._embeddings: Any = None
        self._code_counts: Any = None

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        dim = input_shape[-1]
        if dim is None or (self.embedding_dim is not None and dim != self.embedding_dim):
            raise ValueError(
                f"Layer '{self.name}' expects vectors of length "
                f"{self.embedding_dim or 'known in advance'} on its last axis. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        self.embedding_dim = int(dim)
        from_data = isinstance(self.embeddings_initializer, DataInitializer)
        start = self.embeddings_initializer
        if from_data or start == "uniform":
            limit = 1.0 / self.num_embeddings
            start = keras.initializers.RandomUniform(-limit, limit, self.seed)
        self._embeddings = self.add_weight(
            name="embeddings",
            shape=(self.num_embeddings, self.embedding_dim),
            initializer=start,
            dtype="float32",
            trainable=self.update_rule.trains_by_gradient,
            autocast=False,
        )
        self._code_counts = self.add_statistic("code_counts", (self.num_embeddings,))
        self.refused_batches = self.add_statistic("refused_batches", ())
        self.initialized = self.add_statistic("initialized", ()) if from_data else None
        self.update_state = self.update_rule.build(self)
        self.revival_state = {} if self.revival is None else self.revival.build(self)

    def add_statistic(
        self, name: str, shape: tuple[int | None, ...], initializer: Any = "zeros"
    ) -> Any:
        """A float32 weight that no gradient changes; for the state of rules and revivals."""
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            dtype="float32",
            trainable=False,
            autocast=False,
        )

    @property
    def embeddings(self) -> Any:
        """The table's weight, float32 `(K, D)`."""
        return self._made("embeddings", self._embeddings)

    @property
    def code_counts(self) -> Any:
        """float32 `(K,)`: how often each code was chosen in training since the last reset."""
        return self._made("code_counts", self._code_counts)

    def _made(self, name: str, weight: Any) -> Any:
        if weight is None:
            raise AttributeError(not_built(self.name, name))
        return weight

    def table(self) -> Any:
        """The codes as they are compared and looked up: float32 `(K, D)`."""
        stored = ops.convert_to_tensor(self.embeddings)
        return self.distance.normalize(self.update_rule.transform(self, stored))

    def table_learning_from(self, vectors: Any, training: bool = True) -> Any:
        """As `table`; but in training a batch `(N, D)` that is not finite gives it no gradient.

        That would be NaN, and so would be the table from then on. The losses of such a batch are
        NaN as ever, so it is seen.
        """
        table = self.table()
        if not training or not self.trainable_weights:
            return table
        return ops.where(all_finite(vectors), table, ops.stop_gradient(table))

    def store(self, table: Any) -> None:
        """Sets the weight to `table` `(K, D)`, but for codes that are frozen."""
        if self.frozen_codes is not None:
            frozen = ops.expand_dims(self.frozen_codes, -1)
            table = ops.where(frozen, ops.convert_to_tensor(self.embeddings), table)
        self.embeddings.assign(table)

    def search(self, vectors: Any, table: Any = None) -> Any:
        """The nearest code of each vector: `(N, D)`, normalised, to int32 `(N,)`.

        `table` is what `table()` gives, where that is computed already.
        """
        table = self.table() if table is None else table
        return nearest_code(vectors, table, self.chunk_size)

    def lookup(self, indices: Any) -> Any:
        """The codes of indices `(...)` as float32 `(..., D)`; an index of −1 gives zeros."""
        indices = ops.convert_to_tensor(indices)
        codes = ops.take(self.table(), ops.maximum(indices, 0), axis=0)
        return ops.where(ops.expand_dims(indices >= 0, -1), codes, 0.0)

    def initialize(self, vectors: Any, weights: Any = None) -> None:
        """Sets the table from `vectors` `(N, D)` if its start is from data and has not been made.

        To be called in training only, before the search. A batch that is empty or not finite is
        passed over, and the next one is used. A frozen table (`trainable = False`) stays as it is.
        """
        if self.initialized is None or not self.trainable:
            return
        # All replicas start from the vectors of all, and decide alike.
        finite = all_finite(vectors)
        vectors = gather_rows(ops.stop_gradient(vectors))
        weights = None if weights is None else gather_rows(weights)
        old_table = ops.convert_to_tensor(self.embeddings)
        uniforms = random_uniform((self.num_embeddings,), self.seed_generator)
        valid = ops.shape(vectors)[0] if weights is None else ops.sum(weights)
        usable = ops.logical_and(valid > 0, finite)
        done = ops.convert_to_tensor(self.initialized)
        start = ops.logical_and(done < 0.5, usable)
        # The branch returns values and assigns nothing: JAX allows no assignment inside.
        table, counts = ops.cond(
            start,
            lambda: self.embeddings_initializer.table(
                vectors, weights, uniforms, self.distance, self.chunk_size
            ),
            lambda: (old_table, ops.zeros((self.num_embeddings,), "float32")),
        )
        # On JAX the assigned value is the weight for the rest of the step: it carries the gradient.
        by_weight = old_table - ops.stop_gradient(old_table)
        self.store(ops.stop_gradient(table) + by_weight)
        self.update_rule.reset(self, ops.broadcast_to(start, (self.num_embeddings,)), counts)
        self.initialized.assign(ops.maximum(done, ops.cast(start, "float32")))

    def learn(self, vectors: Any, indices: Any, weights: Any = None, finite: Any = None) -> None:
        """One training step of everything but gradients: usage, update rule, revival.

        Args:
            vectors: float32 `(N, D)`, normalised, finite where masked; no gradient flows into them.
            indices: int32 `(N,)`, the code that each vector chose before this step.
            weights: float32 `(N,)`, 0 for masked rows, or `None`.
            finite: what `all_finite(vectors)` is, where that is known without looking at them all
                once more.

        A batch with values that are not finite is refused as a whole, on all replicas: it changes
        nothing but `refused_batches`. One without vectors changes nothing at all. A frozen codebook
        (`trainable = False`) learns nothing, as a frozen `BatchNormalization`.
        """
        if not self.trainable:
            return
        self._warn_of_lost_assignments()
        vectors = ops.stop_gradient(vectors)
        counts = all_reduce_sum(code_counts(indices, self.num_embeddings, weights))
        finite = all_finite(vectors) if finite is None else finite
        usable = ops.logical_and(finite, ops.sum(counts) > 0)
        self.code_counts.assign_add(ops.where(usable, counts, 0.0))
        self.refused_batches.assign_add(1.0 - ops.cast(finite, "float32"))
        self.update_rule.step(self, vectors, indices, weights, counts, usable)
        if self.revival is not None:
            self.revival.step(self, vectors, weights, counts, usable)

    def _warn_of_lost_assignments(self) -> None:
        assigns = self.initialized is not None or self.revival is not None
        if not assigns or not self.embeddings.trainable or are_assignments_kept():
            return
        if not is_concrete(ops.convert_to_tensor(self.embeddings)):
            warnings.warn(
                f"the table of '{self.path}' will neither start from data nor get codes replaced: "
                "on JAX, a plain Keras model drops what a step assigns to a trainable weight. Use "
                "`update='ema'`, where the layer has it, or a model of this package "
                "(`models.VQVAE`)",
                stacklevel=2,
            )

    def replace(self, replaced: Any, codes: Any) -> None:
        """Moves the codes marked in `replaced` `(K,)` to `codes` `(K, D)`, as if they were new."""
        table = ops.convert_to_tensor(self.embeddings)
        codes = self.update_rule.inverse_transform(self, codes)
        self.store(ops.where(ops.expand_dims(replaced, -1), codes, table))
        self.update_rule.reset(self, replaced, ops.zeros((self.num_embeddings,), "float32"))

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "update": serialize(self.update_rule),
            "embeddings_initializer": serialize(self.embeddings_initializer),
            "revival": None if self.revival is None else serialize(self.revival),
            "distance": serialize(self.distance),
            "assignment": serialize(self.assignment),
            "chunk_size": self.chunk_size,
            "seed": self.seed,
        }


def _optional_count(name: str, value: Any) -> int | None:
    return None if value is None else check_count(name, value)
