"""Some codes stay where they are."""

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.codebooks.update_rules import UpdateRule, get_update_rule

if TYPE_CHECKING:
    from keras_vqvae.codebooks.codebook import Codebook

__all__ = ["FrozenCodes"]


@keras.saving.register_keras_serializable(PACKAGE)
class FrozenCodes(UpdateRule):
    """Keeps some codes as they are, whatever moves the others: gradient, EMA, start, revival.

    `VectorQuantizer(512, update=FrozenCodes([0], otherwise="ema"))` has a code 0 that stays where
    the initializer (or `embeddings.assign`) put it, for example at zero for silence. Frozen codes
    are searched, looked up and counted as all others, and the commitment loss draws vectors to
    them. An optimizer's weight decay is no gradient: exclude the table from it.

    Args:
        codes: their indices, or a boolean for each code of the table.
        otherwise: how the other codes learn: a name, config or `UpdateRule`. Defaults to
            `"gradient"`.
    """

    def __init__(self, codes: Sequence[Any], otherwise: Any = "gradient") -> None:
        values = np.asarray(codes).tolist() if hasattr(codes, "__len__") else None
        kinds = {type(value) for value in values or [None]}
        if values is None or len(kinds) > 1 or not issubclass(kinds.pop(), bool | Integral):
            raise ValueError(
                "`codes` should be indices such as `[0, 3]`, or a boolean for each code. "
                f"Received: codes={codes!r}"
            )
        self.codes = list(values)
        self.otherwise = get_update_rule(otherwise, "otherwise")
        if isinstance(self.otherwise, FrozenCodes):
            raise ValueError(
                "`otherwise` should be how the other codes learn; put all frozen codes into one "
                f"`FrozenCodes`. Received: otherwise={otherwise!r}"
            )
        self.trains_by_gradient = self.otherwise.trains_by_gradient

    def frozen_mask(self, num_embeddings: int) -> np.ndarray:
        if isinstance(self.codes[0], bool):
            if len(self.codes) != num_embeddings:
                raise ValueError(
                    f"`codes` should hold a boolean for each of the {num_embeddings} codes. "
                    f"Received: {len(self.codes)} of them"
                )
            return np.array(self.codes)
        if min(self.codes) < 0 or max(self.codes) >= num_embeddings:
            raise ValueError(
                f"`codes` should be indices in [0, {num_embeddings}). Received: codes={self.codes}"
            )
        return np.isin(np.arange(num_embeddings), self.codes)

    def build(self, codebook: "Codebook") -> dict[str, Any]:
        return self.otherwise.build(codebook)

    def step(self, codebook: "Codebook", *args: Any, **kwargs: Any) -> None:
        self.otherwise.step(codebook, *args, **kwargs)

    def reset(self, codebook: "Codebook", replaced: Any, counts: Any) -> None:
        self.otherwise.reset(codebook, replaced, counts)

    def transform(self, codebook: "Codebook", stored: Any) -> Any:
        frozen = np.expand_dims(codebook.frozen_codes, -1)
        free = self.otherwise.transform(codebook, stored)
        return ops.where(frozen, ops.stop_gradient(stored), free)

    def inverse_transform(self, codebook: "Codebook", codes: Any) -> Any:
        return self.otherwise.inverse_transform(codebook, codes)

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {"codes": self.codes, "otherwise": serialize(self.otherwise)}
