"""The parts of a run's data: training, validation and test images."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from keras_vqvae.data import ImageSource, load_images
from keras_vqvae.data.image_files import SeveralSizesError
from keras_vqvae.data.named import CLASS_NAMES
from keras_vqvae.data.splits import NoSuchPartError
from keras_vqvae.evaluation.pictures import in_ascii
from keras_vqvae.runs.config import DataConfig

_VARIANCE_IMAGES = 10_000


class DataParts:
    """Loads each part when it is asked for, once.

    Args:
        config: which images.
        seed: of the split.
    """

    def __init__(self, config: DataConfig, seed: int) -> None:
        self.config = config
        self._seed = seed
        self._loaded: dict[str, ImageSource | None] = {}
        self._variance: float | None = None

    @property
    def train(self) -> ImageSource:
        """The images that are trained on."""
        self._split()
        source = self._loaded["train"]
        assert source is not None  # loading raises where there are none
        return source

    @property
    def validation(self) -> ImageSource | None:
        """The held-out images that training looks at, if there are any."""
        self._split()
        return self._loaded["validation"]

    @property
    def test(self) -> ImageSource | None:
        """The images that nothing looks at before the end, if there are any."""
        if "test" not in self._loaded:
            self._loaded["test"] = self._limited(self._own_part("test"))
        return self._loaded["test"]

    def evaluation(self, images: Any = None) -> tuple[str, ImageSource]:
        """The name and the images that figures are computed on.

        They are the test part, else the validation part, else the training images; or `images`, as
        `other` takes them.
        """
        if images is not None:
            _, source = self.other(images)
            return source.name, source
        for part in ("test", "validation"):
            found: ImageSource | None = getattr(self, part)
            if found is not None:
                return part, found
        return "train", self.train

    def other(
        self,
        source: Any,
        wanted: tuple[int, ...] | None = None,
        class_names: Sequence[str] | None = None,
        part: str | None = None,
    ) -> tuple[str | None, ImageSource]:
        """Images from elsewhere, seen as this run sees its own, and which part they are.

        Classes that have names get the numbers that they have in this run.

        Args:
            source: what `load_images` takes.
            wanted: the shape of an image. By default that of the training images, which have to be
                there then.
            class_names: this run's classes by number, where they have names. With `wanted` left out
                those of the training images.
            part: `"train"`, `"validation"` or `"test"`. By default the test part if there is one,
                else the training part.

        Returns:
            The name of the part, `None` of images without parts, and the images.

        Raises:
            ValueError: for images of another shape, of classes that this run does not have, or
                without this part.
        """
        if wanted is None:
            wanted, class_names = self.train.image_shape, self.train.class_names
        try:
            part, found = self._part_of_other(source, part)
        except SeveralSizesError as error:
            what = f"the images of {str(source)!r} have several sizes"
            raise ValueError(_wrong_shape(what, wanted)) from error
        if found.image_shape != wanted:
            what = f"the images of {found.name!r} have the shape {found.image_shape}"
            raise ValueError(_wrong_shape(what, wanted))
        return part, found if class_names is None else _with_classes(found, class_names)

    def value_range(self) -> tuple[float, float]:
        """What black and white are."""
        if self.config.value_range is not None:
            return self.config.value_range
        if self.train.dtype != np.uint8:
            raise ValueError(
                "`value_range`, what black and white are, should be given for images of floats, "
                f"such as (0, 1). Received: value_range=None for images of {self.train.dtype}"
            )
        return (0.0, 255.0)

    def variance(self) -> float:
        """Variance of the training images on the [0, 1] scale; of 10 000 of them at most.

        They are read once.

        Raises:
            ValueError: for images all of one colour.
        """
        if self._variance is None:
            self._variance = self._computed_variance()
        return self._variance

    def num_classes(self) -> int:
        """How many classes data with labels has, in all of its parts.

        Where they have no names, that is one more than the highest label.
        """
        if self.train.class_names is not None:
            return len(self.train.class_names)
        parts = (self.train, self.validation, self.test)
        labels = [part.labels for part in parts if part is not None and part.labels is not None]
        return int(max(of_part.max() for of_part in labels)) + 1

    def record(self) -> dict[str, Any]:
        """What is worth knowing of the data, for `metrics.json`."""
        train, validation = self.train, self.validation
        skipped = train.skipped
        return {
            "source": self.config.source,
            "image_shape": list(train.image_shape),
            "train_images": len(train),
            "validation_images": 0 if validation is None else len(validation),
            "classes": None if train.class_names is None else list(train.class_names),
            "fingerprint": train.fingerprint(),
            "skipped_images": len(skipped),
            "skipped_files": [f"{path}: {reason}" for path, reason in skipped],
        }

    def _split(self) -> None:
        if "train" in self._loaded:
            return
        train, validation = self._load(self.config.source, "train"), self._own_part("validation")
        if validation is None and self.config.validation_fraction > 0:
            train, validation = train.split(self.config.validation_fraction, self._seed)
        self._loaded["train"] = self._limited(train)
        self._loaded["validation"] = self._limited(validation)

    def _computed_variance(self) -> float:
        low, high = self.value_range()
        source = self.train.spread(_VARIANCE_IMAGES)
        count, total, squares = 0, 0.0, 0.0
        for start in range(0, len(source), 256):
            chunk = source.read(np.arange(start, min(start + 256, len(source))))
            unit = (chunk.astype(np.float64) - low) / (high - low)
            count, total = count + unit.size, total + unit.sum()
            squares += np.square(unit).sum()
        variance = squares / count - (total / count) ** 2
        if not variance > 1e-9:
            raise ValueError(
                f"the images of {self.train.name!r} should not be all of one colour: there is "
                "nothing to learn"
            )
        return float(variance)

    def _own_part(self, part: str) -> ImageSource | None:
        try:
            return self._load(self.config.source, part)
        except NoSuchPartError:
            return None

    def _part_of_other(self, source: Any, part: str | None) -> tuple[str | None, ImageSource]:
        try:
            found = self._load(source, part or "test")
        except NoSuchPartError as error:
            if part is not None:
                raise
            return ("train" if error.divided else None), self._load(source, "train")
        # What is no path is taken as it is, whatever part is asked for.
        return (part or "test" if isinstance(source, str | os.PathLike) else None), found

    def _load(self, source: Any, part: str) -> ImageSource:
        config = self.config
        color: Any = config.color
        resize: Any = config.resize
        return load_images(source, part, config.image_size, color, resize, config.strict)

    def _limited(self, source: ImageSource | None) -> ImageSource | None:
        if source is None or self.config.max_images is None:
            return source
        return source.spread(self.config.max_images)


def _with_classes(source: ImageSource, class_names: Sequence[str]) -> ImageSource:
    """The same images, their classes by the numbers that they have elsewhere."""
    theirs = source.class_names
    if source.labels is None or theirs is None or theirs == tuple(class_names):
        return source
    numbers = {name: number for number, name in enumerate(class_names)}
    occurring = [theirs[label] for label in np.unique(source.labels)]
    unknown = [name for name in occurring if name not in numbers]
    if unknown:
        raise ValueError(
            f"the images of {source.name!r} should be of this run's classes, "
            f"{_some(class_names)}. Received: images of {_some(unknown)}. Rename their folders, or "
            "put the images into one folder, without classes"
        )
    same = source.subset(np.arange(len(source)))
    same.labels = np.array([numbers.get(name, -1) for name in theirs], np.int32)[source.labels]
    same.class_names = tuple(class_names)
    return same


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")


def _wrong_shape(what: str, wanted: tuple[int, ...]) -> str:
    return (
        f"{what}, and this run's have the shape {wanted} (height, width, channels). Convert them, "
        f"or train a run with `--image-size {wanted[0]},{wanted[1]}`, which resizes all images it "
        "is given"
    )


def labels_like(source: ImageSource, count: int, seed: int) -> npt.NDArray[np.int32]:
    """So many labels, the classes in the proportions of a source with labels, and in no order."""
    labels = source.spread(count).labels
    assert labels is not None  # who asks has a prior that was trained on them
    return np.random.default_rng(seed).permutation(np.resize(labels, count))


def class_captions(source: ImageSource, labels: npt.NDArray[np.integer[Any]]) -> list[str]:
    """The names of classes, or their numbers, as they can stand below an image."""
    names = source.class_names
    return [str(i) if names is None else _caption(int(i), names[i]) for i in labels]


def _caption(label: int, name: str) -> str:
    """Short, and with the number where the font lacks letters of the name."""
    shown = in_ascii(name)
    return (shown if shown.count("?") == name.count("?") else f"{label} {shown}")[:13]


def resolved(source: str) -> str:
    """A path as an absolute one, so that a run finds its data from anywhere; names stay."""
    if source in CLASS_NAMES:
        return source
    return os.path.abspath(Path(source).expanduser())
