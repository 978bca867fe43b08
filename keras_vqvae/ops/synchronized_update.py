"""A gradient estimator whose codes take the step that the vectors take."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.checks import check_number
from keras_vqvae.choices import PACKAGE, Choice
from keras_vqvae.ops.with_value import with_value

__all__ = ["SynchronizedUpdate"]


@keras.saving.register_keras_serializable(PACKAGE)
class SynchronizedUpdate(Choice):
    """Straight through to the vectors, and ν times the same gradient to their codes.

    ```
    out = sg(q) + (x − sg(x)) + ν (q − sg(q))
    ```

    The task's loss then moves a code where it moves the vectors that chose it, in the same step and
    not one behind. A code gets the sum over its vectors. The codebook loss stays, which keeps codes
    at their vectors.

    Args:
        nu: ν ≥ 0; 0 is `straight_through`. Defaults to `1.0`.

    References:
        - [Straightening Out the Straight-Through Estimator](https://arxiv.org/abs/2305.08842)

    Example:
    >>> import numpy as np
    >>> np.asarray(SynchronizedUpdate(nu=0.5)(np.float32([[0.3]]), np.float32([[1.0]])))
    array([[1.]], dtype=float32)
    """

    trains_codes = True
    replaces_codebook_loss = False

    def __init__(self, nu: float = 1.0) -> None:
        self.nu = check_number("nu", nu)

    def __call__(self, vectors: Any, codes: Any, seed: Any = None) -> Any:
        vectors, codes = ops.convert_to_tensor(vectors), ops.convert_to_tensor(codes)
        return with_value(vectors + self.nu * codes, codes)

    def get_config(self) -> dict[str, Any]:
        return {"nu": self.nu}
