"""Codes of random tables, which nothing learns: targets for self-supervision."""

import random
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vqvae.checks import check_count
from keras_vqvae.choices import PACKAGE
from keras_vqvae.codebooks import Codebook
from keras_vqvae.layers.parts import concatenated_counts
from keras_vqvae.layers.quantizer import Quantizer
from keras_vqvae.layers.quantizer_output import QuantizerOutput, TableUse
from keras_vqvae.ops import all_finite, full_product, straight_through
from keras_vqvae.seeds import check_seed

__all__ = ["RandomProjectionQuantizer"]

_EPSILON = 1e-5


@keras.saving.register_keras_serializable(PACKAGE)
class RandomProjectionQuantizer(Quantizer):
    """Projects vectors at random and takes the nearest code of a random table (BEST-RQ).

    Nothing in it learns and it has no loss: its indices are targets, which a model is trained to
    predict for positions that it does not see. With `codebook_dim` c and Q tables:

    ```
    u   = (z_e − mean(z_e)) / √(var(z_e) + 10⁻⁵)      over the D numbers of each vector
    y_i = u P_i                                       P_i: (D, c), frozen, Xavier uniform
    k_i = argmax_j cos(y_i, e_ij)                     e_i: (K, c), frozen, N(0, 1)
    ```

    The codes live in the projected space, where `z_q` of length D does not. `z_q` is their
    least-squares lift: the shortest vector with `z_q [P_1 … P_Q] = [ê_1 … ê_Q]`, the chosen codes
    at unit length (in the sense of least squares if Qc > D). It says of the normalised input what
    the indices say, and nothing else, so that `decode` needs the indices alone. It is no
    reconstruction. Its gradient passes straight through.

    With several tables an index of −1 leaves that table's part out. Masked positions get index −1
    and zeros.

    Args:
        num_embeddings: K, the number of codes of each table.
        codebook_dim: c, the length of a code. Defaults to `16`, the paper's.
        embedding_dim: D. By default taken from the input.
        num_codebooks: Q, the number of tables, each with a projection of its own. Defaults to `1`.
        chunk_size: how many vectors a search compares at one time. By default as many as fit into
            16 MiB on a CPU, 32 MiB on an accelerator.
        seed: seed of projections and tables.
        **kwargs: as for `keras.layers.Layer`. With any dtype policy the arithmetic is float32.

    Call arguments:
        z_e: float tensor `(..., D)`.
        training: whether the codes are counted.
        mask: boolean tensor `(...)`, `False` where a position is padding.
        return_indices: whether to return the indices too.

    Returns:
        `(..., D)`, or with `return_indices=True` also int32 `(...)`, or `(..., Q)` if Q > 1.

    Raises:
        ValueError: for arguments out of range; from `build`, for a last axis that is not D.

    Example:
    >>> import numpy as np
    >>> layer = RandomProjectionQuantizer(num_embeddings=8192, num_codebooks=4)
    >>> targets = layer.encode(np.random.normal(size=(2, 50, 80)))  # spectrograms
    >>> tuple(targets.shape), len(layer.trainable_weights)
    ((2, 50, 4), 0)

    References:
        - [Self-supervised Learning with Random-projection Quantizer for Speech
          Recognition](https://arxiv.org/abs/2202.01855), §3.1
    """

    def __init__(
        self,
        num_embeddings: int,
        codebook_dim: int = 16,
        embedding_dim: int | None = None,
        num_codebooks: int = 1,
        chunk_size: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.codebook_dim = check_count("codebook_dim", codebook_dim)
        self.num_codebooks = check_count("num_codebooks", num_codebooks)
        self.seed = check_seed(seed)
        # Drawn on the host, like Keras's own default seeds: the lift is computed from it there.
        self._host_seed = random.randint(1, 10**9) if self.seed is None else self.seed
        self._dim = None if embedding_dim is None else check_count("embedding_dim", embedding_dim)
        self.codebooks = [
            Codebook(
                num_embeddings,
                codebook_dim,
                update="frozen",
                distance="cosine",
                embeddings_initializer=keras.initializers.RandomNormal(
                    stddev=1.0, seed=self._host_seed + i
                ),
                chunk_size=chunk_size,
                seed=seed,
                dtype="float32",
                name=f"table_{i}",
            )
            for i in range(num_codebooks)
        ]

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        self.check_input_shape(input_shape)
        self._dim = dim = int(input_shape[-1])
        for codebook in self.codebooks:
            codebook.build((None, self.codebook_dim))
        limit = np.sqrt(6.0 / (dim + self.codebook_dim))
        generator = np.random.default_rng(self._host_seed)
        projection = generator.uniform(-limit, limit, (dim, self.num_codebooks * self.codebook_dim))
        self.projection = self._frozen("projection", projection)
        self.lift = self._frozen("lift", np.linalg.pinv(projection))
        self.hand_on_frozen()
        self.built = True

    def _frozen(self, name: str, value: np.ndarray) -> Any:
        return self.add_weight(
            name=name,
            shape=value.shape,
            initializer=keras.initializers.Constant(value.astype("float32")),
            dtype="float32",
            trainable=False,
            autocast=False,
        )

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        self.check_built("discretize")
        z_e = ops.convert_to_tensor(z_e)
        x, valid = self.flatten(z_e, mask)
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        normalized = centred / ops.sqrt(variance + _EPSILON)
        projected = full_product(normalized, ops.convert_to_tensor(self.projection))
        pieces = ops.split(projected, self.num_codebooks, axis=-1)
        # Of what is not finite, or has no variance that is, the projections can be finite.
        finite = all_finite(x) if training else None
        indices = []
        for codebook, piece in zip(self.codebooks, pieces, strict=True):
            piece = codebook.distance.normalize(piece)
            indices.append(codebook.search(piece))
            if training:
                codebook.learn(piece, indices[-1], valid, finite)
        several = self.num_codebooks > 1
        indices = ops.stack(indices, axis=-1) if several else indices[0]
        codes = self.codes_of(indices)
        return self.restore(z_e, valid, straight_through(x, codes), indices, {}, codes)

    def codes_of(self, indices: Any) -> Any:
        if self.num_codebooks == 1:
            indices = ops.expand_dims(indices, -1)
        pieces = [book.lookup(indices[..., i]) for i, book in enumerate(self.codebooks)]
        return ops.matmul(ops.concatenate(pieces, axis=-1), self.lift)

    @property
    def num_embeddings(self) -> int:
        """K, the number of codes of a table."""
        return self.codebooks[0].num_embeddings

    @property
    def table_sizes(self) -> tuple[int, ...]:
        return (self.num_embeddings,) * self.num_codebooks

    def tables(self) -> tuple[TableUse, ...]:
        if self.num_codebooks == 1:
            return (TableUse("", self.codebooks[0], (0,)),)
        return tuple(TableUse(f"table_{i}", book, (i,)) for i, book in enumerate(self.codebooks))

    @property
    def embedding_dim(self) -> int | None:
        """D, the length of the vectors; `None` until it is known."""
        return self._dim

    @property
    def codebook_shape(self) -> tuple[int | None, ...]:
        """`(K, c)`, or `(Q, K, c)` of several tables."""
        shape = (self.num_embeddings, self.codebook_dim)
        return shape if self.num_codebooks == 1 else (self.num_codebooks, *shape)

    @property
    def loss_names(self) -> tuple[str, ...]:
        return ()

    @property
    def code_counts(self) -> Any:
        self.check_made("code_counts")
        return concatenated_counts(self.tables())

    def indices_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        several = self.num_codebooks > 1
        return (*input_shape[:-1], self.num_codebooks) if several else tuple(input_shape[:-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_embeddings": self.num_embeddings,
            "codebook_dim": self.codebook_dim,
            "embedding_dim": self._dim,
            "num_codebooks": self.num_codebooks,
            "chunk_size": self.codebooks[0].chunk_size,
            "seed": self.seed,
        }
