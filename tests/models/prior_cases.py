"""The priors that all tests of priors run over: each kind, and each kind of condition and code."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from causal_support import random_codes, scale_weights
from support import normal

from keras_vqvae import models

SMALL: dict[str, tuple[Any, dict[str, Any]]] = {
    "pixelcnn": (
        models.PixelCNN,
        {"filters": 8, "residual_blocks": 2, "embedding_dim": 6, "kernel_size": 5},
    ),
    "gated": (
        models.GatedPixelCNN,
        {"filters": 6, "blocks": 2, "embedding_dim": 5, "hidden_dim": 8, "first_kernel_size": 5},
    ),
    "pixelsnail": (
        models.PixelSNAIL,
        {
            "filters": 6,
            "blocks": 1,
            "num_heads": 2,
            "embedding_dim": 5,
            "hidden_dim": 16,
            "first_kernel_size": 3,
        },
    ),
    "transformer": (models.TransformerPrior, {"hidden_dim": 6, "blocks": 2, "num_heads": 2}),
}

CONDITIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "labels": {"num_classes": 3},
    "dropped_labels": {"num_classes": 3, "label_dropout": 0.3},
    "vector": {"condition_shape": (2,)},
    "labels_and_grid": {"num_classes": 3, "condition_shape": (2, 1, 2)},
    "depths": {"depth": 3},
    "depths_of_several_sizes": {"depth": 3, "num_embeddings": (5, 2, 4), "num_classes": 3},
    "one_depth": {"depth": 1},
}


@dataclass(frozen=True)
class PriorCase:
    """A prior and how to make it, with weights large enough for all logits to differ."""

    kind: str
    options: dict[str, Any] = field(default_factory=dict)

    def make(self, code_shape=(4, 5), num_embeddings=5, scale=1.5, **more):
        cls, arguments = SMALL[self.kind]
        arguments = {**arguments, **self.options, **more}
        depth = arguments.pop("depth", None)
        num_embeddings = arguments.pop("num_embeddings", num_embeddings)
        shape = code_shape if depth is None else (*code_shape, depth)
        prior = cls(shape, num_embeddings, **arguments)
        return scale_weights(prior, scale) if scale else prior

    @staticmethod
    def conditions(prior, count, seed=0):
        """What a prior is conditioned on, for `count` grids."""
        found = {}
        if prior.num_classes:
            found["labels"] = (np.arange(count) % prior.num_classes).astype("int32")
        if prior.condition_shape:
            found["condition"] = normal((count, *prior.condition_shape), seed + 50)
        return found

    def data(self, prior, count, seed=0):
        """`(x, y)` as `fit` takes them."""
        found = tuple(self.conditions(prior, count, seed).values())
        y = None if not found else found[0] if len(found) == 1 else found
        return random_codes(prior, count, seed), y


# Conditions and depths are the work of the base class: one kind goes through all of them, the
# others through those that touch every part.
EVERYWHERE = ("labels_and_grid", "depths_of_several_sizes")
KINDS = {kind: PriorCase(kind) for kind in SMALL}
CASES = {
    f"{kind}-{name}": PriorCase(kind, options)
    for kind in SMALL
    for name, options in CONDITIONS.items()
    if kind == "gated" or name in EVERYWHERE
}
FEW = {
    name: case
    for name, case in CASES.items()
    if name == "gated-labels_and_grid" or name.endswith("depths_of_several_sizes")
}
# Labels, conditions, depths and tables of several sizes, in two models.
TWO = {name: CASES[name] for name in ("gated-labels_and_grid", "pixelcnn-depths_of_several_sizes")}

# What the base class does for all alike, and no trunk has a part in.
one_kind = pytest.mark.parametrize("case", [KINDS["pixelcnn"]], ids=["pixelcnn"])
each_kind = pytest.mark.parametrize("case", KINDS.values(), ids=KINDS)


def slow_but(*quick):
    """Each kind, for what takes seconds and differs little; all but a few are slow tests."""
    return pytest.mark.parametrize(
        "case",
        [
            pytest.param(case, id=name, marks=[] if name in quick else [pytest.mark.slow])
            for name, case in KINDS.items()
        ],
    )


each_of_two = pytest.mark.parametrize("case", TWO.values(), ids=TWO)
each_of_few = pytest.mark.parametrize("case", FEW.values(), ids=FEW)
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
