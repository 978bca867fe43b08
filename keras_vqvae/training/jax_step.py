"""Training and test steps on JAX."""

from collections.abc import Callable
from typing import Any

import jax
import keras

from keras_vqvae.kept_assignments import keeping_assignments
from keras_vqvae.training.step import StepOutput, TrainedModel, guarded

__all__ = ["StepModel", "gradient_by_input"]

# Of variables, in the order in which Keras passes their values.
_KINDS = (
    "trainable_variables",
    "non_trainable_variables",
    "optimizer_variables",
    "metrics_variables",
)


class StepModel(TrainedModel):
    """A model whose `fit` and `evaluate` run `compute_step` on JAX.

    Keras hands over the weights as values and takes the new ones back; within a `StatelessScope`
    the model reads and writes those instead of its variables.
    """

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.fit`, which may be called again where the optimizer averages weights.

        Keras ends with weight and average in one array, which no later step can be given twice.
        """
        try:
            return super().fit(*args, **kwargs)
        finally:
            self._part_from_averages()

    def _part_from_averages(self) -> None:
        if self.compiled and self.optimizer is not None:
            of_optimizer = {id(variable.value) for variable in self.optimizer.variables}
            for variable in self.trainable_variables:
                if id(variable.value) in of_optimizer:
                    variable.assign(jax.numpy.copy(variable.value))

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`; the weights are there again after an error, too."""
        self._part_from_averages()  # a callback may evaluate at the end of training
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            self.jax_state_sync()

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.predict`; the weights are there again after an error, too."""
        self._part_from_averages()
        try:
            return super().predict(*args, **kwargs)
        finally:
            self.jax_state_sync()

    def _get_jax_state(self, **kinds: bool) -> tuple[Any, ...]:
        # Keras takes the weights out of their variables here, and notes where they are after a
        # step only: an error in the first one would lose them. Where it leaves them, nothing is to
        # be put back after an error, which might be older than what is loaded by then.
        state: tuple[Any, ...] = super()._get_jax_state(**kinds)
        taken = [kind for kind in _KINDS if kinds.get(kind)]
        purged = kinds.get("purge_model_variables")
        self._jax_state = dict(zip(taken, state, strict=True)) if purged else None
        return state

    def train_step(self, state: Any, data: Any) -> Any:
        """One step of gradient descent on a batch; returns the logs and the new state."""
        trainable, non_trainable, optimizer_values, metric_values = state
        optimizer = self.optimizer

        def scaled_loss(trainable: Any) -> Any:
            output, loss, *new = self._stateless_step(trainable, non_trainable, data, True)
            mapping = list(zip(optimizer.variables, optimizer_values, strict=True))
            with keras.StatelessScope(state_mapping=mapping):
                scaled = optimizer.scale_loss(loss)
                scale = optimizer.scale_loss(jax.numpy.ones(()))
            return scaled, (_as_tuple(output), loss, scale, new)

        gradients, aux = jax.grad(scaled_loss, has_aux=True)(trainable)
        # A table that learns by gradient is also set by the step itself: when it starts from data,
        # and when a dead code is replaced. The optimizer goes on from there.
        output, loss, scale, (trainable, non_trainable) = aux
        guarded_gradients, norm, _ = guarded(gradients)
        norm /= scale
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            # It skips bad steps itself and must see them, to lower its scale.
            guarded_gradients = gradients
        trainable, optimizer_values = optimizer.stateless_apply(
            optimizer_values, guarded_gradients, trainable
        )
        logs, metric_values = self._stateless_record(metric_values, StepOutput(*output), loss, norm)
        return logs, (trainable, non_trainable, optimizer_values, metric_values)

    def predict_step(self, state: Any, data: Any) -> Any:
        """The model's output for a batch, and the new values of what it may change."""
        args, kwargs = self.predict_inputs(data)
        return self.stateless_call(*state, *args, **kwargs, training=False)

    def test_step(self, state: Any, data: Any) -> Any:
        """The loss and metrics of a batch, and the state with new metrics only."""
        trainable, non_trainable, metric_values = state
        output, loss, _, _ = self._stateless_step(trainable, non_trainable, data, False)
        logs, metric_values = self._stateless_record(metric_values, output, loss)
        return logs, (trainable, non_trainable, metric_values)

    def _stateless_step(
        self, trainable: Any, non_trainable: Any, data: Any, training: bool
    ) -> tuple[StepOutput, Any, list[Any], list[Any]]:
        mapping = list(zip(self.trainable_variables, trainable, strict=True))
        mapping += list(zip(self.non_trainable_variables, non_trainable, strict=True))
        scope = keras.StatelessScope(state_mapping=mapping, collect_losses=True)
        with scope, keeping_assignments():
            self._clear_losses()
            output = self.compute_step(data, training=training)
            loss = self.step_loss(output, self.losses)
        new_trainable = [_current(scope, v) for v in self.trainable_variables]
        new_non_trainable = [_current(scope, v) for v in self.non_trainable_variables]
        return output, loss, new_trainable, new_non_trainable

    def _stateless_record(
        self, metric_values: Any, output: StepOutput, loss: Any, norm: Any = None
    ) -> tuple[dict[str, Any], list[Any]]:
        mapping = list(zip(self.metrics_variables, metric_values, strict=True))
        with keras.StatelessScope(state_mapping=mapping) as scope:
            logs = self.record_step(output, loss, norm)
        return logs, [_current(scope, v) for v in self.metrics_variables]


def gradient_by_input(function: Callable[[Any], Any], x: Any) -> Any:
    """The gradient of a scalar function by its input, at `x`; zeros where it is not connected."""
    return jax.grad(function)(x)


def _current(scope: Any, variable: Any) -> Any:
    value = scope.get_current_value(variable)
    return variable.value if value is None else value


def _as_tuple(output: StepOutput) -> tuple[Any, ...]:
    # A dataclass is no pytree; a tuple passes out of `jax.grad`.
    return (output.terms, output.batch_size, output.observations, output.y_true, output.y_pred)
