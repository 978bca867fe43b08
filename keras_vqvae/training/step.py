"""The contract between the models and the training steps of the backends.

A model says what a batch costs (`compute_step`), once, in `keras.ops`. One file per backend takes
the gradients and updates the weights, the same way for every model. Metrics are written here, so
that a logged value means the same thing everywhere.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import ops

from keras_vqvae.compilation import CompiledFunction, resolve_jit_compile
from keras_vqvae.ops import finite_everywhere

__all__ = ["StepOutput", "TrainedModel"]


@dataclass
class StepOutput:
    """What a batch costs, and what is to be known of it.

    Attributes:
        terms: the parts of the loss by name, scalars; the loss is their sum.
        batch_size: number of samples, the weight of this batch in the epoch's means.
        observations: for each metric in `TrainedModel.step_metrics`, what its `update_state` gets.
        y_true: what metrics given to `compile` compare with `y_pred`.
        y_pred: the model's output.
    """

    terms: dict[str, Any]
    batch_size: Any
    observations: dict[str, Any] = field(default_factory=dict)
    y_true: Any = None
    y_pred: Any = None


class TrainedModel(keras.Model):
    """Base of the package's models: what both backends' training steps need of a model.

    A subclass gives `compute_step`, and names its loss terms and metrics in its constructor by
    calling `track`: metrics made later than that crash `fit` on JAX.
    """

    built: bool
    # What the backend makes of an error in the data that it reads; where it passes such errors on
    # as they are, nothing.
    pipeline_errors: tuple[type[Exception], ...] = ()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.term_metrics: dict[str, Any] = {}
        self.step_metrics: dict[str, Any] = {}
        self.gradient_norm_metric = keras.metrics.Mean(name="gradient_norm")
        self._evaluating = False

    def track(self, terms: tuple[str, ...], metrics: dict[str, keras.metrics.Metric]) -> None:
        """Names the loss terms that are logged and the metrics that observe steps."""
        # Metrics of an earlier call are kept: Keras would go on tracking those put aside, and list
        # their values too.
        self.term_metrics = {
            name: self.term_metrics.get(name) or keras.metrics.Mean(name=name) for name in terms
        }
        self.step_metrics = metrics

    def refuse_weights(self, sample_weight: Any = None, class_weight: Any = None, **_: Any) -> None:
        """Raises a ValueError for weights of samples or classes, which no model here has.

        Keras drops them without a word where there is no `y`.
        """
        for name, given in (("sample_weight", sample_weight), ("class_weight", class_weight)):
            if given is not None:
                raise ValueError(
                    f"Model '{self.name}' takes no sample weights. Leave `{name}` out, or sample "
                    "your data by weight."
                )

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.fit`; a data set's own order is kept, and it is told the epoch.

        A callback with `prepare` (`callbacks.ResumableTraining`) is given the arguments first.
        """
        given = fit_arguments(x, *args, **kwargs)
        for callback in _as_list(given.get("callbacks")):
            if hasattr(callback, "prepare"):
                given = callback.prepare(given)
        x = given["x"]
        if x is not None and not hasattr(x, "__array__"):
            # Keras would shuffle a PyDataset's batches from Python's global generator, which no
            # run can restore, and warns for tf.data.
            given.setdefault("shuffle", False)
        first = given.get("initial_epoch")
        counted = None if given.get("steps_per_epoch") else getattr(x, "image_batches", None)
        if first and counted is not None and counted.epoch != first:
            counted.set_epoch(first)  # those that follow it counts itself
        callback = x.epoch_callback() if hasattr(x, "epoch_callback") else None
        if callback is not None:
            given["callbacks"] = [callback, *_as_list(given.get("callbacks"))]
        with _own_errors(self.pipeline_errors, x, given.get("validation_data")):
            return super().fit(**given)

    def compile(
        self,
        optimizer: Any = "adam",
        loss: Any = None,
        *,
        jit_compile: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        """As `keras.Model.compile`, with the package's XLA policy (`resolve_jit_compile`)."""
        super().compile(optimizer, loss, jit_compile=resolve_jit_compile(jit_compile), **kwargs)
        self._asked_jit_compile = jit_compile
        # Numbers that were assigned since are constants in what is compiled already.
        self.__dict__.pop("_compiled_functions", None)

    def save(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.save`; what has no config is refused before a file is begun."""
        self.get_config()
        return super().save(*args, **kwargs)

    def get_compile_config(self) -> dict[str, Any]:
        """As Keras's, with `jit_compile` as it was asked for: `"auto"` is another machine's too."""
        config: dict[str, Any] = super().get_compile_config()
        if "jit_compile" in config:  # of a model that is compiled
            config["jit_compile"] = self._asked_jit_compile
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`."""
        self._evaluating = True
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            self._evaluating = False

    def get_metrics_result(self) -> dict[str, Any]:
        """The values of all metrics; in evaluation without the gradient's norm.

        Keras takes these in place of a step's logs if the names are the same. They must be: over
        several replicas a step's logs are means of what each replica saw.
        """
        results = super().get_metrics_result()
        if self._evaluating:
            results.pop("gradient_norm", None)
        return results

    def predict_inputs(self, data: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Of a batch as `predict` gets it, the arguments that the model is called with."""
        return (keras.utils.unpack_x_y_sample_weight(data)[0],), {}

    def compute_step(self, data: Any, training: bool) -> StepOutput:
        """The cost of a batch. Changes weights (codebooks) only if `training`."""
        raise NotImplementedError

    def compiled_function(
        self, key: Any, function: Any, jit_compile: bool = True
    ) -> CompiledFunction:
        """The function compiled, with the model's weights as arguments; made once for each key."""
        # In the instance's dict, past Keras's tracking.
        functions = self.__dict__.setdefault("_compiled_functions", {})
        if key not in functions:
            functions[key] = CompiledFunction(function, self._variables_but_metrics, jit_compile)
        compiled: CompiledFunction = functions[key]
        return compiled

    def _variables_but_metrics(self) -> list[Any]:
        """What functions of the model may read; `compile` and `fit` add metrics to the others."""
        of_metrics = {id(variable) for variable in self.metrics_variables}
        return [variable for variable in self.variables if id(variable) not in of_metrics]

    def step_loss(self, output: StepOutput, regularization: list[Any]) -> Any:
        """The loss: the sum of the terms and of what the layers added."""
        added = [ops.cast(loss, "float32") for loss in regularization]  # in their layers' dtypes
        return sum([*output.terms.values(), *added], start=ops.zeros((), "float32"))

    def record_step(
        self, output: StepOutput, loss: Any, gradient_norm: Any = None
    ) -> dict[str, Any]:
        """Updates all metrics with a batch and returns their values so far in the epoch."""
        weight = output.batch_size
        self._loss_tracker.update_state(loss, sample_weight=weight)
        for name, metric in self.term_metrics.items():
            metric.update_state(output.terms[name], sample_weight=weight)
        for name, metric in self.step_metrics.items():
            metric.update_state(output.observations[name])
        if self._compile_metrics is not None:
            self._compile_metrics.update_state(output.y_true, output.y_pred)
        if gradient_norm is not None:
            weight = None
            if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
                # Steps that it skips are part of its work; an epoch's mean is of the others.
                taken = ops.isfinite(gradient_norm)
                gradient_norm = ops.where(taken, gradient_norm, 0.0)
                weight = ops.cast(taken, "float32")
            self.gradient_norm_metric.update_state(gradient_norm, sample_weight=weight)
        logs = self.get_metrics_result()
        if gradient_norm is None:
            logs.pop("gradient_norm", None)
        return logs


@contextmanager
def _own_errors(kinds: tuple[type[Exception], ...], *data: Any) -> Iterator[None]:
    """Raises what batches could not be made for, in place of the backend's error about it."""
    # What `data.as_tf_dataset` made holds the batches it is made of.
    batches = [getattr(one, "image_batches", one) for one in data]
    with_failure = [one for one in batches if hasattr(one, "failure")]
    for one in with_failure:
        one.failure = None  # of an earlier `fit`
    try:
        yield
    except kinds as error:
        for one in with_failure:
            # A batch may fail while it is made ahead, and the training by something else.
            if one.failure is not None and type(one.failure).__name__ in str(error):
                raise one.failure from error
        raise


def fit_arguments(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """What `keras.Model.fit` is given, by name: each of its arguments may come by position."""
    return _by_name(keras.Model.fit, args, kwargs)


def evaluate_arguments(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """As `fit_arguments`, of `keras.Model.evaluate`."""
    return _by_name(keras.Model.evaluate, args, kwargs)


def _by_name(method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    given = inspect.signature(method).bind(None, *args, **kwargs).arguments
    others = given.pop("kwargs", {})  # what the method takes as `**kwargs`
    return {name: value for name, value in {**given, **others}.items() if name != "self"}


def _as_list(callbacks: Any) -> list[Any]:
    """Callbacks as `fit` takes them: none, one, or several."""
    several = callbacks or []
    return list(several) if isinstance(several, list | tuple) else [several]


def guarded(gradients: list[Any]) -> tuple[list[Any], Any, Any]:
    """The gradients, their norm, and whether it is finite on all replicas; if not, zeros.

    One bad batch then shows as NaN in the logged loss, where `keras.callbacks.TerminateOnNaN` sees
    it, and destroys no weight that learns by gradient, and no codebook, which guards itself. What
    other layers assign in the step is as they make it: the moving statistics of
    `keras.layers.BatchNormalization` are NaN from then on. `None`, the gradient of an unused
    weight, stays `None`.
    """
    present = [ops.cast(g, "float32") for g in gradients if g is not None]
    norm = ops.sqrt(sum((ops.sum(ops.square(g)) for g in present), start=ops.zeros((), "float32")))
    finite = finite_everywhere(norm)  # gradients are summed over replicas after this
    safe = [None if g is None else ops.where(finite, g, ops.zeros_like(g)) for g in gradients]
    return safe, norm, finite
