"""A grid quantized from coarse to fine."""

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from numbers import Integral
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vqvae.checks import check_count, check_share
from keras_vqvae.choices import PACKAGE
from keras_vqvae.codebooks import Codebook
from keras_vqvae.layers.codebook_quantizer import CodebookQuantizer
from keras_vqvae.layers.quantize_dropout import get_quantize_dropout
from keras_vqvae.layers.quantizer_output import QuantizerOutput
from keras_vqvae.ops import (
    all_finite,
    area_matrix,
    cubic_matrix,
    mean_square,
    resize_grid,
    straight_through,
    take_rows,
)
from keras_vqvae.saved_generator import SavedGenerator
from keras_vqvae.seeds import check_seed, derived_seed

__all__ = ["MultiScaleVectorQuantizer"]

#: By the number of axes of a grid.
_CONVOLUTIONS = {1: keras.layers.Conv1D, 2: keras.layers.Conv2D, 3: keras.layers.Conv3D}


@keras.saving.register_keras_serializable(PACKAGE)
class MultiScaleVectorQuantizer(SavedGenerator, CodebookQuantizer):
    """Quantizes a grid at a coarse scale, then what is left over at finer ones (as VAR does).

    All S scales share one table. For scale s of `(h_s, w_s)` positions:

    ```
    r_0 = z_e,   f_0 = 0
    k_s = nearest code of each vector of area(r_s → h_s × w_s)
    u_s = bicubic(e_k → H × W),   φ_s(u) = (1 − r) u + r · conv3×3(u)
    f_{s+1} = f_s + φ_s(u_s),   r_{s+1} = r_s − sg(φ_s(u_s)),   z_q = f_S
    codebook_loss   = 1/S Σ_s ‖sg(z_e) − f_s‖²           moves codes and convolutions
    commitment_loss = β/S Σ_s ‖z_e − sg(f_s)‖²
    ```

    With `update="ema"` each code follows the vectors `area(r_s → h_s × w_s)` that chose it at any
    scale, and `codebook_loss` moves the convolutions alone.

    An image then has one sequence of indices, `(batch, Σ h_s w_s)`, the scales one after another
    and each in raster order: no grid, for no position of the input has indices of its own. So
    `VQVAE.code_shape` is `(Σ h_s w_s,)`, and `uniform_bits_per_position` are the bits of one index;
    priors over grids (`PixelCNN`) refuse such codes. An index of −1 leaves a code out: with all
    finer scales at −1, `decode` gives the coarse image. With `dropout`, a training step uses only
    the first few scales of a batch or image: the indices of the others are −1, and they neither
    cost nor learn anything there. So a coarse image is one that the decoder knows. A mask would
    have to divide positions that coarse codes share, and is refused.

    Sequences and volumes are quantized in the same way along one or three axes, where scales are
    tuples of so many numbers: `((1,), (4,), (16,))` for 16 steps in time.

    The gradient passes straight through.

    Args:
        num_embeddings: K, the number of codes.
        scales: sizes of grids from coarse to fine; the last one is the grid of the input. A tuple
            is `(height, width)`, `(length,)` or `(depth, height, width)`; a number stands for equal
            sides, two of them if all are numbers. VAR's for 16 × 16 are
            `(1, 2, 3, 4, 5, 6, 8, 10, 13, 16)`.
        embedding_dim: D. By default taken from the input.
        beta: β, weight of the commitment loss; a number, or a schedule out of
            `keras.optimizers.schedules` over the training steps. Defaults to `0.25`.
        residual_ratio: r, the share of the convolution in φ, in [0, 1]. Defaults to `0.5`.
        num_convolutions: how many convolutions there are, each shared by neighbouring scales, up to
            S. By default 4, or S if there are fewer scales.
        dropout: `None`, `"batch"`, `"sample"` or `layers.QuantizeDropout(...)`, of scales. Defaults
            to `None`.
        update: how the table learns, as in `VectorQuantizer`. Defaults to `"gradient"`.
        embeddings_initializer: where the codes start: `"uniform"` (±1/K), `"kmeans"` (of the
            vectors of the finest scale), `codebooks.KMeans(...)` or a Keras initializer.
        revival: what happens to unused codes, as in `VectorQuantizer`. Defaults to `None`.
        chunk_size: how many vectors a search compares at one time.
        seed: seed of the draws and of the convolutions.
        **kwargs: as for `keras.layers.Layer`. With any dtype policy the arithmetic is float32.

    Call arguments:
        z_e: float tensor `(batch, H, W, D)`, or with as many axes as a scale has numbers.
        training: whether the table learns from this call.
        mask: has to be `None`.
        return_indices: whether to return the indices too.

    Returns:
        As `z_e`, or with `return_indices=True` also int32 `(batch, Σ h_s w_s)`.

    Raises:
        ValueError: for arguments out of range or a mask; from `build`, for an input that is no grid
            of the size of the last scale.

    Example:
    >>> import numpy as np
    >>> layer = MultiScaleVectorQuantizer(16, scales=(1, 2, 4))
    >>> z_q, indices = layer(np.ones((3, 4, 4, 5)), return_indices=True)
    >>> tuple(z_q.shape), tuple(indices.shape)  # 1 + 4 + 16
    ((3, 4, 4, 5), (3, 21))
    >>> sound = MultiScaleVectorQuantizer(16, scales=((2,), (4,), (8,)))
    >>> tuple(sound.encode(np.ones((3, 8, 5))).shape)
    (3, 14)

    References:
        - [Visual Autoregressive Modeling](https://arxiv.org/abs/2404.02905), §3.2, algorithms 1, 2
        - [ImageFolder](https://arxiv.org/abs/2410.01756), for the dropout of scales
    """

    def __init__(
        self,
        num_embeddings: int,
        scales: Sequence[Any],
        embedding_dim: int | None = None,
        beta: Any = 0.25,
        residual_ratio: float = 0.5,
        num_convolutions: int | None = None,
        dropout: Any = None,
        update: Any = "gradient",
        embeddings_initializer: Any = "uniform",
        revival: Any = None,
        chunk_size: int | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        seed = check_seed(seed)
        self.set_numbers(beta=beta)
        self.scales = _check_scales(scales)
        most, hint = len(self.scales), ", the number of scales"
        if num_convolutions is None:
            num_convolutions = min(4, most)
        self.residual_ratio = check_share("residual_ratio", residual_ratio, "[0, 1]")
        self.num_convolutions = check_count("num_convolutions", num_convolutions, 1, most, hint)
        self.dropout = get_quantize_dropout(dropout)
        self.seed_generator: Any = None
        if self.dropout is not None:
            self.dropout.check(most, "scales")
            self.seed_generator = keras.random.SeedGenerator(derived_seed(seed, "dropout"))
        self.codebook = Codebook(
            num_embeddings,
            embedding_dim,
            update=update,
            embeddings_initializer=embeddings_initializer,
            revival=revival,
            chunk_size=chunk_size,
            seed=seed,
            dtype="float32",
            name="codebook",
        )
        self.convolutions: list[Any] = []
        sizes = [tuple(zip(self.scales[-1], scale, strict=True)) for scale in self.scales]
        self._down = [[area_matrix(full, size) for full, size in axes] for axes in sizes]
        self._up = [[cubic_matrix(size, full) for full, size in axes] for axes in sizes]

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        super().build(input_shape)
        seed = derived_seed(self.codebook.seed, "convolutions")
        kind = _CONVOLUTIONS[len(self.scales[-1])]
        for i in range(self.num_convolutions):
            start = keras.initializers.GlorotUniform(None if seed is None else seed + i)
            convolution = kind(
                input_shape[-1],
                3,
                padding="same",
                data_format="channels_last",
                kernel_initializer=start,
                dtype="float32",
                name=f"convolution_{i}",
            )
            convolution.build((None, *input_shape[1:]))
            self.convolutions.append(convolution)
        self.hand_on_frozen()

    def check_input_shape(self, input_shape: Any) -> None:
        """Refuses other grids than of the last scale, too."""
        super().check_input_shape(input_shape)
        if len(input_shape) < 2 or tuple(input_shape[1:-1]) != self.scales[-1]:
            grid = ", ".join(map(str, self.scales[-1]))
            raise ValueError(
                f"Layer '{self.name}' expects grids (batch, {grid}, D), the last one of `scales`. "
                f"Received: input_shape={tuple(input_shape)}"
            )

    def discretize(self, z_e: Any, training: bool = False, mask: Any = None) -> QuantizerOutput:
        if mask is not None:
            raise ValueError(
                f"Layer '{self.name}' takes no mask: a coarse code stands for valid and masked "
                "positions alike. Leave the mask out, or crop the grid."
            )
        self.check_built("discretize")
        z_e = ops.convert_to_tensor(z_e)
        self.check_input_shape(z_e.shape)
        x = ops.cast(z_e, "float32")
        target, codebook = ops.stop_gradient(x), self.codebook
        if training:
            codebook.initialize(ops.reshape(x, (-1, self.embedding_dim)))
        table = codebook.table_learning_from(x, training)
        residual, total = target, None
        codebook_error, commitment_error = (ops.zeros((), "float32") for _ in range(2))
        seen, indices = [], []
        # What is not finite reaches the convolutions by their gradient alone.
        finite = all_finite(x) if training else None
        kept = self._kept(ops.shape(x)[0], training)
        row = (-1, math.prod(x.shape[1:]))  # an image a row
        for i, scale in enumerate(self.scales):
            seen.append(ops.reshape(resize_grid(residual, self._down[i]), (-1, x.shape[-1])))
            index = codebook.search(seen[-1])
            codes = take_rows(table, ops.reshape(index, (-1, *scale)))
            part = self._spread(codes, i)
            if finite is not None:
                part = ops.where(finite, part, ops.stop_gradient(part))
            if kept[i] is not None:
                part = part * self._of_images(kept[i])
            total = part if total is None else total + part
            residual = residual - ops.stop_gradient(part)
            codebook_error += mean_square(ops.reshape(target - total, row), kept[i])
            left_over = ops.reshape(x - ops.stop_gradient(total), row)
            commitment_error += mean_square(left_over, kept[i])
            indices.append(ops.reshape(index, (-1, math.prod(scale))))
        losses = {
            "codebook_loss": codebook_error / len(self.scales),
            "commitment_loss": self.number("beta") * commitment_error / len(self.scales),
        }
        if training:
            chosen = ops.concatenate([ops.reshape(index, (-1,)) for index in indices])
            codebook.learn(ops.concatenate(seen), chosen, self._weights_of_indices(kept))
            self.advance()
        indices = [
            index if used is None else ops.where(ops.expand_dims(used > 0, -1), index, -1)
            for index, used in zip(indices, kept, strict=True)
        ]
        quantized = self.like_input(z_e, straight_through(x, total))
        return QuantizerOutput(quantized, ops.concatenate(indices, axis=-1), losses, total)

    def _kept(self, batch: Any, training: bool) -> list[Any]:
        """For each scale which images use it: float32 `(batch,)`, or `None`: all."""
        if not training or self.dropout is None:
            return [None] * len(self.scales)
        scales = self.dropout.draw((batch,), len(self.scales), self.seed_generator)
        return [ops.cast(scales > i, "float32") for i in range(len(self.scales))]

    def _weights_of_indices(self, kept: list[Any]) -> Any:
        """0 for each index of a scale that its image does not use, scale by scale; `None`: all."""
        if kept[0] is None:
            return None
        sizes = map(math.prod, self.scales)
        return ops.concatenate([ops.repeat(k, n) for k, n in zip(kept, sizes, strict=True)])

    def _of_images(self, values: Any) -> Any:
        """`(batch,)` with axes of length 1 for those of a grid and its vectors."""
        return ops.reshape(values, (-1, *([1] * (len(self.scales[-1]) + 1))))

    def _spread(self, codes: Any, scale: int) -> Any:
        """φ of the codes `(batch, h_s, w_s, D)` in the size of the input."""
        grid = resize_grid(codes, self._up[scale])
        convolution = self.convolutions[scale * self.num_convolutions // len(self.scales)]
        return (1.0 - self.residual_ratio) * grid + self.residual_ratio * convolution(grid)

    def check_indices(self, dtype: Any, shape: Any) -> None:
        super().check_indices(dtype, shape)
        if len(shape) != 2 or shape[-1] != self.num_indices:
            raise ValueError(
                f"`indices` of layer '{self.name}' should have shape (batch, {self.num_indices}), "
                f"those of all scales. Received: shape {tuple(shape)}"
            )

    def codes_of(self, indices: Any) -> Any:
        return self._sums(indices)[-1]

    def next_scale_inputs(self, indices: Any) -> Any:
        """What a prior that predicts scale by scale knows before each scale but the first.

        Before scale s + 1 that is the sum of all codes so far, in the size of that scale:
        `area(f_s → h_{s+1} × w_{s+1})`. In training, pass the indices of images: the prior sees all
        scales at once, each position those of its own and coarser scales. To sample, pass the
        indices drawn so far; the last `h_{s+1} w_{s+1}` rows are new. The first scale has nothing
        before it but a class or a start token.

        Args:
            indices: integer tensor `(batch, n)`, those of the first s scales, one after another
                (`n = Σ_{i≤s} h_i w_i`). Those of the last scale may be there, and change nothing.

        Returns:
            float32 `(batch, m, D)`, for scales 2 to s + 1, `m = Σ_{2≤i≤s+1} h_i w_i`.

        Raises:
            ValueError: for indices that are not those of whole scales, or a layer of one scale.

        Example:
        >>> import numpy as np
        >>> layer = MultiScaleVectorQuantizer(16, scales=(1, 2, 4))
        >>> layer.build((None, 4, 4, 5))
        >>> tuple(layer.next_scale_inputs(np.zeros((3, 1), "int32")).shape)  # for the scale of 4
        (3, 4, 5)
        >>> tuple(layer.next_scale_inputs(np.zeros((3, 21), "int32")).shape)  # and for that of 16
        (3, 20, 5)

        References:
            - [Visual Autoregressive Modeling](https://arxiv.org/abs/2404.02905), §3.2
        """
        self.check_built("next_scale_inputs")
        indices = ops.convert_to_tensor(indices)
        ends = list(accumulate(map(math.prod, self.scales)))
        if len(ends) == 1:
            raise ValueError(f"Layer '{self.name}' has one scale, and so there is no next one.")
        if len(indices.shape) != 2 or indices.shape[-1] not in ends:
            raise ValueError(
                f"`indices` of layer '{self.name}' should have shape (batch, n), n one of {ends}: "
                f"those of the first scales. Received: shape {tuple(indices.shape)}"
            )
        known = min(ends.index(indices.shape[-1]) + 1, len(ends) - 1)
        sums = self._sums(indices[:, : ends[known - 1]])
        grids = [resize_grid(total, self._down[i]) for i, total in enumerate(sums, start=1)]
        rows = [ops.reshape(g, (-1, math.prod(g.shape[1:-1]), g.shape[-1])) for g in grids]
        return ops.concatenate(rows, axis=1)

    def _sums(self, indices: Any) -> list[Any]:
        """The sums of codes `(batch, H, W, D)` after each of the scales that indices are of."""
        sums: list[Any] = []
        first = 0
        for i, scale in enumerate(self.scales):
            if first == indices.shape[-1]:
                break
            mine = indices[:, first : first + math.prod(scale)]
            codes = self.codebook.lookup(ops.reshape(mine, (-1, *scale)))
            # A convolution of zeros is its bias: a scale that is left out altogether adds nothing.
            used = ops.any(mine >= 0, axis=-1)
            part = ops.where(self._of_images(used), self._spread(codes, i), 0.0)
            sums.append(sums[-1] + part if sums else part)
            first += math.prod(scale)
        return sums

    def vectors_shape(self, indices_shape: Any) -> tuple[int | None, ...]:
        return (indices_shape[0], *self.scales[-1], self.embedding_dim)

    @property
    def num_indices(self) -> int:
        """Σ h_s w_s, the number of indices of a grid."""
        return sum(map(math.prod, self.scales))

    @property
    def loss_names(self) -> tuple[str, ...]:
        return ("codebook_loss", "commitment_loss")

    @property
    def learns_by_gradient(self) -> bool:
        return self.codebook.update_rule.trains_by_gradient

    def indices_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        return (input_shape[0], self.num_indices)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            **self.table_config(
                "num_embeddings",
                "embedding_dim",
                "update",
                "embeddings_initializer",
                "revival",
                "chunk_size",
                "seed",
            ),
            "dropout": keras.saving.serialize_keras_object(self.dropout),
            "scales": [list(scale) for scale in self.scales],
            "residual_ratio": self.residual_ratio,
            "num_convolutions": self.num_convolutions,
        }


def _check_scales(scales: Any) -> tuple[tuple[int, ...], ...]:
    scales = scales.tolist() if isinstance(scales, np.ndarray) else scales
    given = (
        list(scales) if isinstance(scales, Sequence) and not isinstance(scales, str | bytes) else []
    )
    tuples = [tuple(scale) for scale in given if isinstance(scale, Sequence | np.ndarray)]
    rank = len(tuples[0]) if tuples else 2
    sizes = [tuple(s) if isinstance(s, Sequence | np.ndarray) else (s,) * rank for s in given]
    good = all(
        len(size) == rank and all(isinstance(n, Integral) and int(n) >= 1 for n in size)
        for size in sizes
    )
    ordered = good and all(np.less_equal(a, b).all() for a, b in pairwise(sizes))
    if not sizes or rank not in _CONVOLUTIONS or not ordered:
        raise ValueError(
            "`scales` should be positive integers, or tuples of one, two or three such as the "
            "input has axes, from coarse to fine: (1, 2, 4), or ((1,), (4,), (16,)) for a "
            f"sequence. Received: scales={scales!r}"
        )
    return tuple(tuple(map(int, size)) for size in sizes)
