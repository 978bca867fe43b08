"""The table in TensorBoard's embedding projector."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from keras_vqvae.callbacks.event_files import EventFile
from keras_vqvae.callbacks.quantizers_of_model import epoch_counts, forget_counts
from keras_vqvae.callbacks.tensorboard_base import TensorBoardCallback
from keras_vqvae.checks import check_count
from keras_vqvae.data import atomic_write
from keras_vqvae.evaluation import save_image, to_bytes

__all__ = ["TensorBoardProjector"]

# TensorBoard's own limit on a side of the sprite, in pixels.
_SPRITE_SIDE = 8192
_TILE_SIDE = 64
_AT_ONCE = 512


class TensorBoardProjector(TensorBoardCallback):
    """Puts the codes into the embedding projector, with what each decodes to and its uses.

    A code's picture is a grid filled with it, decoded; of several codes a position, the others are
    left out (−1). Its `uses` are those in the epoch's training. Of each table the directory holds
    `codebook.tsv` (the vectors), `codebook_metadata.tsv` and `codebook_sprite.png`, and for all of
    them `projector_config.pbtxt`; with several tables they are `codebook_depth_0.tsv` and so on.
    What was there is replaced: the projector shows the latest table and no history.

    For `models.VQVAE` with any quantizer. A table that is not stored, as that of
    `layers.FiniteScalarQuantizer`, is looked up code by code.

    Args:
        log_dir: a directory of its own for each training, a *run* in TensorBoard.
        every: epochs from one writing to the next; it is done after the first and the last epoch
            too. Defaults to `10`.
        max_codes: the size of the largest table that is written. Defaults to `4096`.

    Raises:
        ValueError: for `every` or `max_codes` below 1; when training begins, for a model without a
            quantizer, or with a table of more codes.
        OSError: when training begins, if the directory cannot be written.

    Example:
    >>> import numpy as np, os, tempfile
    >>> from keras_vqvae import models
    >>> model = models.convolutional_vqvae((8, 8, 1), num_embeddings=6, widths=(4,))
    >>> model.compile("adam")
    >>> images = np.random.randint(0, 256, (8, 8, 8, 1)).astype("uint8")
    >>> folder = tempfile.mkdtemp()
    >>> history = model.fit(images, callbacks=[TensorBoardProjector(folder)], verbose=0)
    >>> np.loadtxt(os.path.join(folder, "codebook.tsv")).shape[0]
    6
    """

    def __init__(
        self, log_dir: str | os.PathLike[str], every: int = 10, max_codes: int = 4096
    ) -> None:
        super().__init__(log_dir, every)
        self.max_codes = check_count("max_codes", max_codes)

    def check(self) -> None:
        self.require("quantizer", "decode", "value_range")
        self.require_pictures(self.model)
        quantizer = self.model.quantizer
        largest = max(quantizer.table_sizes)
        if largest > self.max_codes or not quantizer.is_counted:
            raise ValueError(
                f"The quantizer '{quantizer.name}' ({type(quantizer).__name__}) has {largest} "
                f"codes, too many to write: max_codes={self.max_codes}. Raise `max_codes` if your "
                "browser bears it, or leave the projector out."
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        forget_counts([self.model.quantizer])

    def write(self, events: EventFile, epoch: int) -> None:
        from google.protobuf import text_format
        from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

        config, folder = ProjectorConfig(), Path(self.log_dir)
        for use in self.model.quantizer.tables():
            name = "_".join(["codebook", *use.name.split("/")]) if use.name else "codebook"
            vectors = _vectors(use)
            tiles = self._tiles(use, len(vectors))
            lines = [f"{i}\t{n:.0f}" for i, n in enumerate(epoch_counts(use))]
            entry = config.embeddings.add()
            entry.tensor_name = name
            entry.tensor_path = f"{name}.tsv"
            entry.metadata_path = f"{name}_metadata.tsv"
            entry.sprite.image_path = f"{name}_sprite.png"
            entry.sprite.single_image_dim.extend([tiles.shape[2], tiles.shape[1]])
            with atomic_write(folder / entry.tensor_path) as path:
                np.savetxt(path, vectors, "%.9g", "\t")
            with atomic_write(folder / entry.metadata_path) as path:
                path.write_text("\n".join(["code\tuses", *lines]) + "\n", encoding="utf-8")
            save_image(folder / entry.sprite.image_path, _sprite(tiles))
        # Last: whoever reads it finds what it names.
        with atomic_write(folder / "projector_config.pbtxt") as path:
            path.write_text(text_format.MessageToString(config), encoding="utf-8")

    def _tiles(self, use: Any, size: int) -> np.ndarray:
        """Grids filled with one code, decoded: uint8 `(K, h, w, 3)`, small enough for a sprite."""
        model = self.model
        several = model.quantizer.has_index_axis
        side = min(_TILE_SIDE, _SPRITE_SIDE // math.ceil(math.sqrt(size)))
        parts = []
        for first in range(0, size, _AT_ONCE):
            chosen = np.arange(first, min(first + _AT_ONCE, size), dtype="int32")
            codes = np.full((len(chosen), *model.code_shape), -1, "int32")
            where = (..., use.positions[0]) if several else ...
            codes[where] = chosen.reshape(-1, *(1,) * (codes[where].ndim - 1))
            parts.append(_small(to_bytes(model.decode(codes), model.value_range), side))
        return np.concatenate(parts)


def _vectors(use: Any) -> np.ndarray:
    """The codes of a table: float32 `(K, D)`."""
    # Of several scales, codes are grids; their table is a codebook all the same.
    table = getattr(use.quantizer, "codebook", use.quantizer)
    lookup = table.lookup if hasattr(table, "lookup") else table.decode
    size = int(use.quantizer.num_embeddings)
    return np.array(ops.convert_to_numpy(lookup(np.arange(size, dtype="int32"))))


def _small(images: np.ndarray, side: int) -> np.ndarray:
    """Images `(N, H, W, C)` as colours, made smaller where they are larger than `side`."""
    from PIL import Image

    images = np.broadcast_to(images, (*images.shape[:-1], 3))
    height, width = images.shape[1:3]
    if max(height, width) <= side:
        return images
    scale = side / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    return np.stack([np.asarray(Image.fromarray(x).resize(size)) for x in images])


def _sprite(tiles: np.ndarray) -> np.ndarray:
    """Tiles `(K, h, w, 3)` row by row in a square of tiles, white where there is none."""
    count, height, width, _ = tiles.shape
    side = math.ceil(math.sqrt(count))
    square = np.full((side * side, height, width, 3), 255, np.uint8)
    square[:count] = tiles
    rows = square.reshape(side, side, height, width, 3).swapaxes(1, 2)
    return rows.reshape(side * height, side * width, 3)
