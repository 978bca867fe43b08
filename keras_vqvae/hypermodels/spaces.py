"""What is searched: a range or a choice for each name, that a caller may narrow or fix."""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = [
    "Choices",
    "Linear",
    "Logarithmic",
    "PowersOfTwo",
    "Unsearched",
    "check_space",
    "declare_all",
]


class PowersOfTwo(NamedTuple):
    """Powers of two from `low` to `high`."""

    low: int
    high: int
    default: int

    def within(self, low: int, high: int) -> "PowersOfTwo":
        """The same between other bounds."""
        for bound in (low, high):
            if not isinstance(bound, int) or bound < 1 or bound & (bound - 1):
                raise ValueError(f"the bounds should be powers of two. Received: {low}, {high}")
        return PowersOfTwo(low, high, min(max(self.default, low), high))

    def declare(self, hp: Any, name: str) -> Any:
        """Its value in a trial."""
        return hp.Int(name, self.low, self.high, step=2, sampling="log", default=self.default)


class Linear(NamedTuple):
    """Whole numbers from `low` to `high`."""

    low: int
    high: int
    default: int

    def within(self, low: int, high: int) -> "Linear":
        """The same between other bounds."""
        if int(low) != low or int(high) != high:
            raise ValueError(f"the bounds should be whole numbers. Received: {low}, {high}")
        return Linear(int(low), int(high), min(max(self.default, int(low)), int(high)))

    def declare(self, hp: Any, name: str) -> Any:
        """Its value in a trial."""
        return hp.Int(name, self.low, self.high, default=self.default)


class Logarithmic(NamedTuple):
    """Numbers from `low` to `high`, drawn by their logarithm."""

    low: float
    high: float
    default: float

    def within(self, low: float, high: float) -> "Logarithmic":
        """The same between other bounds."""
        if not low > 0:
            raise ValueError(f"the bounds should be positive. Received: {low}, {high}")
        return Logarithmic(float(low), float(high), min(max(self.default, low), high))

    def declare(self, hp: Any, name: str) -> Any:
        """Its value in a trial."""
        return hp.Float(name, self.low, self.high, sampling="log", default=self.default)


class Choices(NamedTuple):
    """Some values."""

    values: tuple[Any, ...]
    default: Any

    def within(self, low: Any, high: Any) -> "Choices":
        """There is nothing between names."""
        raise ValueError(f"a list of values is needed, and no range. Received: {low}, {high}")

    def declare(self, hp: Any, name: str) -> Any:
        """Its value in a trial."""
        return hp.Choice(name, list(self.values), default=self.default)


Range = PowersOfTwo | Linear | Logarithmic | Choices


class Unsearched(NamedTuple):
    """What has one value unless a caller says otherwise; `None` is not passed on."""

    entry: Range
    value: Any


Entry = Range | Unsearched


Conditions = Mapping[str, tuple[str, list[Any]]]


def check_space(
    entries: Mapping[str, Entry],
    narrowed: Mapping[str, Any],
    check: Callable[[str, Any], None],
    conditions: Conditions,
) -> dict[str, Any]:
    """The entries with what a caller narrowed or fixed.

    Args:
        entries: by name.
        narrowed: for some names another range `(low, high)`, a list of values, or one value, which
            is then not searched.
        check: raises a ValueError for a name and a value that no model can have.
        conditions: as in `declare_all`.

    Returns:
        For each name an entry, or a value that is fixed.

    Raises:
        ValueError: for a name that is not known, an empty list, a range that is none, a value that
            no model can have, or a name that no trial has.
    """
    unknown = set(narrowed) - set(entries)
    if unknown:
        raise ValueError(
            f"{', '.join(map(repr, sorted(unknown)))} should be one of the hyperparameters "
            f"{', '.join(entries)}"
        )
    found: dict[str, Any] = {
        name: entry.value if isinstance(entry, Unsearched) else entry
        for name, entry in entries.items()
    }
    for name, value in narrowed.items():
        given = entries[name]
        entry = given.entry if isinstance(given, Unsearched) else given
        try:
            found[name], values = _narrowed(entry, value)
            for one in values:
                check(name, one)
        except ValueError as error:
            raise ValueError(f"`{name}`: {error}") from error
    for name in narrowed:
        if found[name] is not None:
            _check_use(name, found, conditions)
    return found


def _narrowed(entry: Range, value: Any) -> tuple[Any, tuple[Any, ...]]:
    """What a range, a list or a value makes of an entry, and which values a model has to take."""
    if isinstance(value, tuple):
        numbers = all(map(_is_number, value)) or isinstance(entry, Choices)
        if len(value) != 2 or not numbers:
            raise ValueError(f"a range is two numbers, low and high. Received: {value}")
        low, high = value
        if not low < high:
            raise ValueError(f"the first bound should be below the second. Received: {value}")
        return entry.within(low, high), value
    if isinstance(value, list):
        if not value:
            raise ValueError("a list of values should not be empty. Received: []")
        values = tuple(value)
        if all(map(_is_number, values)) and any(isinstance(v, float) for v in values):
            values = tuple(map(float, values))  # KerasTuner wants them of one type
        default = entry.default if entry.default in values else values[0]
        return Choices(values, default), values
    return value, (value,)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_use(name: str, space: Mapping[str, Any], conditions: Conditions) -> None:
    """Refuses a name whose conditions no trial fulfils."""
    child = name
    while child in conditions and conditions[child][0] in space:
        parent, wanted = conditions[child]
        entry = space[parent]
        values = entry.values if isinstance(entry, Choices) else (entry,)
        if not set(values) & set(wanted):
            raise ValueError(
                f"`{name}` needs {parent} in {wanted}. "
                f"Received: {parent}={', '.join(map(str, values))}"
            )
        child = parent


def declare_all(hp: Any, space: Mapping[str, Any], conditions: Conditions) -> dict[str, Any]:
    """The values of a trial; what is fixed is recorded all the same.

    Args:
        hp: KerasTuner's hyperparameters of the trial.
        space: what `check_space` returned. A name comes after the one that it depends on.
        conditions: for a name that not all trials have, the name it depends on, and with which
            values of that one it is there.

    Returns:
        A value for each name that this trial has.
    """
    values: dict[str, Any] = {}
    for name, entry in space.items():
        searched, there = _ancestors(name, space, conditions)
        if entry is None or not there:
            continue
        with contextlib.ExitStack() as scopes:
            for parent, wanted in searched:
                scopes.enter_context(hp.conditional_scope(parent, wanted))
            values[name] = _declare(hp, name, entry)
    # What is not active in a trial has no value.
    return {name: value for name, value in values.items() if value is not None}


def _ancestors(
    name: str, space: Mapping[str, Any], conditions: Conditions
) -> tuple[list[tuple[str, list[Any]]], bool]:
    """The conditions that a trial decides, outermost first, and whether the fixed ones hold."""
    if name not in conditions:
        return [], True
    parent, wanted = conditions[name]
    searched, there = _ancestors(parent, space, conditions)
    if _is_searched(space[parent]):
        return [*searched, (parent, wanted)], there
    return searched, there and space[parent] in wanted


def _is_searched(entry: Any) -> bool:
    """Whether it is a range or a choice, and not one value."""
    return isinstance(entry, PowersOfTwo | Linear | Logarithmic | Choices)


def _declare(hp: Any, name: str, entry: Any) -> Any:
    return entry.declare(hp, name) if _is_searched(entry) else hp.Fixed(name, entry)
