"""Pictures beside the results."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def saved_figure(path: Path, size: tuple[float, float], panels: int = 1) -> Iterator[Any]:
    """A figure of Matplotlib that is written to `path` at the end of the block.

    Args:
        path: of the picture.
        size: width and height in inches.
        panels: how many there are, side by side.

    Yields:
        The figure, whose `axes` are the panels.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, _ = plt.subplots(1, panels, figsize=size, layout="constrained")
    yield figure
    figure.savefig(path, dpi=130)
    plt.close(figure)
