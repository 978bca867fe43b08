"""TensorBoard's event files, written by tensorboard alone: no backend is asked."""

import io
import itertools
import os
import socket
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from keras_vqvae.data.files import writing_to

__all__ = ["EventFile"]

_COUNTER = itertools.count()
# TensorBoard draws about 30 bars; more buckets than this only cost space.
_MAX_BUCKETS = 1024


class EventFile:
    """An event file in a log directory: scalars, images, histograms, hyperparameters.

    It is written by the `tensorboard` package and needs no TensorFlow; none is imported. The
    directory has to be a local one.

    TensorBoard reads the event files of a directory one after another, and while a training runs
    does not come back to an earlier one. So there should be one writer for each directory:
    `EventFile.shared` gives the same file to all that ask for the same directory.

    Args:
        log_dir: the directory, made if needed. It is the name of a run in TensorBoard.

    Raises:
        OSError: if the directory cannot be made or written.

    Example:
    >>> import tempfile
    >>> events = EventFile(tempfile.mkdtemp())
    >>> events.scalar("loss", 0.5, step=0)
    >>> events.close()
    """

    # Weak: a training that was interrupted closes nothing.
    _open: "weakref.WeakValueDictionary[str, EventFile]" = weakref.WeakValueDictionary()

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self.log_dir = Path(log_dir)
        host, second = socket.gethostname(), int(time.time())
        name = f"events.out.tfevents.{second:010d}.{host}.{os.getpid()}.{next(_COUNTER)}"
        with writing_to(log_dir, "log_dir"):
            stream = (self.log_dir / name).open("xb")
        self.path = self.log_dir / name
        self._records = RecordWriter(stream)
        self._users = 1
        weakref.finalize(self, stream.close)
        self._write(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))

    @classmethod
    def shared(cls, log_dir: str | os.PathLike[str]) -> "EventFile":
        """The open event file of this directory, or a new one. Each user closes it once."""
        key = os.path.realpath(log_dir)
        events = cls._open.get(key)
        # The directory may have been removed since, for a run to be made anew.
        if events is None or not events.path.exists():
            events = cls._open[key] = cls(log_dir)
        else:
            events._users += 1
        return events

    def close(self) -> None:
        """Closes the file; one that is shared, when its last user does."""
        self._users -= 1
        if self._users == 0:
            self._records.close()
            key = os.path.realpath(self.log_dir)
            if self._open.get(key) is self:
                del self._open[key]

    def scalar(self, tag: str, value: float, step: int) -> None:
        """A number."""
        from tensorboard.plugins.scalar import summary_v2

        self.add(summary_v2.scalar_pb(tag, float(value)), step)

    def image(self, tag: str, pixels: Any, step: int) -> None:
        """A picture: uint8 `(height, width, 3)`, or `(height, width)` for grey.

        Raises:
            ValueError: for pixels of another kind; `evaluation.image_grid` makes them of images.
        """
        from PIL import Image
        from tensorboard.plugins.image import metadata

        pixels = np.asarray(pixels)
        if pixels.dtype != np.uint8 or (pixels.ndim != 2 and pixels.shape[2:] != (3,)):
            raise ValueError(
                "`pixels` should be uint8, of shape (height, width, 3), or (height, width) for "
                f"grey. Received: {pixels.dtype} of shape {pixels.shape}. "
                "`evaluation.image_grid` makes such a picture of images"
            )
        png = io.BytesIO()
        Image.fromarray(pixels).save(png, "PNG")
        height, width = pixels.shape[:2]
        content = [str(width).encode(), str(height).encode(), png.getvalue()]
        self._tensor(tag, content, metadata.create_summary_metadata("", ""), step)

    def code_histogram(self, tag: str, counts: Any, step: int) -> None:
        """How often each code was used: counts `(K,)`, drawn over the codes' indices.

        Neighbouring codes of a table of more than 1024 share a bucket.

        Raises:
            ValueError: for counts of another shape, or of no code.
        """
        from tensorboard.plugins.histogram import metadata

        counts = np.asarray(counts, np.float64)
        if counts.ndim != 1 or not len(counts):
            raise ValueError(
                "`counts` should have one number a code, shape (K,). "
                f"Received: shape {counts.shape}"
            )
        width = -(-len(counts) // _MAX_BUCKETS)
        left = np.arange(0, len(counts), width)
        right = np.minimum(left + width, len(counts))
        buckets = np.stack([left, right, np.add.reduceat(counts, left)], axis=1)
        self._tensor(tag, buckets, metadata.create_summary_metadata("", ""), step)

    def hyperparameters(self, values: dict[str, bool | int | float | str]) -> None:
        """Begins a trial of the HParams page."""
        from tensorboard.plugins.hparams import summary_v2

        # By default the name is a hash of the values, and equal trials are one row. Without a name
        # TensorBoard calls a trial as it calls the run: by the path below its own directory.
        self.add(summary_v2.hparams_pb(values, trial_id=""), 0)

    def end_trial(self, failed: bool = False) -> None:
        """Ends it."""
        # tensorboard's own function for this imports TensorFlow.
        from tensorboard.compat.proto import summary_pb2
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        status = api_pb2.STATUS_FAILURE if failed else api_pb2.STATUS_SUCCESS
        end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
        content = plugin_data_pb2.HParamsPluginData(session_end_info=end)
        summary = summary_pb2.Summary()
        summary.value.add(
            tag=metadata.SESSION_END_INFO_TAG,
            metadata=metadata.create_summary_metadata(content),
            tensor=metadata.NULL_TENSOR,
        )
        self.add(summary, 0)

    def add(self, summary: Any, step: int) -> None:
        """A `tensorboard.compat.proto.summary_pb2.Summary`, written at once."""
        from tensorboard.compat.proto import event_pb2

        self._write(event_pb2.Event(wall_time=time.time(), step=int(step), summary=summary))

    def _tensor(self, tag: str, content: Any, metadata: Any, step: int) -> None:
        from tensorboard.compat.proto import summary_pb2
        from tensorboard.util import tensor_util

        summary = summary_pb2.Summary()
        tensor = tensor_util.make_tensor_proto(content)
        summary.value.add(tag=tag, metadata=metadata, tensor=tensor)
        self.add(summary, step)

    def _write(self, event: Any) -> None:
        self._records.write(event.SerializeToString())
        self._records.flush()
