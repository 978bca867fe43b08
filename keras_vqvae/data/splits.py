"""The parts that a data set may come in: how they are named in folders and files."""

import warnings
from collections.abc import Collection

PARTS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}
_KNOWN = frozenset(alias for aliases in PARTS.values() for alias in aliases)


class NoSuchPartError(ValueError):
    """A part that the data does not have, as against data that cannot be read.

    Attributes:
        divided: whether the data has other parts, and is not all one.
    """

    divided = False


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


def no_such_part(split: str, what: str, divided: bool = False) -> NoSuchPartError:
    """The error for a part that is not there."""
    error = NoSuchPartError(
        f"{what} has no {split!r} part. Received: `split={split!r}`. Load the training part and "
        "hold images out with `source.split(validation_fraction, seed)`, or give a path that has it"
    )
    error.divided = divided
    return error


def part_folder(
    folders: Collection[str], split: str, what: str, loose: str | None = None
) -> str | None:
    """Which of the top folders holds the part `split`; `None` if all of it is the training part.

    The folders are parts when each of them is named like one; else they are classes, with a warning
    if some are named like parts.

    Args:
        folders: the names of the top folders.
        split: the part that is asked for.
        what: what they are the top folders of, for messages.
        loose: the name of an image file beside them, if there is one.

    Raises:
        NoSuchPartError: if there is no such part.
        ValueError: if an image lies beside folders that are named like parts.

    Example:
    >>> part_folder(["train", "test"], "test", "the folder")
    'test'
    >>> part_folder(["cat", "dog"], "train", "the folder") is None
    True
    """
    named = sorted(filter(is_part_name, folders))
    parts = ", ".join(named)
    if named and loose is not None:
        raise ValueError(
            f"{what} should have no image files beside its parts ({parts}): all images would be "
            f"training images without labels. Received: {loose!r} beside them. Move it into a "
            "part or elsewhere; or, if the folders are no parts, name them otherwise"
        )
    if named and len(named) == len(folders):
        for folder in named:
            if folder.lower() in PARTS[split]:
                return folder
        raise no_such_part(split, f"{what} (parts: {parts})", divided=True)
    if split != "train":
        raise no_such_part(split, what)
    if named:
        others = sorted(set(folders) - set(named))
        shown = ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")
        warnings.warn(
            f"{what} has folders that are named as parts ({parts}), and others beside them "
            f"({shown}): all of them are taken for classes of training images. If they are parts, "
            "move the others elsewhere",
            stacklevel=3,
        )
    return None
