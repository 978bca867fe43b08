"""Options: one way to name a choice: by name, by config, or by instance."""

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

import keras

__all__ = ["PACKAGE", "Choice", "Schedule", "get_choice"]

PACKAGE = "keras_vqvae"

T = TypeVar("T", bound="Choice")

Schedule = keras.optimizers.schedules.LearningRateSchedule


class Choice:
    """An option that is an object: it compares by its config and round-trips through it.

    Subclasses take their settings in the constructor, keep each as an attribute of the same name
    and return them from `get_config`.

    Attributes:
        schedulable: the settings that may be schedules (`check_schedulable`). The layer that owns
            the option keeps step with them, and asks `with_numbers`, which has what they are now.
    """

    schedulable: tuple[str, ...] = ()

    def with_numbers(self: T, numbers: Mapping[str, Any]) -> T:
        """This option with `numbers` in place of its schedules."""
        found = copy.copy(self)
        for name, value in numbers.items():
            setattr(found, name, value)
        return found

    def numbers_config(self) -> dict[str, Any]:
        """The schedulable settings, for `get_config`."""
        settings = {name: getattr(self, name) for name in self.schedulable}
        return {
            name: keras.saving.serialize_keras_object(value)
            if isinstance(value, Schedule)
            else value
            for name, value in settings.items()
        }

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls: type[T], config: dict[str, Any]) -> T:
        """The object with this config."""
        return cls(**config)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self) -> int:
        return hash((type(self), repr(self.get_config())))

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({settings})"


def get_choice(identifier: Any, base: type[T], names: dict[str, type[T]], argument: str) -> T:
    """Resolves an option given by name, config or instance.

    Args:
        identifier: a name out of `names`, a config as `keras.saving.serialize_keras_object` makes
            it, or an instance of `base`.
        base: the class that the result must be an instance of.
        names: the classes that can be named; they are built with their defaults.
        argument: the name of the argument, for the message.

    Returns:
        An instance of `base`.

    Raises:
        ValueError: for an unknown name or an object of another kind.
    """
    if isinstance(identifier, dict):
        identifier = keras.saving.deserialize_keras_object(identifier)
    if isinstance(identifier, base):
        return identifier
    if isinstance(identifier, str) and identifier in names:
        return names[identifier]()
    raise ValueError(
        f"`{argument}` should be one of {sorted(names)} or an instance of `{base.__name__}`. "
        f"Received: {argument}={identifier!r}"
    )
