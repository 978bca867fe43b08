"""The Python of the first page, and of the pages that no other test runs, runs as it stands there.

Numbers that would make it long are replaced by small ones; what a page takes for granted is given.
Those of docs/quantizers.md, priors.md and likelihoods.md are run in `layers/`, `models/` and
`likelihoods/`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import pytest
from runs_support import write_images
from support import grey_images, made_small, python_blocks

from keras_vqvae import callbacks, hypermodels, models, runs

PAGES = (
    "README.md",
    "docs/cli.md",
    "docs/data.md",
    "docs/evaluation.md",
    "docs/performance.md",
    "docs/tensorboard.md",
    "docs/troubleshooting.md",
    "docs/tuning.md",
)


@dataclass
class Example:
    """A block of a page.

    Attributes:
        given: makes the names that the page takes for granted.
        small: texts of the block, and what takes their place.
        holds: whether the names that the block leaves behind are as the page says.
        after: the block whose names it takes, run before it in the same test.
        uses_tensorflow: whether it is for that backend alone.
    """

    given: Callable[[], dict] = dict
    small: dict = field(default_factory=dict)
    holds: Callable[[dict], bool] = lambda names: True
    after: tuple | None = None
    uses_tensorflow: bool = False


TINY = {"num_embeddings": 4, "embedding_dim": 2, "widths": (4,)}
VQVAE_28 = {"num_embeddings=512": "num_embeddings=4, embedding_dim=2, widths=(4,)"}


def images_in_a_folder():
    write_images(Path("my_images"))
    return {}


def vqvae(side=8):
    model = models.convolutional_vqvae((side, side, 1), **TINY)
    model.compile("adam")
    return model


def small_run():
    """Settings of a run that are not on its page."""
    images_in_a_folder()
    once = runs.TrainingConfig(epochs=1, batch_size=4)
    prior = runs.PriorConfig(filters=4, residual_blocks=1, embedding_dim=4)
    return {"others": {"vqvae_training": once, "prior": prior, "prior_training": once}}


def a_prior_and_images():
    model, images = vqvae(), grey_images(4)
    prior = models.PixelCNN(model.code_shape, 4, filters=4, residual_blocks=1)
    return {"vqvae": model, "prior": prior, "images": images}


def classes_of_images():
    # More of them than the encoder gives numbers, 4×4×2.
    arrays = {name: grey_images(40) for name in ("images", "test_images", "train_images")}
    others = {"labels": np.arange(40) % 2, "samples": grey_images(40, seed=1)}
    return {"vqvae": vqvae(), **others, **arrays}


def a_model_to_watch():
    images = grey_images(16)
    names = {"model": vqvae(), "images": images, "validation_images": images[:4]}
    return {"keras": keras, "callbacks": callbacks, **names}


def a_model_of_a_folder():
    images_in_a_folder()
    return {"model": vqvae()}


def images_to_search_with():
    images = grey_images(8)
    return {"hypermodels": hypermodels, "train_images": images, "validation_images": images}


EXAMPLES = {
    ("README.md", 0): Example(
        small={
            ".as_array()": ".as_array()[:8]",
            "num_embeddings=128": "num_embeddings=8, embedding_dim=4, widths=(4, 4)",
            "fit(images, epochs=10)": "fit(images)",
            "vqvae.num_embeddings)": "vqvae.num_embeddings, filters=4, residual_blocks=1)",
            "fit(codes, epochs=10)": "fit(codes)",
            "sample(16)": "sample(2)",
        },
        holds=lambda names: (
            names["images"].dtype == np.uint8
            and names["codes"].shape == (8, 7, 7)
            and names["new_images"].shape == (2, 28, 28, 1)
        ),
    ),
    ("README.md", 1): Example(
        holds=lambda names: names["model"].compute_output_shape((2, 28, 28, 1)) == (2, 28, 28, 1)
    ),
    ("docs/cli.md", 0): Example(
        given=small_run,
        small={
            "image_size=64), vqvae=VQVAEConfig(num_embeddings=256)": (
                "image_size=8), vqvae=VQVAEConfig('vector', 4, 2, (4,)), **others"
            ),
            "sample(16": "sample(64",  # as many as training drew: nothing is compiled again
        },
        holds=lambda names: (
            names["images"].shape == (64, 8, 8, 1) and names["vqvae"].num_embeddings == 4
        ),
    ),
    ("docs/data.md", 0): Example(
        given=a_model_of_a_folder,
        small={"image_size=64": "image_size=8", "epochs=20": "epochs=2"},
        holds=lambda names: len(names["train"]) == 11,
    ),
    ("docs/data.md", 1): Example(
        given=lambda: {"epoch": 1, "step": 0},
        after=("docs/data.md", 0),
        holds=lambda names: names["batches"].epoch == 1,
    ),
    ("docs/data.md", 2): Example(
        after=("docs/data.md", 0), holds=lambda names: names["codes"].codes.shape == (12, 4, 4)
    ),
    ("docs/evaluation.md", 0): Example(
        given=a_prior_and_images, holds=lambda names: float(names["codes_cost"].result()) > 0
    ),
    ("docs/evaluation.md", 1): Example(given=classes_of_images),
    ("docs/performance.md", 0): Example(
        small=VQVAE_28,
        holds=lambda names: (
            names["vqvae"].encoder.compute_dtype == "bfloat16"
            and names["vqvae"].quantizer.embeddings.dtype == "float32"
        ),
    ),
    ("docs/performance.md", 1): Example(
        given=lambda: {"images": grey_images(8, side=28)},
        small={**VQVAE_28, "batch_size=256, epochs=10": "batch_size=4"},
        uses_tensorflow=True,
    ),
    ("docs/performance.md", 2): Example(
        given=images_in_a_folder,
        small={"image_size=64": "image_size=8"},
        holds=lambda names: names["batches"][0].shape == (12, 8, 8, 1),
    ),
    ("docs/performance.md", 3): Example(
        given=lambda: {"vqvae": vqvae()},
        holds=lambda names: Path("exported/codes.onnx").stat().st_size > 0,
        uses_tensorflow=True,
    ),
    ("docs/performance.md", 4): Example(
        given=lambda: {"images": grey_images(3)},
        after=("docs/performance.md", 3),
        holds=lambda names: (
            np.array_equal(names["codes"], names["vqvae"].encode(names["images"]))
            and names["reconstructions"].shape == (3, 8, 8, 1)
        ),
        uses_tensorflow=True,
    ),
    ("docs/tensorboard.md", 0): Example(
        given=a_model_to_watch,
        small={"epochs=50": "epochs=2"},
        holds=lambda names: any(Path("logs/first").rglob("events.*")),
    ),
    ("docs/tensorboard.md", 1): Example(
        after=("docs/tuning.md", 1),
        holds=lambda names: any(Path("runs/search/tensorboard").rglob("events.*")),
    ),
    ("docs/tensorboard.md", 2): Example(
        given=a_model_to_watch,
        holds=lambda names: any(Path("logs/first/graph").rglob("events.*")),
        uses_tensorflow=True,
    ),
    ("docs/troubleshooting.md", 0): Example(),
    ("docs/troubleshooting.md", 1): Example(given=lambda: {"vqvae": vqvae()}),
    ("docs/tuning.md", 1): Example(
        given=images_to_search_with,
        small={
            "(28, 28, 1), num_embeddings=(64, 1024)": (
                "(8, 8, 1), num_embeddings=(4, 8), embedding_dim=2, width=4, residual_blocks=0"
            ),
            "trials=30": "trials=1",
            "epochs=10": "epochs=1",
        },
        holds=lambda names: isinstance(names["config"], runs.RunConfig),
    ),
}

NOT_RUN = {
    ("docs/tensorboard.md", 3): "run in layers/test_quantizer_docs.py",
    ("docs/tuning.md", 0): "a chief and two workers take a minute; run in hypermodels/, slow",
    (
        "docs/tuning.md",
        2,
    ): "a Hyperband of many trials; run in hypermodels/test_prior_hypermodel.py",
}


def test_every_block_is_run_or_has_a_reason():
    blocks = {(page, i) for page in PAGES for i in range(len(python_blocks(page)))}
    assert blocks == {*EXAMPLES, *NOT_RUN}
    assert not {*EXAMPLES} & {*NOT_RUN}


def chains():
    """Lists of blocks: one that is after no other, and those that follow it, each once."""
    found = {key: [key] for key, example in EXAMPLES.items() if example.after is None}
    for key, example in EXAMPLES.items():
        if example.after is not None:
            next(chain for chain in found.values() if example.after in chain).append(key)
    return list(found.values())


def name_of(chain):
    return "+".join(f"{Path(page).stem}-{number}" for page, number in chain)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # of tf2onnx
@pytest.mark.parametrize("chain", chains(), ids=name_of)
def test_blocks_do_what_their_page_says(chain, tmp_path, monkeypatch):
    if EXAMPLES[chain[0]].uses_tensorflow and keras.backend.backend() != "tensorflow":
        pytest.skip("uses TensorFlow itself")
    monkeypatch.chdir(tmp_path)
    names = {}
    for page, number in chain:
        example = EXAMPLES[page, number]
        names.update(example.given())
        exec(made_small(python_blocks(page)[number], example.small), names)
        assert example.holds(names)
