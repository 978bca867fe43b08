"""Training and test steps on TensorFlow."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_vqvae.training.step import TrainedModel, guarded

__all__ = ["StepModel", "gradient_by_input"]


class StepModel(TrainedModel):
    """A model whose `fit` and `evaluate` run `compute_step` on TensorFlow."""

    pipeline_errors = (tf.errors.OpError,)

    def make_train_function(self, force: bool = False) -> Any:
        """As Keras's, with the optimizer of a built model built too.

        If the first step makes its variables, TensorFlow traces the step a second time.
        """
        optimizer = self.optimizer
        if self.built and optimizer is not None and not optimizer.built:
            with self.distribute_strategy.scope():
                optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of gradient descent on a batch; returns the logs."""
        optimizer = self.optimizer
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        with tf.GradientTape() as tape:
            self._clear_losses()
            output = self.compute_step(data, training=True)
            loss = self.step_loss(output, self.losses)
            # Keras sums gradients over replicas.
            scaled = optimizer.scale_loss(loss / replicas)
        variables = self.trainable_variables
        # A lookup's gradient comes as slices; the guard and the norm need it whole.
        found = [
            None if g is None else tf.convert_to_tensor(g) for g in tape.gradient(scaled, variables)
        ]
        gradients, norm, finite = guarded(found)
        norm *= replicas / optimizer.scale_loss(tf.ones(()))
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            # It skips bad steps itself and must see them, to lower its scale; of several replicas
            # it looks at the first one's.
            bad = float("inf")
            gradients = [None if g is None else tf.where(finite, g, bad) for g in found]
        if variables:  # a table may learn without gradients beside networks that are frozen
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return self.record_step(output, loss, norm)

    def predict_step(self, data: Any) -> Any:
        """The model's output for a batch."""
        args, kwargs = self.predict_inputs(data)
        return self(*args, **kwargs, training=False)

    def test_step(self, data: Any) -> dict[str, Any]:
        """The loss and metrics of a batch; changes no weight but the metrics'."""
        self._clear_losses()
        output = self.compute_step(data, training=False)
        return self.record_step(output, self.step_loss(output, self.losses))


def gradient_by_input(function: Callable[[Any], Any], x: Any) -> Any:
    """The gradient of a scalar function by its input, at `x`; zeros where it is not connected."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return tape.gradient(value, x, unconnected_gradients="zero")
