"""The quantizer of the VQ-VAE."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.codebooks import Codebook, Euclidean, NearestCode
from keras_vqvae.codebooks.regularizers import get_regularizers
from keras_vqvae.layers.nearest_code_quantizer import NearestCodeQuantizer
from keras_vqvae.layers.parts import own_arguments
from keras_vqvae.layers.quantizer_output import QuantizerOutput
from keras_vqvae.ops import all_reduce_sum, estimator_places_vectors, estimator_trains_codes

__all__ = ["VectorQuantizer"]


@keras.saving.register_keras_serializable(PACKAGE)
class VectorQuantizer(NearestCodeQuantizer):
    """Replaces each vector by the nearest of K learned codes.

    A vector `z_e` of length D becomes `z_q = e_k` with `k = argmin_j ‖z_e − e_j‖²`. The gradient of
    `z_q` is handed to `z_e` as it is (straight-through). Two losses, each a mean over all elements
    of valid positions, are added with `add_loss`:

    ```
    codebook_loss   = ‖sg(z_e) − z_q‖²         moves the codes to the vectors (update="gradient")
    commitment_loss = β ‖z_e − sg(z_q)‖²       keeps the vectors at the codes
    ```

    It takes any rank, `(batch, time, D)`, `(batch, height, width, D)` and so on, and can stand in
    `Sequential` and functional models. The losses are the same in training and in evaluation;
    tables, statistics and usage change in training only. Positions that are masked out get index
    −1 and zeros, and change no loss and no statistic.

    The bare layer is the paper's. `keras_vqvae.models` choose defaults that train better: an EMA
    table, started from data, in which dead codes are replaced.

    Args:
        num_embeddings: K, the number of codes.
        embedding_dim: D. By default taken from the input.
        beta: β, weight of the commitment loss; a number, or a schedule out of
            `keras.optimizers.schedules` over the training steps. Defaults to `0.25`.
        update: how the table learns: `"gradient"`, `"ema"`, `"frozen"` (not at all), or an object
            such as `codebooks.EMAUpdate(decay=0.99)`, `codebooks.AffineUpdate()` or
            `codebooks.FrozenCodes([0], otherwise="ema")`. Defaults to `"gradient"`.
        embeddings_initializer: where the codes start: `"uniform"` (±1/K), `"kmeans"` (the first
            training batch; also compiled), `codebooks.KMeans(...)` or a Keras initializer.
        revival: what happens to unused codes: `None`, `"replace_dead"`, `"replace_unused"`, `"cvq"`
            or an object such as `codebooks.ReplaceDead(threshold=0.1)`. Defaults to `None`.
        distance: `"euclidean"` or `"cosine"`. Defaults to `"euclidean"`.
        estimator: how the gradient passes: `"straight_through"`, `"rotation"`, `"synchronized"`,
            `"diveq"`, `"sf_diveq"`, `"nsvq"` or an object such as `ops.DiVeQ(noise_std=0.01)`. The
            last four hand the codes a gradient. The last three take the place of the codebook loss
            (their papers have no commitment loss either: `beta=0`); in training their value is near
            the code, or on a line between two, in evaluation it is the code. Defaults to
            `"straight_through"`.
        assignment: which code a vector gets in training: `"nearest"`, `"sampled"` (drawn at random,
            the nearer the likelier), `"optimal_transport"` (so that all are used evenly) or an
            object such as `codebooks.SampledCode(temperature=0.5)`. In evaluation it is the
            nearest. Defaults to `"nearest"`.
        regularizer: a term added to the loss, `codebooks.Orthogonality(...)`,
            `codebooks.Diversity(...)` or `codebooks.CrossEntropyCommitment(...)`, or a list of
            them; each is logged under its own name. Defaults to `None`.
        chunk_size: how many vectors the search compares at one time, which bounds its memory to
            `chunk_size` × K numbers. By default as many as fit into 16 MiB on a
            CPU, 32 MiB on an accelerator.
        seed: seed of the draws: where codes start (a Keras initializer has its own), the start from
            data, assignment and revival.
        **kwargs: as for `keras.layers.Layer`. With any dtype policy, distances, statistics and
            losses are float32.

    Call arguments:
        z_e: float tensor `(..., D)`.
        training: whether the table learns from this call.
        mask: boolean tensor `(...)`, `False` where a position is padding.
        return_indices: whether to return the indices too.

    Returns:
        `(..., D)`, or with `return_indices=True` also int32 `(...)`.

    Raises:
        ValueError: for arguments out of range; from `build`, for a last axis that is not D.

    Example:
    >>> import numpy as np
    >>> layer = VectorQuantizer(num_embeddings=8, embedding_dim=2)
    >>> z_q, indices = layer(np.ones((1, 7, 7, 2)), return_indices=True)
    >>> tuple(z_q.shape), tuple(indices.shape)
    ((1, 7, 7, 2), (1, 7, 7))
    >>> len(layer.losses)
    2

    References:
        - [Neural Discrete Representation Learning](https://arxiv.org/abs/1711.00937), §3
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int | None = None,
        beta: Any = 0.25,
        update: Any = "gradient",
        embeddings_initializer: Any = "uniform",
        revival: Any = None,
        distance: Any = "euclidean",
        estimator: Any = "straight_through",
        assignment: Any = "nearest",
        regularizer: Any = None,
        chunk_size: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.set_numbers(beta=beta)
        self.set_estimator(estimator)
        self.codebook = Codebook(
            num_embeddings,
            embedding_dim,
            update=update,
            embeddings_initializer=embeddings_initializer,
            revival=revival,
            distance=distance,
            assignment=assignment,
            chunk_size=chunk_size,
            seed=seed,
            dtype="float32",
            name="codebook",
        )
        self.set_option_numbers("assignment", self.codebook.assignment)
        self.regularizers = get_regularizers(regularizer)
        for one in self.regularizers:
            self.set_option_numbers(one.prefix, one)
            if one.needs_trainable_table and not self.learns_by_gradient:
                raise ValueError(
                    f"`regularizer={one!r}` has a gradient to the table alone, which would not "
                    f"learn from it. Pass `update='gradient'`. Received: update={update!r}"
                )
        if estimator_trains_codes(self._pass_gradient) and not self.learns_by_gradient:
            raise ValueError(
                f"`estimator={estimator!r}` hands the table its gradient, so the table should "
                f"learn by it. Pass `update='gradient'`. Received: update={update!r}"
            )
        self.check_codes_to_join()
        places = estimator_places_vectors(self._pass_gradient)
        if places and self.codebook.assignment != NearestCode():
            raise ValueError(
                f"`estimator={estimator!r}` chooses where vectors go itself. Pass "
                f"`assignment='nearest'`. Received: assignment={assignment!r}"
            )

    def discretize(
        self,
        z_e: Any,
        training: bool = False,
        mask: Any = None,
        learn: bool = True,
        indices: Any = None,
    ) -> QuantizerOutput:
        """Vectors to codes, indices and named losses, without adding the losses to the layer.

        Args:
            z_e: float tensor `(..., D)`.
            training: whether this is a training step.
            mask: boolean tensor `(...)`, `False` where a position is padding.
            learn: `False` leaves the table as it is in training too, for quantizers that share one
                and call `learn` when all are done.
            indices: int32 `(...)` in [0, K), the code of each position where that is chosen
                already.

        Returns:
            A `QuantizerOutput`; `quantized` has the dtype of `z_e`.
        """
        z_e = ops.convert_to_tensor(z_e)
        codebook = self.codebook
        x, valid = self.flatten(z_e, mask)
        x = codebook.distance.normalize(x)
        if training and learn:
            codebook.initialize(x, valid)
        indices = None if indices is None else ops.reshape(indices, (-1,))
        quantized, codes, indices = self.choose(x, training, valid, indices)
        losses, commitment = self.table_losses(x, codes, valid)
        for one in self.regularizers:
            # A batch without vectors costs nothing, though the table may.
            rows = ops.cast(ops.shape(x)[0], "float32") if valid is None else ops.sum(valid)
            loss = self.option_now(one.prefix, one).loss(codebook, x, indices, valid)
            losses[one.loss_name] = ops.where(all_reduce_sum(rows) > 0, loss, 0.0)
        if training and learn:
            self.learn_from(x, indices, valid, commitment)
            self.advance(valid)
        return self.restore(z_e, valid, quantized, indices, losses, codes)

    def learn(self, vectors: Any, indices: Any, valid: Any = None) -> None:
        """The training step of the table alone, for quantizers that share one table.

        Args:
            vectors: float32 `(N, D)`.
            indices: int32 `(N,)`, the code that each chose.
            valid: float32 `(N,)`, 0 for rows to be left out, or `None`.
        """
        self.codebook.learn(self.codebook.distance.normalize(vectors), indices, valid)
        self.advance(valid)

    @property
    def passes_straight_through(self) -> bool:
        return super().passes_straight_through and self.codebook.distance == Euclidean()

    @property
    def loss_names(self) -> tuple[str, ...]:
        return (*super().loss_names, *(one.loss_name for one in self.regularizers))

    @property
    def learns_by_gradient(self) -> bool:
        return self.codebook.update_rule.trains_by_gradient

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **own_arguments(self.codebook),
            "regularizer": [keras.saving.serialize_keras_object(r) for r in self.regularizers],
        }
