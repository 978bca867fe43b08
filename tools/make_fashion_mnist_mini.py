"""Cuts `keras_vqvae/data/bundled/fashion_mnist_mini.npz` from the full Fashion-MNIST.

The first 1 000 training images and the first 200 test images of each class, in their original
order. Needs the four files of the Debian package `dataset-fashion-mnist`:

    python tools/make_fashion_mnist_mini.py [--source /usr/share/datasets/fashion-mnist]
"""

import argparse
from pathlib import Path

import numpy as np

from keras_vqvae.data.files import atomic_write
from keras_vqvae.data.named import read_idx

TARGET = Path(__file__).parents[1] / "keras_vqvae" / "data" / "bundled" / "fashion_mnist_mini.npz"


def cut(folder: Path, prefix: str, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `per_class` images of each class, in their original order."""
    images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz")
    labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz")
    kept = [np.flatnonzero(labels == label)[:per_class] for label in range(10)]
    indices = np.sort(np.concatenate(kept))
    return images[indices], labels[indices]


def main(argv: list[str] | None = None) -> None:
    """Writes the file and prints its size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--output", type=Path, default=TARGET)
    options = parser.parse_args(argv)
    x_train, y_train = cut(options.source, "train", 1000)
    x_test, y_test = cut(options.source, "t10k", 200)
    with atomic_write(options.output) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    print(f"{options.output}: {options.output.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
