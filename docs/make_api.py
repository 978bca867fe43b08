"""Writes docs/api.md: every public name of the package, by room, with the first line of its text.

    python docs/make_api.py

`tests/test_docs_api.py` fails where the page is not what this makes of the code.
"""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("api.md")

# In the order in which one meets them.
ROOMS = (
    "layers",
    "codebooks",
    "models",
    "likelihoods",
    "sampling",
    "metrics",
    "data",
    "evaluation",
    "callbacks",
    "runs",
    "hypermodels",
    "distributions",
    "ops",
)

HEAD = """# Public names

{}

{}
"""

TEXT = (
    "Every name, by the module it is imported from, with what it is in a line; the link leads to",
    "its source, where shapes, errors and an example stand. `help(layers.VectorQuantizer)` shows",
    "the same. This page is made by `python docs/make_api.py`.",
)


def page() -> str:
    """The text of the page."""
    contents = " · ".join(f"[{room}](#{room})" for room in ROOMS)
    head = HEAD.format(" ".join(TEXT), contents)
    return head + "".join(_section(room) for room in ROOMS)


def _section(room: str) -> str:
    module = importlib.import_module(f"keras_vqvae.{room}")
    rows = [_row(name, getattr(module, name)) for name in sorted(module.__all__, key=str.lower)]
    lines = ["", f"## {room}", "", _first_line(module), "", "| | |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _row(name: str, value: Any) -> str:
    if not callable(value):
        return f"| `{name}` | {_of_constant(value)} |"
    source = Path(inspect.getsourcefile(inspect.unwrap(value)) or "")
    root = PAGE.parents[1]
    path = source.resolve().relative_to(root.resolve()).as_posix()
    return f"| [`{name}`](../{path}) | {_first_line(value)} |"


def _first_line(value: Any) -> str:
    """The first paragraph of the docstring, in one line."""
    paragraph = (inspect.getdoc(value) or "").split("\n\n")[0]
    return re.sub(r"\s+", " ", paragraph).replace("|", "\\|")


def _of_constant(value: Any) -> str:
    return f"constant: `{value!r}`".replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
