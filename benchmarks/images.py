"""Fashion-MNIST as the benchmarks take it: whole, or the part that comes with the package."""

import numpy as np

from keras_vqvae import data


def load_labelled(
    split: str, bundled: bool, limit: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Images, float32 in [0, 1], and labels.

    Args:
        split: "train" or "test".
        bundled: those that come with the package, instead of the whole data set.
        limit: the first so many, if there are more.
    """
    source = data.load_images("fashion_mnist_mini" if bundled else "fashion_mnist", split=split)
    indices = np.arange(len(source) if limit is None else min(limit, len(source)))
    return source.read(indices).astype("float32") / 255.0, source.labels[indices]


def load_train_and_test(bundled: bool, limit: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Training and test images, float32 in [0, 1], at most `limit` of each."""
    (train, _), (test, _) = (load_labelled(split, bundled, limit) for split in ("train", "test"))
    return train, test
