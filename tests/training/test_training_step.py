import keras
import numpy as np
import pytest
from support import normal, same_bits, to_numpy, values_of

from keras_vqvae.data import ArraySource, ImageBatches, as_tf_dataset
from keras_vqvae.training import StepModel, StepOutput, TrainedModel
from keras_vqvae.training.step import guarded


class Line(StepModel):
    """y = w·x with the loss mean(y²) + 3·mean(y): everything can be worked out by hand."""

    def __init__(self, start=1.0, regularizer=None, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(
            1,
            use_bias=False,
            kernel_initializer=keras.initializers.Constant(start),
            kernel_regularizer=regularizer,
            dtype=self.dtype_policy,
        )
        self.track(("square", "linear"), {"seen": keras.metrics.Sum(name="seen")})

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.built = True

    def call(self, x, training=None):
        return self.dense(x)

    def compute_step(self, data, training):
        x, y_true, _ = keras.utils.unpack_x_y_sample_weight(data)
        y = keras.ops.cast(self.dense(x), "float32")
        return StepOutput(
            terms={"square": keras.ops.mean(y**2), "linear": 3.0 * keras.ops.mean(y)},
            batch_size=keras.ops.shape(x)[0],
            observations={"seen": keras.ops.ones(keras.ops.shape(x)[:1])},
            y_true=y_true,
            y_pred=y,
        )


def line(rate=0.1, compile_args=None, **kwargs):
    model = Line(**kwargs)
    model.build((None, 1))
    model.compile(keras.optimizers.SGD(rate), run_eagerly=True, **(compile_args or {}))
    return model


def weight(model):
    return float(to_numpy(model.dense.kernel)[0, 0])


def column(*values):
    return np.array(values, "float32")[:, None]


def fit(model, x, y=None, batch_size=8, **kwargs):
    return model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, **kwargs).history


def test_one_step_by_hand():
    # x = 1, 2; w = 1: loss 2.5 + 3·1.5 = 7; dloss/dw = 2·2.5 + 3·1.5 = 9.5; w ← 1 − 0.95.
    model = line()
    logs = fit(model, column(1.0, 2.0))
    assert logs == {
        "loss": [7.0],
        "square": [2.5],
        "linear": [4.5],
        "seen": [2.0],
        "gradient_norm": [9.5],
    }
    assert weight(model) == pytest.approx(0.05, rel=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_steps_are_eager_ones(jit_compile):
    eager, compiled = line(), line()
    compiled.compile(keras.optimizers.SGD(0.1), jit_compile=jit_compile)
    x = normal((10, 1))
    logs = [fit(m, x, batch_size=4, epochs=2, validation_data=(x,)) for m in (eager, compiled)]
    for name, values in logs[0].items():
        assert logs[1][name] == pytest.approx(values, rel=1e-5), name
    assert weight(compiled) == pytest.approx(weight(eager), rel=1e-5)


@pytest.mark.tensorflow_only
def test_the_step_of_a_built_model_is_traced_once():
    traces = []

    class Traced(Line):
        def compute_step(self, data, training):
            traces.append(training)
            return super().compute_step(data, training)

    model = Traced()
    model.build((None, 1))
    model.compile(keras.optimizers.Adam())
    fit(model, column(1, 2, 3, 4), batch_size=2, epochs=2)
    assert traces == [True]


def test_epoch_means_weigh_batches_by_their_size():
    # Rate 0: batches (1, 1) and (4) with losses 4 and 28, of 2 and 1 samples: (2·4 + 28)/3.
    model = line(rate=0.0)
    x = column(1.0, 1.0, 4.0)
    logs = fit(model, x, batch_size=2, validation_data=(x,), validation_batch_size=3)
    assert logs["loss"] == pytest.approx([12.0])
    assert logs["val_loss"] == pytest.approx([12.0])  # (1 + 1 + 16)/3 + 3·2
    assert (logs["seen"], logs["val_seen"]) == ([3.0], [3.0])


def test_evaluation_logs_no_gradient_norm_and_changes_nothing():
    model = line()
    before = values_of(model.dense)
    logs = model.evaluate(column(1.0, 2.0), verbose=0, return_dict=True)
    assert logs == {"loss": 7.0, "square": 2.5, "linear": 4.5, "seen": 2.0}
    assert same_bits(values_of(model.dense), before)


def test_regularization_is_in_the_loss_and_in_the_gradient():
    # w² · 0.5 = 0.5 on top; its gradient is 1.
    model = line(regularizer=keras.regularizers.L2(0.5))
    logs = fit(model, column(1.0, 2.0))
    assert logs["loss"] == [7.5]
    assert logs["gradient_norm"] == [10.5]
    weight = float(to_numpy(model.dense.kernel).item())
    evaluated = model.evaluate(column(0.0), verbose=0, return_dict=True)
    plain = evaluated["square"] + evaluated["linear"]
    assert evaluated["loss"] == pytest.approx(plain + 0.5 * weight**2)


def test_terms_that_are_named_again_keep_their_metrics():
    model = pixel()
    before = dict(model.term_metrics)
    assert before
    model.track(tuple(before), {})
    assert model.term_metrics == before
    names = [metric.name for metric in model.metrics]
    assert len(set(names)) == len(names)


def test_metrics_given_to_compile_compare_y_true_and_y_pred():
    model = line(rate=0.0, compile_args={"metrics": ["mae"]})
    logs = fit(model, column(1.0, 2.0), column(1.0, 4.0))
    assert logs["mae"] == [1.0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_batch_shows_in_the_loss_and_not_in_the_weights(bad):
    model = line()
    model.compile(keras.optimizers.Adam(0.1), run_eagerly=True)
    good = column(1.0, 2.0)
    fit(model, good)
    before = weight(model)
    logs = fit(model, column(1.0, bad))
    assert not np.isfinite(logs["loss"][0])
    assert not np.isfinite(logs["gradient_norm"][0])
    assert all(np.isfinite(v).all() for v in values_of(model.optimizer))
    # Adam goes on by its momentum, and the next good batch trains as ever.
    assert np.isfinite(weight(model))
    after = weight(model)
    assert after != before
    assert np.isfinite(fit(model, good)["loss"][0])
    assert weight(model) < after


def test_terminate_on_nan_sees_it():
    model = line()
    logs = fit(
        model,
        column(1.0, np.nan, 1.0),
        batch_size=1,
        epochs=5,
        callbacks=[keras.callbacks.TerminateOnNaN()],
    )
    assert len(logs["loss"]) < 5
    assert np.isfinite(weight(model))


def test_mixed_float16_logs_the_unscaled_norm_and_trains_alike():
    half = line(dtype="mixed_float16")
    assert isinstance(half.optimizer, keras.optimizers.LossScaleOptimizer)
    # Keras begins with a scale of 2¹⁵, with which the gradient of 9.5 would overflow float16.
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=2**10)
    half.compile(scaled, run_eagerly=True)
    logs = fit(half, column(1.0, 2.0))
    # All numbers here are exact in float16; w·x is not, after the step.
    assert logs["gradient_norm"] == pytest.approx([9.5], rel=1e-3)
    assert logs["loss"] == [7.0]
    assert weight(half) == pytest.approx(0.05, abs=1e-2)


def test_a_fixed_scale_of_the_loss_is_not_in_the_norm():
    model = line()
    model.compile(keras.optimizers.SGD(0.1, loss_scale_factor=1024.0), run_eagerly=True)
    assert fit(model, column(1.0, 2.0))["gradient_norm"] == [9.5]
    assert weight(model) == pytest.approx(0.05, rel=1e-5)


def test_mixed_float16_lowers_its_scale_on_a_bad_batch():
    model = line(dtype="mixed_float16")
    fit(model, column(1.0, 2.0))
    scale, before = float(model.optimizer.dynamic_scale), weight(model)
    fit(model, column(1.0, np.inf))
    assert float(model.optimizer.dynamic_scale) < scale
    assert weight(model) == before


def test_steps_that_a_loss_scale_skips_are_not_in_the_mean_of_the_norms():
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.0), initial_scale=4.0)
    model = line()
    model.compile(scaled, run_eagerly=True)
    logs = fit(model, column(1.0, 2.0, 1.0, np.inf, 1.0, 2.0), batch_size=2)
    assert logs["gradient_norm"] == [9.5]
    assert not np.isfinite(logs["loss"][0])


def test_gradient_accumulation_steps_once_for_all():
    model = line()
    model.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=2), run_eagerly=True)
    fit(model, column(1.0, 2.0), batch_size=1)
    # The mean of the gradients at w = 1: (2·1 + 3·1 + 2·4 + 3·2)/2 = 9.5.
    assert weight(model) == pytest.approx(0.05, rel=1e-5)


def test_training_goes_on_from_averaged_weights():
    model = line()
    model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    x = column(1.0, 2.0)
    for _ in range(2):
        fit(model, x)
        average = to_numpy(model.optimizer._model_variables_moving_average[0]).item()
        assert weight(model) == average
        model.evaluate(x, verbose=0)
        model.predict(x, verbose=0)
    # Keras joins weight and average before it calls this.
    look = keras.callbacks.LambdaCallback(on_train_end=lambda logs: model.evaluate(x, verbose=0))
    for _ in range(2):
        assert np.isfinite(fit(model, x, callbacks=[look])["loss"][0])


def test_a_frozen_model_logs_its_loss():
    model = line()
    model.trainable = False
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    logs = fit(model, column(1.0, 2.0))
    assert (logs["loss"], logs["gradient_norm"], weight(model)) == ([7.0], [0.0], 1.0)


class Failing(keras.utils.PyDataset):
    """Two batches, the one at `at` of which cannot be read."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def __len__(self):
        return 2

    def __getitem__(self, index):
        if index == self.at:
            raise OSError("no such image")
        return (column(1.0, 2.0),)


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_an_error_leaves_the_model_with_its_weights(method, at):
    model = line()
    model.compile(keras.optimizers.SGD(0.0))
    fit(model, column(1.0, 2.0))
    with pytest.raises(Exception, match="no such image"):
        getattr(model, method)(Failing(at), verbose=0)
    assert weight(model) == 1.0
    assert int(model.optimizer.iterations) >= 1
    assert fit(model, column(1.0, 2.0))["loss"] == [7.0]


@pytest.mark.parametrize("before", ["fit", "train_on_batch"])
@pytest.mark.parametrize("method", ["predict_on_batch", "test_on_batch", "train_on_batch"])
def test_weights_from_after_an_error_in_a_batch_stay(method, before):
    model = line()
    model.compile(keras.optimizers.SGD(0.0))
    getattr(model, before)(column(1.0, 2.0))
    with pytest.raises(Exception, match=r"."):
        getattr(model, method)(np.ones((2, 3), "float32"))
    model.dense.kernel.assign([[5.0]])
    rate = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate)
    fit(model, column(1.0, 2.0), callbacks=[rate])
    assert weight(model) == 5.0


@pytest.mark.parametrize("asked", ["auto", True, False])
def test_what_is_saved_of_xla_is_what_was_asked_for(asked):
    """And not what it meant on the machine that trained."""
    model = line()
    model.compile("sgd", jit_compile=asked)
    config = model.get_compile_config()
    assert config["jit_compile"] == asked
    again = line()
    again.compile_from_config(config)
    assert again.jit_compile == model.jit_compile
    assert again.get_compile_config()["jit_compile"] == asked
    assert Line().get_compile_config() == {}


def test_an_error_in_validation_leaves_the_model_with_its_weights():
    model = line()
    model.compile(keras.optimizers.SGD(0.0))
    with pytest.raises(Exception, match="no such image"):
        fit(model, column(1.0, 2.0), validation_data=Failing(1))
    assert weight(model) == 1.0
    assert fit(model, column(1.0, 2.0))["loss"] == [7.0]


def test_clipnorm_is_the_optimizers_and_the_norm_is_logged_before_it():
    model = line()
    model.compile(keras.optimizers.SGD(0.1, clipnorm=1.0), run_eagerly=True)
    assert fit(model, column(1.0, 2.0))["gradient_norm"] == [9.5]
    assert weight(model) == pytest.approx(0.9, rel=1e-5)


def test_learning_rate_schedules_and_callbacks_work():
    model = line()
    rates = fit(
        model,
        column(1.0),
        epochs=2,
        callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))],
    )["learning_rate"]
    assert rates == pytest.approx([0.1, 0.05])


# -- errors of batches ----------------------------------------------------------------------------


class UnreadableError(OSError):
    """An error of a class that no backend knows."""


def batches_that_fail(errors):
    """Batches that raise the next one of these errors, where it is one."""

    def augment(images, seeds):
        error = errors.pop(0) if errors else None
        if error is not None:
            raise error
        return images

    source = ArraySource(np.ones((2, 1, 1), "uint8"))
    return ImageBatches(source, 1, augmentation=augment)


class Pixel(Line):
    """`Line` for images of one pixel."""

    def build(self, input_shape):
        super().build((None, 1))

    def compute_step(self, data, training):
        x, *_ = keras.utils.unpack_x_y_sample_weight(data)
        x = keras.ops.cast(keras.ops.reshape(x, (-1, 1)), "float32")
        return super().compute_step((x,), training)


def pixel():
    model = Pixel()
    model.build((None, 1, 1, 1))
    model.compile("sgd", run_eagerly=True)
    return model


def seeing(trained):
    """A model that takes down which images of one pixel it is trained on."""

    class Seeing(Pixel):
        def compute_step(self, data, training):
            trained.append(int(to_numpy(data[0]).item()))
            return super().compute_step(data, training)

    model = Seeing()
    model.build((None, 1, 1, 1))
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    return model


def test_batches_come_in_their_own_order():
    trained, source = [], ArraySource(np.arange(12, dtype="uint8").reshape(12, 1, 1))
    seeing(trained).fit(ImageBatches(source, 1), epochs=2, verbose=0)
    assert trained == [*range(12), *range(12)]


@pytest.mark.parametrize("steps", [2, 3, 6])
def test_epochs_of_fewer_steps_train_on_every_image_of_each_pass(steps):
    trained = []
    model = seeing(trained)
    source = ArraySource(np.arange(12, dtype="uint8").reshape(12, 1, 1))
    batches = ImageBatches(source, 1, shuffle=True)
    model.fit(batches, steps_per_epoch=steps, epochs=24 // steps, verbose=0)
    passes = trained[:12], trained[12:]
    assert [sorted(one) for one in passes] == [list(range(12))] * 2
    assert passes[0] != passes[1]
    assert batches.epoch == 2


@pytest.mark.parametrize("part", ["training", "validation"])
def test_what_batches_fail_of_is_raised_and_not_the_backends_word_for_it(part):
    errors = [None, UnreadableError("the drive is gone")] if part == "training" else []
    batches = batches_that_fail(errors)
    other = batches_that_fail([UnreadableError("the drive is gone")])
    validation = {"validation_data": other} if part == "validation" else {}
    with pytest.raises(UnreadableError, match=r"^the drive is gone$"):
        pixel().fit(batches, verbose=0, **validation)


@pytest.mark.tensorflow_only
def test_what_batches_of_a_pipeline_fail_of_is_raised_too():
    pipeline = as_tf_dataset(batches_that_fail([None, UnreadableError("the drive is gone")]))
    with pytest.raises(UnreadableError, match=r"^the drive is gone$"):
        pixel().fit(pipeline, verbose=0)


def test_other_errors_are_not_replaced_by_what_batches_fail_of():
    errors = [UnreadableError("first")]
    batches = batches_that_fail(errors)
    with pytest.raises(UnreadableError):
        pixel().fit(batches, verbose=0)
    assert isinstance(batches.failure, UnreadableError)

    def fail(epoch, logs):
        raise ArithmeticError("mine")

    # In another `fit` of the same batches, which are sound now.
    with pytest.raises(ArithmeticError, match="mine"):
        pixel().fit(
            batches, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=fail)]
        )
    assert batches.failure is None

    # In the same one, while a batch fails that was read ahead.
    def ask(batch, logs):
        errors.append(UnreadableError("ahead"))
        with pytest.raises(UnreadableError):
            batches[0]
        raise ArithmeticError("mine")

    with pytest.raises(ArithmeticError, match="mine"):
        pixel().fit(
            batches, verbose=0, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=ask)]
        )
    assert isinstance(batches.failure, UnreadableError)


@pytest.mark.tensorflow_only
def test_an_error_of_a_step_is_not_replaced_by_what_batches_fail_of():
    import tensorflow as tf

    batches = batches_that_fail([])

    class Broken(Pixel):
        def compute_step(self, data, training):
            batches.failure = UnreadableError("ahead")
            tf.debugging.Assert(False, ["mine"])

    model = Broken()
    model.build((None, 1, 1, 1))
    model.compile("sgd", run_eagerly=True)
    with pytest.raises(tf.errors.InvalidArgumentError, match="mine"):
        model.fit(batches, verbose=0)


# -- the guard ------------------------------------------------------------------------------------


def test_guarded_by_hand():
    gradients = [np.array([3.0], "float32"), None, np.array([[4.0]], "float32")]
    safe, norm, finite = guarded(gradients)
    assert float(norm) == 5.0
    assert bool(finite)
    assert to_numpy(safe[0]).tolist() == [3.0]
    assert safe[1] is None


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_guarded_puts_zeros_in_place_of_all_gradients(bad):
    # 1e30 is finite, its square is not in float32.
    safe, norm, finite = guarded([np.ones(2, "float32"), np.array([1.0, bad], "float32")])
    assert not np.isfinite(float(norm))
    assert not bool(finite)
    assert not any(to_numpy(g).any() for g in safe)


def test_guarded_keeps_dtypes_and_sums_in_float32():
    gradients = [keras.ops.full((4,), 300.0, "float16")]  # 300² overflows float16
    safe, norm, _ = guarded(gradients)
    assert float(norm) == 600.0
    assert keras.backend.standardize_dtype(safe[0].dtype) == "float16"


def test_step_loss_of_nothing_is_zero():
    assert float(Line().step_loss(StepOutput({}, 1), [])) == 0.0
    with pytest.raises(NotImplementedError):
        TrainedModel().compute_step(None, True)
