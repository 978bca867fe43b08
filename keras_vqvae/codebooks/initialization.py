"""Where the codes start: at random, or at the vectors of the first batch."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.checks import check_count
from keras_vqvae.choices import PACKAGE, Choice
from keras_vqvae.codebooks.distances import Distance
from keras_vqvae.codebooks.draws import spread_rows
from keras_vqvae.ops import code_counts, code_sums, nearest_code

__all__ = ["DataInitializer", "KMeans", "get_embeddings_initializer"]


class DataInitializer(Choice):
    """Sets the table from the vectors of the first training batch."""

    def table(
        self, vectors: Any, weights: Any, uniforms: Any, distance: Distance, chunk_size: int | None
    ) -> tuple[Any, Any]:
        """The codes `(K, D)` and how many vectors chose each, `(K,)`.

        Args:
            vectors: float32 `(N, D)`, normalised by `distance`; those of all replicas, since no
                collective operation can run inside the branch that calls this.
            weights: float32 `(N,)`, 0 for masked rows, or `None`.
            uniforms: float32 `(K,)` in [0, 1). They are drawn by the caller, before it branches:
                a draw inside a branch does not compile on JAX.
            distance: the distance in use.
            chunk_size: the bound of the nearest-code search.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable(PACKAGE)
class KMeans(DataInitializer):
    """Lloyd's algorithm on the first training batch, started from its own vectors.

    A cluster that is empty in an iteration keeps its mean.

    Args:
        iterations: how many assignments and means follow the start. Defaults to `10`; `0` starts
            from vectors of the batch as they are.
    """

    def __init__(self, iterations: int = 10) -> None:
        self.iterations = check_count("iterations", iterations, least=0)

    def table(
        self, vectors: Any, weights: Any, uniforms: Any, distance: Distance, chunk_size: int | None
    ) -> tuple[Any, Any]:
        num_embeddings = uniforms.shape[0]

        def assign(means: Any) -> tuple[Any, Any]:
            indices = nearest_code(vectors, means, chunk_size)
            return indices, code_counts(indices, num_embeddings, weights)

        def iterate(_: Any, means: Any) -> Any:
            indices, counts = assign(means)
            sums = code_sums(vectors, indices, num_embeddings, weights)
            counts = ops.expand_dims(counts, -1)
            return distance.normalize(ops.where(counts > 0, sums / ops.maximum(counts, 1.0), means))

        start = spread_rows(vectors, uniforms, weights)
        means = ops.fori_loop(0, self.iterations, iterate, start)
        return means, assign(means)[1]

    def get_config(self) -> dict[str, Any]:
        return {"iterations": self.iterations}


def get_embeddings_initializer(identifier: Any) -> Any:
    """A `DataInitializer`, a Keras initializer, or `"uniform"`.

    `"kmeans"` is `KMeans()`; `"uniform"` stays a name, for it is uniform in ±1/K, as the authors'
    and most other codes start, with the K and the seed of each table; everything else goes to
    `keras.initializers.get`.
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, DataInitializer):
        return identifier
    is_name = isinstance(identifier, str)
    if is_name and identifier == "kmeans":
        return KMeans()
    if is_name and identifier == "uniform":
        return identifier
    try:
        found = keras.initializers.get(identifier) if is_name or callable(identifier) else None
    except ValueError:
        found = None
    if found is None:
        raise ValueError(
            "`embeddings_initializer` should be 'uniform', 'kmeans', `KMeans(...)` or a Keras "
            "initializer (`keras.initializers.Constant(array)` for codes of your own). "
            f"Received: embeddings_initializer={identifier!r}"
        )
    return found
