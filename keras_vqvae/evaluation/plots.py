"""Curves and bars as SVG."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["loss_plot", "rate_plot", "svg_plot", "usage_plot"]

_COLOURS = ("#2563a8", "#c2571a", "#3b8550", "#8a4f9e", "#777777")
# Text stays text, so that the file is small and can be read aloud; ids are the same every time.
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "keras_vqvae",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999999",
    "axes.labelcolor": "#444444",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
}


def usage_plot(counts: Any) -> bytes:
    """The share of each code, from the most used to the least, as an SVG file.

    A line shows where all would be if codes were used alike.

    Args:
        counts: how often each of the K codes occurred, `(K,)`; or `(Q, K)`, a curve for each depth.

    Raises:
        ValueError: if nothing was counted.

    Example:
    >>> usage_plot(np.array([5, 0, 3]))[:5]
    b'<?xml'
    """
    tables = np.atleast_2d(np.asarray(counts, np.float64))
    if not tables.sum() > 0:
        raise ValueError("`counts` should count something. Received: zeros")

    def draw(axes: Any) -> None:
        size = tables.shape[1]
        ranks = np.arange(1, size + 1)
        for depth, table in enumerate(tables):
            shares = 100.0 * np.sort(table)[::-1] / max(table.sum(), 1.0)
            colour = _COLOURS[depth % len(_COLOURS)]
            if len(tables) == 1:
                axes.stairs(shares, np.arange(size + 1) + 0.5, fill=True, color=colour, linewidth=0)
            else:
                axes.step(ranks, shares, where="mid", color=colour, label=f"depth {depth}")
        axes.axhline(100.0 / size, color="#444444", linewidth=1, linestyle=(0, (4, 3)))
        axes.text(size, 100.0 / size, "if used alike", va="bottom", ha="right", color="#444444")
        axes.set(
            xlabel="codes, the most used first", ylabel="% of positions", xlim=(0.5, size + 0.5)
        )
        axes.set_ylim(bottom=0)
        if len(tables) > 1:
            axes.legend(frameon=False)

    return svg_plot(draw)


def loss_plot(curves: Mapping[str, Sequence[float]], ylabel: str) -> bytes:
    """Numbers by epoch, as an SVG file.

    Args:
        curves: by name, one number an epoch; `val_x` has the colour of `x`, and dashes.
        ylabel: what the numbers are.

    Raises:
        ValueError: if there is no curve.

    Example:
    >>> loss_plot({"loss": [3.0, 2.0], "val_loss": [3.1, 2.2]}, "nats")[:5]
    b'<?xml'
    """
    if not curves:
        raise ValueError("`curves` should hold at least one. Received: none")

    def draw(axes: Any) -> None:
        names = list(dict.fromkeys(name.removeprefix("val_") for name in curves))
        for name, values in curves.items():
            epochs = np.arange(1, len(values) + 1)
            colour = _COLOURS[names.index(name.removeprefix("val_")) % len(_COLOURS)]
            is_validation = name.startswith("val_")
            axes.plot(
                epochs,
                np.asarray(values, np.float64),
                color=colour,
                linestyle=(0, (4, 2)) if is_validation else "-",
                marker="." if len(values) < 30 else None,
                label=f"{name.removeprefix('val_')}, validation" if is_validation else name,
            )
        axes.set(xlabel="epoch", ylabel=ylabel)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False)

    return svg_plot(draw)


def rate_plot(
    points: Mapping[str, tuple[float, float]],
    curves: Mapping[str, Sequence[tuple[float, float]]],
) -> bytes:
    """Distortion against rate, as an SVG file.

    Args:
        points: by name, `(bits per dimension, PSNR in dB)`.
        curves: by name, such pairs, which a line joins.

    Example:
    >>> rate_plot({"codes": (0.44, 21.8)}, {"WebP": [(1.0, 20.0), (2.0, 30.0)]})[:5]
    b'<?xml'
    """

    def draw(axes: Any) -> None:
        for name, pairs in curves.items():
            axes.plot(*zip(*pairs, strict=True), color="#777777", marker=".", label=name)
        for number, (name, (rate, psnr)) in enumerate(points.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            axes.plot([rate], [psnr], "o", color=colour, label=name)
        axes.set(xlabel="bits per dimension", ylabel="PSNR in dB")
        axes.set_xlim(left=0)
        axes.legend(frameon=False)

    return svg_plot(draw)


def svg_plot(draw: Callable[[Any], None]) -> bytes:
    """A drawing of one's own as an SVG file, in the style of the others, for `Page.plot`.

    Args:
        draw: is given Matplotlib's axes.

    Example:
    >>> svg_plot(lambda axes: axes.plot([1, 3, 2]))[:5]
    b'<?xml'
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 2.9), layout="constrained")
        draw(figure.subplots())
        buffer = io.BytesIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
    return buffer.getvalue()
