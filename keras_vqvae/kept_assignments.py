"""Whether the training step that runs keeps what a layer assigns to a trainable weight.

TensorFlow's steps all do. On JAX, Keras takes new values of trainable weights from the optimizer
alone, so that an assignment is lost without a word; the steps of `training` take both.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import keras

__all__ = ["are_assignments_kept", "keeping_assignments"]

_KEEPING = ContextVar("keeping_assignments", default=False)


@contextmanager
def keeping_assignments() -> Iterator[None]:
    """Says that the step inside keeps them."""
    token = _KEEPING.set(True)
    try:
        yield
    finally:
        _KEEPING.reset(token)


def are_assignments_kept() -> bool:
    """Whether a compiled step keeps what it assigns to a trainable weight.

    Example:
    >>> with keeping_assignments():
    ...     are_assignments_kept()
    True
    """
    return _KEEPING.get() or keras.backend.backend() != "jax"
