"""Numbers of a layer that may change over training: a temperature, a weight of a loss."""

from typing import Any, TypeVar

import keras
from keras import ops

from keras_vqvae.checks import as_divisor, check_schedulable
from keras_vqvae.choices import Choice, Schedule
from keras_vqvae.ops import all_reduce_sum

__all__ = ["ScheduledNumbers", "has_schedule"]

Option = TypeVar("Option", bound=Choice)


class ScheduledNumbers:
    """Mixin of a layer or model some of whose numbers may be Keras schedules.

    A number given as a schedule out of `keras.optimizers.schedules` lives in a scalar weight of the
    same name, beside `schedule_step`, which counts training steps but for those that are masked as
    a whole. Each such step sets it to the next value of the schedule, so compiled steps see the
    change, and a saved model goes on where it was. A plain number is no weight: models saved
    without a schedule load as ever.

    A subclass hands its numbers to `set_numbers` in its constructor, calls `build_numbers` in
    `build`, reads them with `number` and calls `advance` last in a training step. Numbers of its
    options come by `set_option_numbers`; `option_now` gives the option as it is now.
    """

    name: str
    built: bool
    trainable: bool
    add_weight: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.schedule_step: Any = None
        self._number_names: tuple[str, ...] = ()
        self._option_numbers: dict[str, tuple[Choice, str]] = {}
        self._number_weights: dict[str, Any] = {}

    def set_numbers(self, above_zero: bool = False, **numbers: Any) -> None:
        """Checks numbers (≥ 0, or > 0) and schedules, and keeps each as the attribute of its name.

        Raises:
            ValueError: for a number out of range, or what is neither number nor schedule.
        """
        for name, value in numbers.items():
            setattr(self, name, check_schedulable(name, value, above_zero))
            self._number_names = (*self._number_names, name)

    def set_option_numbers(self, prefix: str, option: Choice) -> None:
        """Takes over what may be schedules among an option's settings, as `prefix_setting`."""
        for setting in option.schedulable:
            self._option_numbers[f"{prefix}_{setting}"] = (option, setting)

    def option_now(self, prefix: str, option: Option) -> Option:
        """The option with what its schedules are now in their place."""
        names = {setting: f"{prefix}_{setting}" for setting in option.schedulable}
        scheduled = {s: self.number(name) for s, name in names.items() if self.is_scheduled(name)}
        return option.with_numbers(scheduled) if scheduled else option

    def given_number(self, name: str) -> Any:
        """The number or schedule that was given under this name; `None` for an unknown name."""
        option, setting = self._option_numbers.get(name, (self, name))
        return getattr(option, setting) if name in self._names else None

    @property
    def _names(self) -> tuple[str, ...]:
        return (*self._number_names, *self._option_numbers)

    def is_scheduled(self, name: str) -> bool:
        """Whether the number of this name was given as a schedule."""
        return isinstance(self.given_number(name), Schedule)

    def build_numbers(self, always: tuple[str, ...] = ()) -> None:
        """Makes the weights of scheduled numbers, and of those that are a weight in any case."""
        scheduled = [name for name in self._names if self.is_scheduled(name)]
        if scheduled:
            self.schedule_step = self._scalar("schedule_step", "zeros")
        for name in (*scheduled, *(name for name in always if name not in scheduled)):
            self._number_weights[name] = self._scalar(name, self._start_of(name))

    def _start_of(self, name: str) -> Any:
        value = self.given_number(name)
        if not self.is_scheduled(name):
            return keras.initializers.Constant(value)
        return lambda shape, dtype=None: ops.cast(value(0), dtype or "float32")

    def _scalar(self, name: str, initializer: Any) -> Any:
        return self.add_weight(
            name=name,
            shape=(),
            initializer=initializer,
            dtype="float32",
            trainable=False,
            autocast=False,
        )

    def number(self, name: str) -> Any:
        """What the number of this name is now: a float, or a float32 scalar out of its weight.

        Raises:
            ValueError: for a schedule, before there is its weight, and for an unknown name.
        """
        if name not in self._names:
            raise ValueError(
                f"`name` should be one of {sorted(self._names)}, the numbers of "
                f"'{self.name}'. Received: name={name!r}"
            )
        weight = self._number_weights.get(name)
        if weight is None and self.is_scheduled(name):
            if self.built:
                raise ValueError(
                    f"`{name}` of '{self.name}' was a plain number when it was built, and cannot "
                    "become a schedule. Pass the schedule to the constructor."
                )
            raise ValueError(
                f"'{self.name}' is not built yet, so its `{name}`, a schedule, has no value. Call "
                "it, or `build` it, first."
            )
        # A sum is a value; what TensorFlow makes of the weight itself would go on changing.
        return self.given_number(name) if weight is None else ops.add(weight, 0.0)

    def positive_number(self, name: str) -> Any:
        """As `number`, for what is divided by: at least 10⁻⁶."""
        return as_divisor(self.number(name))

    def advance(self, valid: Any = None) -> None:
        """A training step is done: scheduled numbers take their next value.

        Not if no position was valid, and not if the layer is frozen (`trainable = False`).
        """
        if self.schedule_step is None or not self.trainable:
            return
        seen = 1.0 if valid is None else ops.cast(all_reduce_sum(ops.sum(valid)) > 0, "float32")
        step = ops.convert_to_tensor(self.schedule_step) + seen
        self.schedule_step.assign(step)
        for name, weight in self._number_weights.items():
            if self.is_scheduled(name):
                value = self.given_number(name)(ops.cast(step, "int32"))
                weight.assign(ops.cast(value, "float32"))

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        numbers = {name: getattr(self, name) for name in self._number_names}
        return {
            **super().get_config(),  # type: ignore[misc] # the layer's
            **{n: serialize(v) if isinstance(v, Schedule) else v for n, v in numbers.items()},
        }


def has_schedule(layer: Any) -> bool:
    """Whether some number of the layer follows a schedule, in a weight that there is already."""
    return isinstance(layer, ScheduledNumbers) and layer.schedule_step is not None
