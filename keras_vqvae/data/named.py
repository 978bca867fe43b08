"""Data sets known by name: the bundled one, and three that Keras knows."""

import gzip
import hashlib
import importlib
import importlib.resources
import os
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from keras_vqvae.data.arrays import ArraySource
from keras_vqvae.data.splits import no_such_part

_CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_OBJECTS = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
CLASS_NAMES = {
    "fashion_mnist_mini": _CLOTHES,
    "fashion_mnist": _CLOTHES,
    "mnist": tuple("0123456789"),
    "cifar10": _OBJECTS,
}

_DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
_IDX_PREFIX = {"train": "train", "test": "t10k"}
_CIFAR10_ARCHIVE = "cifar-10-batches-py-target_archive"
_CIFAR10_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"

Pair = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def load_named(name: str, split: str) -> ArraySource:
    """Loads `fashion_mnist_mini`, `fashion_mnist`, `mnist` or `cifar10`.

    A local copy is used first: Keras's cache (`$KERAS_HOME/datasets`, or `~/.keras/datasets`)
    and, for `fashion_mnist`, the folder of the Debian package `dataset-fashion-mnist`. Otherwise
    `keras.datasets` downloads it.

    Args:
        name: One of `CLASS_NAMES`.
        split: `"train"` or `"test"`.

    Raises:
        FileNotFoundError: If there is no local copy and the download fails; the text says which
            file to put where.
        ValueError: If a local copy is damaged, or `split` is another.

    Example:
    >>> load_named("fashion_mnist_mini", "test")
    <ArraySource 'fashion_mnist_mini (test)': 2000 images 28x28x1 uint8, 10 classes>
    """
    if split not in _IDX_PREFIX:
        raise no_such_part(split, f"{name!r}")
    readers = {
        "fashion_mnist_mini": _read_bundled,
        "fashion_mnist": _read_fashion_mnist,
        "mnist": _read_mnist,
        "cifar10": _read_cifar10,
    }
    images, labels = readers[name](split)
    return ArraySource(images, labels, CLASS_NAMES[name], name=f"{name} ({split})")


def read_idx(file: str | os.PathLike[str]) -> npt.NDArray[np.uint8]:
    """Reads a gzipped IDX file of bytes, the format of MNIST and Fashion-MNIST.

    Raises:
        ValueError: If it is damaged, or holds something else.
    """
    try:
        with gzip.open(file) as stream:
            content = stream.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"The file {os.fspath(file)!r} is damaged: {error}") from error
    # Two zero bytes, 8 for unsigned bytes, the number of dimensions; then each dimension.
    rank = content[3] if content[:3] == b"\0\0\x08" else 0
    shape = (
        tuple(np.frombuffer(content, ">u4", rank, 4).tolist()) if len(content) > 4 * rank else ()
    )
    if not rank or len(content) != 4 + 4 * rank + int(np.prod(shape)):
        raise ValueError(f"The file {os.fspath(file)!r} is damaged, or not an IDX file of bytes")
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def keras_cache() -> Path:
    """The folder in which Keras keeps data sets."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "datasets"


def _read_bundled(split: str) -> Pair:
    files = importlib.resources.files("keras_vqvae.data")
    with files.joinpath("bundled", "fashion_mnist_mini.npz").open("rb") as file:
        return _read_npz(file, split)


def _read_fashion_mnist(split: str) -> Pair:
    names = [f"{_IDX_PREFIX[split]}-{part}-ubyte.gz" for part in ("images-idx3", "labels-idx1")]
    for folder in (keras_cache() / "fashion-mnist", _DEBIAN_FOLDER):
        if all((folder / name).is_file() for name in names):
            return read_idx(folder / names[0]), read_idx(folder / names[1])
    return _download(
        "fashion_mnist",
        split,
        f"install the Debian package dataset-fashion-mnist, or put its four *-ubyte.gz files into "
        f"{keras_cache() / 'fashion-mnist'}",
    )


def _read_mnist(split: str) -> Pair:
    path = keras_cache() / "mnist.npz"
    if not path.is_file():
        return _download("mnist", split, f"put Keras's mnist.npz at {path}")
    # Read here and not by Keras, which deletes a file with another checksum when it is offline.
    try:
        with path.open("rb") as file:
            return _read_npz(file, split)
    except Exception as error:
        raise ValueError(f"The file {str(path)!r} is damaged: {error}. Remove it") from error


def _read_cifar10(split: str) -> Pair:
    path = keras_cache() / _CIFAR10_ARCHIVE
    if path.is_file():
        # Its members are pickles: only the published file is opened. Keras would check, too, but
        # delete another file when it is offline.
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != _CIFAR10_SHA256:
            raise ValueError(
                f"The file {str(path)!r} is damaged or another: its SHA-256 is {digest[:12]}..., "
                f"and should be {_CIFAR10_SHA256[:12]}.... Remove it"
            )
    return _download("cifar10", split, f"put cifar-10-python.tar.gz at {path}")


def _read_npz(file: IO[bytes], split: str) -> Pair:
    with np.load(file, allow_pickle=False) as arrays:
        return arrays[f"x_{split}"], arrays[f"y_{split}"]


def _download(name: str, split: str, remedy: str) -> Pair:
    # By its name: a type checker then needs nothing of Keras.
    module = importlib.import_module(f"keras.datasets.{name}")
    try:
        train, test = module.load_data()
    except Exception as error:
        raise FileNotFoundError(
            f"The data set {name!r} is not on this machine, and downloading it failed "
            f"({error}). To use it offline, {remedy}"
        ) from error
    images, labels = train if split == "train" else test
    if images.ndim == 4 and images.shape[1] == 3:  # Keras follows its image_data_format.
        images = np.moveaxis(images, 1, -1)
    return images, labels
