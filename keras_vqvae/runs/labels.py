"""Classes by number or name."""

from collections.abc import Sequence


def class_number(label: int | str, names: Sequence[str], classes: int) -> int:
    """The number of a class: one that has this name, else this name but for its case, else it.

    Args:
        label: a name or a number.
        names: of the classes, in the order of their numbers; empty if they have none.
        classes: how many there are.

    Raises:
        ValueError: for an unknown class, or a name that several have but for its case.

    Example:
    >>> class_number("Dog", ["cat", "dog"], 2), class_number(0, ["cat", "dog"], 2)
    (1, 0)
    """
    text = str(label)
    same = [i for i, name in enumerate(names) if name == text] or [
        i for i, name in enumerate(names) if name.lower() == text.lower()
    ]
    if len(same) == 1:
        return same[0]
    if text.isdecimal() and int(text) < classes:
        return int(text)
    known = ", ".join(names) or f"0 to {classes - 1}"
    raise ValueError(f"`label` should be one of {known}. Received: {label!r}")
