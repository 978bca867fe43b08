"""What a prior is given: told apart, and checked on the host before any computation."""

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vqvae.models import prior_checks
from keras_vqvae.models.codes import check_codes
from keras_vqvae.models.images import first_batch, refuse_list, refuse_none

__all__ = ["PriorInputs", "fingerprint_of"]


def fingerprint_of(codes: Any) -> str | None:
    """Of the model that made the codes, if they say so; a `tf.data` pipeline means another."""
    fingerprint = getattr(codes, "fingerprint", None)
    return fingerprint if isinstance(fingerprint, str) else None


class PriorInputs:
    """The part of `CodePrior` that takes codes, labels and conditions."""

    name: str
    code_shape: tuple[int, ...]
    num_embeddings: int | tuple[int, ...]
    num_classes: int | None
    condition_shape: tuple[int, ...] | None
    label_dropout: float
    codes_fingerprint: str | None
    conditions: Any
    refuse_weights: Any

    def _split(self, y: Any) -> tuple[Any, Any]:
        """What `fit` takes as `y`: labels and conditions."""
        if self.num_classes is not None and self.condition_shape is not None:
            if not isinstance(y, list | tuple) or len(y) != 2:
                raise ValueError(
                    f"Model '{self.name}' needs labels and conditions: pass the pair "
                    "(labels, conditions) as `y`."
                )
            return y[0], y[1]
        return (None, y) if self.condition_shape is not None else (y, None)

    def _require_conditions(self, labels: Any, condition: Any) -> None:
        if self.num_classes is not None and labels is None and not self.label_dropout:
            raise ValueError(
                f"Model '{self.name}' is conditioned on {self.num_classes} classes: `labels` are "
                "needed. Pass them beside the codes; `data.ImageBatches` gives them by "
                "`with_labels=True`."
            )
        if self.condition_shape is not None and condition is None:
            raise ValueError(
                f"Model '{self.name}' is conditioned on arrays of shape {self.condition_shape}: "
                "`condition` is needed."
            )

    def _condition_map(
        self, labels: Any, condition: Any, batch_size: Any, training: bool | None = False
    ) -> Any:
        """What the trunk is conditioned on; `None` if the prior is not conditional."""
        if self.conditions is None:
            return None
        self._require_conditions(labels, condition)
        if self.num_classes is not None and labels is None:
            labels = ops.full((batch_size,), -1, "int32")
        return self.conditions(labels, condition=condition, training=training)

    def _check_data(
        self, codes: Any, y: Any = None, argument: str = "x", known: str | None = None
    ) -> tuple[Any, Any]:
        """Checks arrays and code files; of a data set the first batch, and where it is from.

        `known` is the fingerprint of the codes' model, if it is not the prior's yet.
        """
        if isinstance(codes, list | tuple):
            refuse_list(codes, argument, "codes")
        known, given = known or self.codes_fingerprint, fingerprint_of(codes)
        if known is not None and given is not None and given != known:
            raise ValueError(
                f"Model '{self.name}' is for the codes of another model: fingerprint "
                f"{known[:12]}, not {given[:12]}. Make a new prior for these codes."
            )
        if hasattr(codes, "codes") and hasattr(codes, "labels"):
            y = codes.labels if y is None else y
            codes = codes.codes
        if not hasattr(codes, "__array__"):
            self._check_first_batch(codes, argument)
            return codes, y
        codes = check_codes(codes, self.code_shape, self.num_embeddings)
        refuse_none(len(codes), argument, "grid")
        labels, condition = self.check_y(y, len(codes))
        if labels is None or condition is None:
            return codes, labels if condition is None else condition
        return codes, (labels, condition)

    def _check_first_batch(self, batches: Any, argument: str) -> None:
        """Checks what can be looked at without using it up: a `PyDataset` or a pipeline."""
        batch = first_batch(batches, argument, self.code_shape, "grid")
        if batch is None:
            return
        codes, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        self.refuse_weights(sample_weight=weights)
        # `None` stands for what is not there: as an array it would be labels of a wrong dtype.
        self._check_data(
            *keras.tree.map_structure(lambda a: None if a is None else np.asarray(a), (codes, y))
        )

    def check_y(self, y: Any, count: int) -> tuple[np.ndarray | None, np.ndarray | None]:
        """What `fit` takes as `y` beside `count` grids, as labels and conditions."""
        if self.conditions is None:
            return None, None
        return self._check_conditions(*self._split(y), count)

    def _check_conditions(
        self, labels: Any, condition: Any, count: int
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The labels and conditions as they should be, or `None` where the prior takes none."""
        self._require_conditions(labels, condition)
        if self.num_classes is None:
            labels = None
        else:
            if labels is None:
                labels = np.full((count,), -1, "int32")
            lowest = -1 if self.label_dropout else 0
            labels = prior_checks.check_labels(labels, count, self.num_classes, lowest)
        if self.condition_shape is None:
            return labels, None
        return labels, prior_checks.check_condition(condition, count, self.condition_shape)
