"""A page of tables and pictures that is one file."""

import base64
import html
import io
import os
from collections.abc import Sequence
from typing import Any, Self

import numpy.typing as npt

from keras_vqvae.data import atomic_write

__all__ = ["Page"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --soft: #5c6575; --line: #dfe3ea;
  --paper: #ffffff; --tint: #f5f7fa; --accent: #2563a8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #a2abba; --line: #363d4a;
  --paper: #171b22; --tint: #1f242d; --accent: #7db3ec; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 60rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; }
h2 { font-size: 1.2rem; margin: 2.75rem 0 0.4rem; padding-top: 0.9rem;
  border-top: 1px solid var(--line); }
p { margin: 0.3rem 0 0.8rem; max-width: 46rem; }
.lead, .note, figcaption { color: var(--soft); }
.note { border-left: 3px solid var(--accent); background: var(--tint); padding: 0.5rem 0.9rem; }
pre { background: var(--tint); padding: 0.5rem 0.9rem; margin: 0.3rem 0 0.8rem; max-width: 46rem;
  font-size: 0.85rem; white-space: pre-wrap; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: 0.8rem 0; }
td, th { padding: 0.28rem 1.1rem 0.28rem 0; text-align: left; vertical-align: baseline;
  border-bottom: 1px solid var(--line); font-weight: normal; }
th { white-space: pre-wrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.unit { color: var(--soft); }
.strips { overflow-x: auto; }
.strips table:not(.columns) th { color: var(--soft); font-size: 0.85rem; vertical-align: middle;
  width: 8rem; min-width: 6rem; }
table.columns th[scope="col"] { color: var(--soft); text-align: right; vertical-align: bottom;
  font-size: 0.85rem; white-space: normal; }
table.columns th, table.columns td { padding-right: 0.75rem; }
table.columns th[scope="row"] { white-space: pre; }
table.columns th[scope="col"]:first-child { text-align: left; }
.strips table:not(.columns) td, .strips table:not(.columns) th { border: 0;
  padding: 0.15rem 0.9rem 0.15rem 0; }
figure { margin: 0.9rem 0; }
figcaption { font-size: 0.85rem; }
img { display: block; max-width: 100%; height: auto; }
img.pixels { image-rendering: pixelated; }
.strips img { max-width: none; }
.plot { background: #ffffff; border: 1px solid var(--line); border-radius: 4px; padding: 0.4rem;
  width: 100%; max-width: 46rem; }
"""


class Page:
    """An HTML page in one file: pictures are inside it, it needs no network and no scripts.

    Every method adds to its end and returns the page. Texts are escaped.

    Args:
        title: of the page.
        lead: a line below it. Defaults to none.

    Example:
    >>> page = Page("Figures").section("Error").table([("MSE", "0.01", "on [0, 1]")])
    >>> '<td class="number">0.01</td>' in page.html()
    True
    """

    def __init__(self, title: str, lead: str = "") -> None:
        self.title = title
        self._body = [f"<h1>{html.escape(title)}</h1>"]
        if lead:
            self._body.append(f'<p class="lead">{html.escape(lead)}</p>')

    def section(self, title: str, text: str = "") -> Self:
        """A heading, and a paragraph below it."""
        self._body.append(f"<h2>{html.escape(title)}</h2>")
        return self.paragraph(text) if text else self

    def paragraph(self, text: str) -> Self:
        """A paragraph."""
        self._body.append(f"<p>{html.escape(text)}</p>")
        return self

    def note(self, text: str) -> Self:
        """A paragraph that stands out: something that is missing, or to be known."""
        self._body.append(f'<p class="note">{html.escape(text)}</p>')
        return self

    def command(self, line: str) -> Self:
        """A line for a shell, as it is typed."""
        self._body.append(f"<pre>{html.escape(line)}</pre>")
        return self

    def table(self, rows: Sequence[tuple[str, str, str]]) -> Self:
        """A table of names, numbers and units."""
        lines = (
            f'<tr><th scope="row">{html.escape(name)}</th><td class="number">{html.escape(number)}'
            f'</td><td class="unit">{html.escape(unit)}</td></tr>'
            for name, number, unit in rows
        )
        self._body.append(f"<table>{''.join(lines)}</table>")
        return self

    def columns(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Self:
        """A table with a header; the first column has names, the others numbers."""
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in header)
        lines = (
            f'<tr><th scope="row">{html.escape(row[0])}</th>'
            + "".join(f'<td class="number">{html.escape(cell)}</td>' for cell in row[1:])
            + "</tr>"
            for row in rows
        )
        self._body.append(
            f'<div class="strips"><table class="columns"><tr>{head}</tr>{"".join(lines)}</table>'
            "</div>"
        )
        return self

    def picture(self, pixels: npt.NDArray[Any], caption: str) -> Self:
        """A picture, uint8 `(H, W, 3)`, with a text below, which also stands in for it."""
        self._body.append(
            f"<figure>{_png(pixels, caption)}<figcaption>{html.escape(caption)}</figcaption>"
            "</figure>"
        )
        return self

    def strips(self, strips: Sequence[tuple[str, npt.NDArray[Any]]]) -> Self:
        """Pictures one below the other, uint8 `(H, W, 3)` each, with a name on the left."""
        rows = (
            f'<tr><th scope="row">{html.escape(name)}</th><td>{_png(pixels, name)}</td></tr>'
            for name, pixels in strips
        )
        self._body.append(f'<div class="strips"><table>{"".join(rows)}</table></div>')
        return self

    def plot(self, svg: bytes, caption: str) -> Self:
        """A drawing out of `evaluation.plots`, with a text below."""
        source = _data_uri("image/svg+xml", svg)
        text = html.escape(caption)
        self._body.append(
            f'<figure><img class="plot" alt="{text}" src="{source}"><figcaption>{text}</figcaption>'
            "</figure>"
        )
        return self

    def html(self) -> str:
        """The whole page."""
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{html.escape(self.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
            + "\n".join(self._body)
            + "\n</body>\n</html>\n"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the page, whole or not at all; an existing file is replaced."""
        with atomic_write(path) as temporary:
            temporary.write_text(self.html(), encoding="utf-8", errors="backslashreplace")


def _png(pixels: npt.NDArray[Any], alt: str) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    height, width = pixels.shape[:2]
    return (
        f'<img class="pixels" width="{width}" height="{height}" alt="{html.escape(alt)}" '
        f'src="{_data_uri("image/png", buffer.getvalue())}">'
    )


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
