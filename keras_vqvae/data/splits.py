"""The parts that a data set may come in: how they are named in folders and files."""

from collections.abc import Collection

PARTS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}
_KNOWN = frozenset(alias for aliases in PARTS.values() for alias in aliases)


class NoSuchPartError(ValueError):
    """A part that the data does not have, as against data that cannot be read."""


def checked_split(split: str) -> str:
    """`split`, if it is the name of a part."""
    if split not in PARTS:
        raise ValueError(
            f"`split` should be one of {', '.join(map(repr, PARTS))}. Received: `split={split!r}`"
        )
    return split


def is_part_name(folder: str) -> bool:
    """Whether a folder of this name is a part, as `train` is, and not a class."""
    return folder.lower() in _KNOWN


def no_such_part(split: str, what: str) -> NoSuchPartError:
    """The error for a part that is not there."""
    return NoSuchPartError(
        f"{what} has no {split!r} part. Received: `split={split!r}`. Load the training part and "
        "hold images out with `source.split(validation_fraction, seed)`, or give a path that has it"
    )


def part_folder(folders: Collection[str], split: str, what: str) -> str | None:
    """Which of the top folders holds the part `split`; `None` if all of it is the training part.

    The folders are parts when each of them is named like one; else they are classes.

    Example:
    >>> part_folder(["train", "test"], "test", "the folder")
    'test'
    >>> part_folder(["cat", "train"], "train", "the folder") is None
    True
    """
    if folders and all(is_part_name(folder) for folder in folders):
        for folder in sorted(folders):
            if folder.lower() in PARTS[split]:
                return folder
        raise no_such_part(split, f"{what} (parts: {', '.join(sorted(folders))})")
    if split != "train":
        raise no_such_part(split, what)
    return None
