"""The training step contract, and the choice of the backend's step."""

import keras

from keras_vqvae.training.step import StepOutput as StepOutput
from keras_vqvae.training.step import TrainedModel as TrainedModel

__all__ = ["StepModel", "StepOutput", "TrainedModel", "gradient_by_input"]

if keras.backend.backend() == "tensorflow":
    from keras_vqvae.training.tensorflow_step import StepModel as StepModel
    from keras_vqvae.training.tensorflow_step import gradient_by_input as gradient_by_input
elif keras.backend.backend() == "jax":
    from keras_vqvae.training.jax_step import StepModel as StepModel
    from keras_vqvae.training.jax_step import gradient_by_input as gradient_by_input
else:
    raise ImportError(
        "`keras_vqvae.models` trains on TensorFlow and JAX. Set KERAS_BACKEND to 'tensorflow' or "
        f"'jax'. Received: {keras.backend.backend()!r}"
    )
