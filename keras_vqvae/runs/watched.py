"""What a run shows in TensorBoard while it trains."""

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_vqvae import callbacks

if TYPE_CHECKING:
    from keras_vqvae.runs.run import Run

_SHOWN = 16
# The largest table for the projector, which has a picture of every code.
_MOST_CODES = 4096


def tensorboard_callbacks(run: "Run", stage: str) -> list[Any]:
    """Losses of every epoch, and every few epochs pictures of what a stage does.

    Args:
        run: the run.
        stage: `"vqvae"` or `"prior"`.
    """
    folder = run.files.tensorboard / stage
    found: list[Any] = [callbacks.TensorBoardScalars(folder)]
    if stage == "prior":
        labels: dict[str, Any] = {}
        if run.config.prior.conditional:
            labels = {"labels": np.arange(_SHOWN) % run.parts.num_classes()}
        samples = callbacks.TensorBoardSamples(
            folder, run.vqvae(), count=_SHOWN, seed=run.config.seed, **labels
        )
        return [*found, samples]
    source = (run.parts.validation or run.parts.train).spread(_SHOWN)
    images = source.as_array()
    found += [
        callbacks.TensorBoardReconstructions(folder, images),
        callbacks.TensorBoardCodeGrids(folder, images),
        callbacks.TensorBoardCodeUsage(folder),
        callbacks.TensorBoardGradientNorm(folder, images),
    ]
    if run.config.vqvae.num_embeddings <= _MOST_CODES:
        found.append(callbacks.TensorBoardProjector(folder, max_codes=_MOST_CODES))
    return found
