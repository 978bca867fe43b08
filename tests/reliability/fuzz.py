"""Files with random damage: each gives a documented error, or the right result."""

import io
import json
import os
import random
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

from keras_vqvae import data

MARK = "fuzz_was_here"
# What a tampered file would have run. None may.
EVIL = {
    "module": "os",
    "class_name": "system",
    "config": {"command": f"touch {MARK}"},
    "registered_name": "system",
}
LAMBDA = {
    "module": "builtins",
    "class_name": "function",
    "config": "lambda",
    "registered_name": "function",
}


class SurpriseError(Exception):
    """A file that gave neither a documented error nor the right result."""


def mutate(content: bytes, number: int) -> bytes:
    """One of many kinds of damage, decided by the number."""
    draw = random.Random(number)
    changed = bytearray(content)
    kind = draw.choice(["flip", "flips", "cut", "zeros", "noise", "twice", "removed", "swapped"])
    at = draw.randrange(len(changed))
    length = min(draw.choice([1, 8, 64, 512]), len(changed) - at)
    if kind == "flip":
        changed[at] ^= 1 << draw.randrange(8)
    elif kind == "flips":
        for _ in range(draw.randrange(2, 20)):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
    elif kind == "cut":
        del changed[at:]
    elif kind == "zeros":
        changed[at : at + length] = bytes(length)
    elif kind == "noise":
        changed[at : at + length] = draw.randbytes(length)
    elif kind == "twice":
        changed[at:at] = changed[at : at + length]
    elif kind == "removed":
        del changed[at : at + length]
    else:
        other = draw.randrange(len(changed))
        changed[at], changed[other] = changed[other], changed[at]
    return bytes(changed)


# -- images -------------------------------------------------------------------------------------


def image_files() -> dict:
    """A whole file of each format."""
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    files = {}
    for suffix in ("png", "jpg", "webp", "bmp", "gif"):
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, {"jpg": "JPEG"}.get(suffix, suffix.upper()))
        files[suffix] = content.getvalue()
    return files


def try_image(number: int, folder: Path) -> str:
    """A folder of one damaged image and a whole one."""
    files = image_files()
    suffix = sorted(files)[number % len(files)]
    folder.mkdir(parents=True, exist_ok=True)
    whole, damaged = folder / "b.png", folder / f"a.{suffix}"
    whole.write_bytes(files["png"])
    damaged.write_bytes(mutate(files[suffix], number))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = data.FolderSource(folder, image_size=8, color="rgb")
            images = source.as_array()
    except ValueError as error:
        return _documented(error, folder)
    finally:
        damaged.unlink()
    if images.shape[1:] != (8, 8, 3) or images.dtype != np.uint8 or not len(images):
        raise SurpriseError(f"images of shape {images.shape}, {images.dtype}")
    return "left out or replaced, and listed" if source.skipped else "decoded"


# -- codes --------------------------------------------------------------------------------------

CODES = np.random.default_rng(1).integers(0, 200, (20, 4, 4)).astype("int32")


def try_codes(number: int, folder: Path) -> str:
    """A code file: damaged as a whole, or one of its arrays with new checksums."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "codes.npz"
    data.save_codes(path, CODES, num_embeddings=200, model_fingerprint="f", labels=CODES[:, 0, 0])
    tampered = number % 2 == 1
    path.write_bytes(
        _tampered(path, number, ("codes.npy", "about.npy", "labels.npy"))
        if tampered
        else mutate(path.read_bytes(), number)
    )
    try:
        found = data.load_codes(path, model_fingerprint="f")
    except ValueError as error:
        return _documented(error, path)
    # Another content with right checksums is another file; it must be one of codes.
    if found.codes.dtype != np.int32 or found.codes.min() < 0 or found.codes.max() >= 200:
        raise SurpriseError("codes out of range")
    changed = [
        name
        for name, ours, theirs in (
            ("codes", found.codes, CODES),
            ("labels", found.labels, CODES[:, 0, 0]),
            ("number of codes", found.num_embeddings, 200),
        )
        if not np.array_equal(ours, theirs)
    ]
    if changed and not tampered:
        raise SurpriseError(f"other {' and '.join(changed)} than were saved")
    if changed:
        return f"loaded: other {' and '.join(changed)}, with right checksums"
    return "loaded as it was"


# -- models -------------------------------------------------------------------------------------


def small_model(path: Path) -> list:
    """Writes a `.keras` file; returns the values in it."""
    from keras_vqvae import models
    from keras_vqvae.runs.checkpoints import save_model

    model = models.convolutional_vqvae((4, 4, 1), num_embeddings=4, embedding_dim=2, widths=(4,))
    save_model(model, path)
    return [np.array(w) for w in model.weights]


def try_model(number: int, whole: Path, values: list, folder: Path) -> str:
    """A model file: damaged as a whole, or its configuration with new checksums."""
    from keras_vqvae.runs.checkpoints import load_model

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.keras"
    tampered = number % 4 == 3
    path.write_bytes(
        _tampered(whole, number, ("config.json", "metadata.json"))
        if tampered
        else mutate(whole.read_bytes(), number)
    )
    before = set(os.listdir())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = load_model(path)
    except ValueError as error:
        return _documented(error, path)
    finally:
        if MARK in os.listdir() or set(os.listdir()) - before:
            raise SurpriseError("something was run")
    found = [np.array(w) for w in model.weights]
    if len(found) != len(values) or not all(map(np.array_equal, found, values)):
        raise SurpriseError("other weights than were saved")
    return "loaded as it was"


def _tampered(path: Path, number: int, members: tuple) -> bytes:
    """The file with one member changed, and a checksum that fits."""
    draw = random.Random(number)
    chosen = draw.choice(members)
    written = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(written, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == chosen:
                json_like = name.endswith(".json") and draw.random() < 0.6
                content = _other_json(content, draw) if json_like else mutate(content, number)
            new.writestr(name, content)
    return written.getvalue()


def _other_json(content: bytes, draw: random.Random) -> bytes:
    """Valid JSON with one value changed, removed, or exchanged for something to be run."""
    tree = json.loads(content)
    places = []

    def visit(node):
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], dict | list):
                visit(node[key])

    visit(tree)
    node, key = draw.choice(places)
    kind = draw.choice(["evil", "lambda", "removed", "number", "text", "none", "huge"])
    if kind == "removed":
        del node[key]
    else:
        values = {"evil": EVIL, "lambda": LAMBDA, "number": -1, "text": "x", "none": None}
        node[key] = values.get(kind, 10**12)
    return json.dumps(tree).encode()


def _documented(error: ValueError, path: Path) -> str:
    text = str(error)
    if str(path) not in text:
        raise SurpriseError(f"an error that does not say what file it is about: {text}") from error
    return "refused by a ValueError that names the file"


def fuzz(count: int, folder: Path, first: int = 0) -> dict:
    """What happened to so many of each kind, counted."""
    numbers = range(first, first + count)
    whole = folder / "whole.keras"
    folder.mkdir(parents=True, exist_ok=True)
    values = small_model(whole)
    return {
        "image files": Counter(try_image(n, folder / "images") for n in numbers),
        "code files": Counter(try_codes(n, folder / "codes") for n in numbers),
        ".keras files": Counter(try_model(n, whole, values, folder / "models") for n in numbers),
    }
