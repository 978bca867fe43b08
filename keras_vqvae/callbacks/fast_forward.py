"""The first steps of an epoch passed over, because they are done already."""

from collections.abc import Callable
from typing import Any

import keras

__all__ = ["pass_over"]


def pass_over(model: Any, executions: int, restore: Callable[[], None]) -> None:
    """Lets the next calls of a model's train function take data and do nothing with them.

    `fit` counts steps and asks for batches as ever, so that it fits every kind of data and both
    backends. At the first of these calls `restore` is called, after everything that other callbacks
    do when an epoch begins; then the model should be as after the last of them.

    Args:
        model: a compiled model, in `fit`, before the first step of an epoch.
        executions: how many calls, at least 1: steps, divided by the model's
            `steps_per_execution`.
        restore: sets all variables of the model, of its optimizer and of its metrics.
    """
    train = model.train_function
    done = 0
    logs: dict[str, Any] = {}

    def stand_in(*arguments: Any) -> Any:
        nonlocal done, logs
        # TensorFlow: the iterator; JAX: the state, and the iterator.
        state = arguments[0] if keras.backend.backend() == "jax" else None
        batch = _take(arguments[-1], model.steps_per_execution)
        if done == 0:
            _give_back(model, state)
            # Metrics are made with the first batch, where Keras has not made them.
            model._symbolic_build(data_batch=batch)
            restore()
            logs = model.get_metrics_result()
        done += 1
        if done == executions:
            model.train_function = train
        return logs if state is None else (logs, state)

    model.train_function = stand_in


def _take(iterator: Any, count: int) -> Any:
    """Takes the batches of one execution; the first of them."""
    first = next(iterator)
    for _ in range(count - 1):
        if next(iterator, None) is None:
            break
    return first


def _give_back(model: Any, state: Any) -> None:
    """Puts the values that JAX's `fit` has taken out of the variables back into them."""
    if state is None:
        return
    names = ("trainable", "non_trainable", "optimizer", "metrics")
    model._jax_state = {f"{n}_variables": v for n, v in zip(names, state, strict=True)}
    model._jax_state_synced = False
    model.jax_state_sync()
