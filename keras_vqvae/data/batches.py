"""Batches of a source for `fit`, in an order that can be resumed at any step."""

import threading
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from keras_vqvae.data.checks import checked_integer
from keras_vqvae.data.prefetching import Prefetching
from keras_vqvae.data.seeding import epoch_generator, image_seeds
from keras_vqvae.data.source import ImageSource

Augment = Callable[[npt.NDArray[Any], npt.NDArray[np.uint64]], npt.NDArray[Any]]
Batch = npt.NDArray[Any] | tuple[npt.NDArray[Any], npt.NDArray[np.int32]]


class ImageBatches(keras.utils.PyDataset):
    """Batches of an `ImageSource`, for `fit`, `evaluate` and `predict` on every backend.

    Everything is a pure function of `(seed, epoch, step)`: the order of an epoch depends on
    `seed` and the epoch's number, the augmentation of an image on these and on its index. So a
    run that is started again with `start=(epoch, step)` sees, bit for bit, what it would have
    seen. (Pass `shuffle=False` to `fit`: its default shuffles the batches once more, by Python's
    global generator.)

    *Epochs.* The object counts them itself: a pass over all batches between Keras's
    `on_epoch_begin` and `on_epoch_end` moves it on by one; a batch that Keras takes to look at
    shapes, or an epoch broken off, does not. To follow the number that `fit` gives, as with
    `initial_epoch`, pass `epoch_callback()` to `fit`, or call `set_epoch`. With `steps_per_epoch`
    several of fit's epochs are one pass, and the object's count is the one that holds. Use
    different objects for training and validation.

    *Starting inside an epoch.* After `start=(epoch, step)` with `step > 0`, `len(batches)` is
    the rest of that epoch. Keras takes the length once in each call of `fit`, so fit that epoch
    by itself, and then the others; anything else is an error.

    Args:
        source: The images.
        batch_size: Images in a batch; the last one of an epoch may have fewer. Defaults to
            `128`.
        shuffle: Whether each epoch has a random order of its own. Defaults to `False`.
        seed: Decides order and augmentation. Defaults to `0`.
        augmentation: `None`, an `Augmentation`, or a function of `(images, seeds)`. Defaults to
            `None`.
        with_labels: Whether to give `(images, labels)`. Defaults to `False`.
        start: `(epoch, step)` of the first batch. Defaults to `(0, 0)`.
        drop_remainder: Whether to leave out a smaller last batch. Defaults to `False`.
        workers: Threads that prepare batches ahead; with `1` they are made when asked for.
            (TensorFlow prefetches in any case.) They are this object's own, because those of
            Keras may give batches out of order. Defaults to `1`.
        max_queue_size: Batches to prepare ahead when `workers > 1`. Defaults to `10`.

    Returns:
        A batch is `images`, an array of shape `(n, height, width, channels)` as the source
        stores it (`uint8` or `float32`); with labels `(images, labels)`, labels `int32` of
        shape `(n,)`.

    Raises:
        TypeError: If `source` is no `ImageSource`.
        ValueError: If an argument is out of range, or labels are asked for and there are none.

    Example:
    >>> from keras_vqvae.data import ArraySource
    >>> source = ArraySource(np.arange(5 * 16, dtype="uint8").reshape(5, 4, 4))
    >>> batches = ImageBatches(source, batch_size=2, shuffle=True, seed=1)
    >>> [batch.shape for batch in batches]
    [(2, 4, 4, 1), (2, 4, 4, 1), (1, 4, 4, 1)]
    >>> rest = ImageBatches(source, batch_size=2, shuffle=True, seed=1, start=(0, 2))
    >>> len(rest), bool((rest[0] == batches[2]).all())
    (1, True)
    """

    def __init__(
        self,
        source: ImageSource,
        batch_size: int = 128,
        shuffle: bool = False,
        seed: int = 0,
        augmentation: Augment | None = None,
        with_labels: bool = False,
        start: tuple[int, int] = (0, 0),
        drop_remainder: bool = False,
        workers: int = 1,
        max_queue_size: int = 10,
    ) -> None:
        # Keras's queue hands what is left from a look at the shapes to the first epoch, so that
        # its order changes: with one worker it is not used.
        super().__init__(workers=1, use_multiprocessing=False, max_queue_size=max_queue_size)
        if not isinstance(source, ImageSource):
            raise TypeError(
                "`source` should be an ImageSource. Received: an object of type "
                f"{type(source).__name__}. Make one with `load_images(...)`"
            )
        self.source = source
        self.batch_size = checked_integer("batch_size", batch_size, 1)
        self.shuffle = shuffle
        self.seed = checked_integer("seed", seed, 0)
        if augmentation is not None and not callable(augmentation):
            raise TypeError(
                "`augmentation` should be None or a function of (images, seeds). "
                f"Received: `augmentation={augmentation!r}`"
            )
        self.augmentation = augmentation
        if with_labels and source.labels is None:
            raise ValueError(
                f"`with_labels` should be False for images without labels. Received: "
                f"`with_labels=True`, and {source.name!r} has none"
            )
        self.with_labels = with_labels
        self.drop_remainder = drop_remainder
        self._steps = len(source) // self.batch_size
        if not drop_remainder and len(source) % self.batch_size:
            self._steps += 1
        if not self._steps:
            raise ValueError(
                "`batch_size` should be at most the number of images when `drop_remainder=True`. "
                f"Received: `batch_size={batch_size}` for {len(source)} images"
            )
        threads = checked_integer("workers", workers, 1)
        ahead = checked_integer("max_queue_size", max_queue_size, 1)
        self._prefetching = Prefetching[Batch](threads, ahead) if threads > 1 else None
        self._lock = threading.RLock()
        self._order: tuple[int, npt.NDArray[np.int64]] | None = None
        self._within_epoch = False
        self._served: set[int] = set()  # indices of this epoch that were given
        self._part_is_over = False
        #: What went wrong when a batch was made, since `fit` began. TensorFlow wraps it in an error
        #: of its own.
        self.failure: Exception | None = None
        if not isinstance(start, tuple) or len(start) != 2:
            raise ValueError(f"`start` should be (epoch, step). Received: `start={start!r}`")
        self.set_epoch(*start)

    @property
    def epoch(self) -> int:
        """Number of the epoch that batches are given of."""
        return self._epoch

    @property
    def first_step(self) -> int:
        """Step of `batches[0]` within the epoch: 0, unless started inside one."""
        return self._first_step

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches of a whole epoch."""
        return self._steps

    def set_epoch(self, epoch: int, step: int = 0) -> None:
        """Goes to a step of an epoch.

        Args:
            epoch: Number of the epoch, at least 0.
            step: Step that is to be `batches[0]`, at most `steps_per_epoch` (which is the start
                of the next epoch). Defaults to `0`.
        """
        epoch, step = checked_integer("epoch", epoch, 0), checked_integer("step", step, 0)
        if step > self._steps:
            raise ValueError(
                f"`step` should be at most {self._steps}, the batches of an epoch. "
                f"Received: `step={step}`. Use the batch size of the run that is continued"
            )
        self._go_to(epoch + step // self._steps, step % self._steps)
        self._part_is_over = False

    def pass_over(self, steps: int) -> None:
        """Gives the first batches of this epoch as one image in all their places, read quickly.

        For one who counts all batches of an epoch and has no use for these, as a training that is
        continued inside the epoch. It ends with the epoch, and by `set_epoch`.

        Args:
            steps: how many batches, from `batches[0]` on.
        """
        self._go_to(self._epoch, self._first_step)
        self._passed_over = checked_integer("steps", steps, 0)

    @property
    def passed_over(self) -> int:
        """How many of the first batches are given as by `pass_over`; 0 when the epoch is over."""
        return self._passed_over

    def epoch_callback(self) -> Any:
        """A Keras callback that sets the epoch to the number that `fit` gives each one.

        With `steps_per_epoch` an epoch of `fit` is no pass over the batches: they then count passes
        themselves, and the callback leaves them alone.
        """
        return _FollowEpochs(self)

    def indices(self, index: int) -> npt.NDArray[np.int64]:
        """Which images of the source are in batch `index`, in the order of the batch."""
        return self._indices(*self._position(index))

    def __len__(self) -> int:
        return self._steps - self._first_step

    def __getitem__(self, index: int) -> Batch:
        epoch, step = self._position(index)
        try:
            if index < self._passed_over:
                batch = self._stand_in(epoch, self._indices(epoch, step))
            elif self._prefetching is None:
                batch = self._batch(epoch, step)
            else:
                steps = range(self._first_step, self._steps)
                batch = self._prefetching.get(self._batch, epoch, step, steps)
        except Exception as error:
            self.failure = error
            raise
        with self._lock:
            self._served.add(index)
        return batch

    def on_epoch_begin(self) -> None:
        """Called by Keras."""
        if self._part_is_over:
            raise ValueError(
                "The rest of an epoch should be fitted by itself: Keras would take its length, "
                f"{self._part_length} of {self._steps} batches, for the following ones, too. "
                f"Call `fit(..., initial_epoch={self._epoch - 1}, epochs={self._epoch})`, then "
                f"`fit(..., initial_epoch={self._epoch})`"
            )
        self._within_epoch = True

    def on_epoch_end(self) -> None:
        """Called by Keras, also before the first epoch and after a look at the shapes."""
        # With `steps_per_epoch` a pass goes over several of fit's epochs, and TensorFlow prefetches
        # between them, too: so what was given outside of an epoch counts until `fit` begins.
        if self._within_epoch and len(self._served) == len(self):
            self._part_is_over, self._part_length = self._first_step > 0, len(self)
            self._go_to(self._epoch + 1, 0)
        elif not self._within_epoch:
            self._part_is_over = False
            self._served.clear()
        self._within_epoch = False

    def _go_to(self, epoch: int, step: int) -> None:
        with self._lock:
            self._epoch, self._first_step = epoch, step
            self._passed_over = 0
            self._served.clear()
        if self._prefetching is not None:
            self._prefetching.forget()

    def _position(self, index: int) -> tuple[int, int]:
        with self._lock:
            if not 0 <= index < len(self):
                raise IndexError(f"`index` should be in [0, {len(self)}). Received: {index}")
            return self._epoch, self._first_step + int(index)

    def _indices(self, epoch: int, step: int) -> npt.NDArray[np.int64]:
        chosen = slice(step * self.batch_size, (step + 1) * self.batch_size)
        if not self.shuffle:
            return np.arange(len(self.source))[chosen]
        with self._lock:
            if self._order is None or self._order[0] != epoch:
                order = epoch_generator(self.seed, epoch).permutation(len(self.source))
                self._order = (epoch, order)
            return self._order[1][chosen]

    def _batch(self, epoch: int, step: int) -> Batch:
        return self._make(epoch, self._indices(epoch, step))

    def _stand_in(self, epoch: int, indices: npt.NDArray[np.int64]) -> Batch:
        """The first image of a batch in all its places."""
        one = self._make(epoch, indices[:1])
        batch: Batch = keras.tree.map_structure(lambda x: np.repeat(x, len(indices), axis=0), one)
        return batch

    def _make(self, epoch: int, indices: npt.NDArray[np.int64]) -> Batch:
        images = self.source.read(indices)
        if self.augmentation is not None:
            changed = self.augmentation(images, image_seeds(self.seed, epoch, indices))
            if np.shape(changed) != images.shape or changed.dtype != images.dtype:
                raise ValueError(
                    "`augmentation` should keep shape and dtype of the images. Received: "
                    f"{np.shape(changed)} {getattr(changed, 'dtype', type(changed))} for "
                    f"{images.shape} {images.dtype}"
                )
            images = changed
        if not self.with_labels:
            return images
        assert self.source.labels is not None  # checked in the constructor
        return images, self.source.labels[indices]


class _FollowEpochs(keras.callbacks.Callback):
    """Sets the epoch of batches at the start of each epoch of `fit`."""

    def __init__(self, batches: ImageBatches) -> None:
        super().__init__()
        self._batches = batches
        self._start = (batches.epoch, batches.first_step)
        self._lengths = (len(batches), batches.steps_per_epoch)  # of the first pass and of others

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if (self.params or {}).get("steps") not in (None, *self._lengths):
            return  # in the middle of a pass, most often
        # Where the start lies inside an epoch, that epoch begins there. A look at the shapes may
        # have been taken for the whole of a one-batch epoch: so this is set every time.
        step = self._start[1] if epoch == self._start[0] else 0
        if (epoch, step) != (self._batches.epoch, self._batches.first_step):
            self._batches._go_to(epoch, step)
            if step:
                self._batches._part_is_over = False
