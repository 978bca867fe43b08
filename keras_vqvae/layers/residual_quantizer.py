"""Any quantizers, each for what the ones before it left over."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.parts import check_parts, serialized
from keras_vqvae.layers.projected_quantizer import ProjectedQuantizer
from keras_vqvae.layers.quantizer_output import QuantizerOutput
from keras_vqvae.layers.residual_depths import ResidualDepths
from keras_vqvae.ops import (
    estimator_places_vectors,
    estimator_trains_codes,
    get_gradient_estimator,
    named_estimator,
)
from keras_vqvae.seeds import derived_seed

__all__ = ["ResidualQuantizer"]


@keras.saving.register_keras_serializable(PACKAGE)
class ResidualQuantizer(ResidualDepths):
    """Quantizes a vector by one quantizer, what is left over by the next one, and so on.

    ```
    r_0 = z_e,   q_i = quantizer i of r_i,   r_{i+1} = r_i − sg(q_i)
    z_q = Σ_i q_i
    ```

    It is `ResidualVectorQuantizer` with a quantizer of one's own choice at each depth: `SimVQ` for
    large tables, `LookupFreeQuantizer` with halved `scale` for no table at all, or different ones.
    A position has Q indices, `(..., Q)`. The gradient of the sum is handed to the vector once, by
    `estimator`. Losses are means over the depths of those of the quantizers, each weighted by
    its `depth_weights`; a depth without one of them counts as 0 in it. Dropout and masks are as in
    `ResidualVectorQuantizer`.

    Of `ProjectedQuantizer`s each depth has projections of its own, as in the codec DAC, around any
    quantizer with one index a position. They learn from the sum and from all later depths:
    `r_{i+1} = r_i − q_i`, without sg, and the gradient of the sum is that of these steps as they
    stand.

    Args:
        quantizers: a list of Q quantizers, each with one index a position. All are
            `ProjectedQuantizer`s; or all hand on the gradient straight through: `VectorQuantizer`
            and `SimVQ` (no other `estimator`, no `distance="cosine"`, whose codes have length 1 at
            every depth), `LookupFreeQuantizer`, or one's own that says so by
            `passes_straight_through`.
        depth_weights: a weight for each depth. Defaults to 1 for each.
        estimator: how the gradient passes from the sum to the vectors: `"straight_through"`,
            `"rotation"`, or a callable as for `ops.get_gradient_estimator` that hands none to the
            codes. Not with `ProjectedQuantizer`s. Defaults to `"straight_through"`.
        dropout: `None`, `"batch"`, `"sample"` or `layers.QuantizeDropout(...)`. Defaults to `None`.
        seed: seed of the dropout's draws.
        **kwargs: as for `keras.layers.Layer`. With any dtype policy the arithmetic is float32.

    Call arguments:
        z_e: float tensor `(..., D)`.
        training: whether the tables learn from this call, and depths are dropped.
        mask: boolean tensor `(...)`, `False` where a position is padding.
        return_indices: whether to return the indices too.

    Returns:
        `(..., D)`, or with `return_indices=True` also int32 `(..., Q)`.

    Raises:
        ValueError: for a list that is empty, or with something in it that cannot be a depth.

    Example:
    >>> import numpy as np
    >>> from keras_vqvae.layers import LookupFreeQuantizer
    >>> layer = ResidualQuantizer([LookupFreeQuantizer(1, scale=2.0**-i) for i in range(3)])
    >>> z_q, indices = layer(np.array([[0.3]]), return_indices=True)  # 1 − ½ − ¼
    >>> np.asarray(z_q).tolist(), np.asarray(indices).tolist()
    ([[0.25]], [[1, 0, 0]])
    >>> from keras_vqvae.layers import ProjectedQuantizer, VectorQuantizer
    >>> depths = [ProjectedQuantizer(VectorQuantizer(1024), codebook_dim=8) for _ in range(9)]
    >>> layer = ResidualQuantizer(depths, dropout="sample")
    >>> tuple(layer(np.ones((1, 50, 64)), return_indices=True)[1].shape), layer.codebook_shape
    ((1, 50, 9), (9, 1024, 8))

    References:
        - [SoundStream](https://arxiv.org/abs/2107.03312), §III-C
        - [Improved RVQGAN](https://arxiv.org/abs/2306.06546), for projections at each depth (DAC)
    """

    def __init__(
        self,
        quantizers: Sequence[Any],
        depth_weights: Sequence[float] | None = None,
        dropout: Any = None,
        seed: int | None = None,
        estimator: Any = "straight_through",
        **kwargs: Any,
    ) -> None:
        parts = check_parts(quantizers)
        for i, part in enumerate(parts):
            if part.has_index_axis:
                raise ValueError(
                    f"`quantizers[{i}]` should have one index a position. Grouped and product "
                    f"quantizers may stand around residual ones, not in them. Received: {part!r}"
                )
        for i, part in enumerate(parts):
            if not (_project(parts) or part.passes_straight_through):
                raise ValueError(
                    f"`quantizers[{i}]` should hand on the gradient straight through and learn "
                    "from its losses alone, as `VectorQuantizer`, `SimVQ` and "
                    "`LookupFreeQuantizer` do by default (no other `estimator`, no "
                    "`distance='cosine'`), or one's own with `passes_straight_through = True`. "
                    "Or put a `ProjectedQuantizer` around each, at every depth. "
                    f"Received: {part!r}"
                )
        super().__init__(len(parts), dropout, seed, depth_weights, **kwargs)
        self.quantizers = parts
        self._pass_gradient = get_gradient_estimator(estimator)
        self.estimator = named_estimator(self._pass_gradient)
        self._draws: Any = None
        if not isinstance(self.estimator, str):  # one's own, which may draw
            self._draws = keras.random.SeedGenerator(derived_seed(self.seed, "estimator"))
        if _project(parts) and self.estimator != "straight_through":
            raise ValueError(
                "`estimator` has no place where quantizers are `ProjectedQuantizer`s: the gradient "
                "is that of their steps. Give the quantizers in them one. "
                f"Received: estimator={estimator!r}"
            )
        trains = estimator_trains_codes(self._pass_gradient)
        if trains or estimator_places_vectors(self._pass_gradient):
            raise ValueError(
                "`estimator` should hand no gradient to the codes, which learn from the losses of "
                "their own depth, as 'straight_through' and 'rotation' do. "
                f"Received: estimator={estimator!r}"
            )

    def taken(self, output: QuantizerOutput) -> Any:
        return output.quantized if _project(self.quantizers) else super().taken(output)

    def add_up(
        self, vectors: Any, outputs: list[QuantizerOutput], total: Any, training: bool
    ) -> Any:
        if not _project(self.quantizers):
            return self._pass_gradient(vectors, total, self._draws if training else None)
        return sum((output.quantized for output in outputs[1:]), outputs[0].quantized)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.pop("num_quantizers")
        return {
            **config,
            "quantizers": [serialized(part) for part in self.quantizers],
            "depth_weights": list(self.depth_weights),
            "estimator": keras.saving.serialize_keras_object(self.estimator),
        }


def _project(parts: Sequence[Any]) -> bool:
    return all(isinstance(part, ProjectedQuantizer) for part in parts)
