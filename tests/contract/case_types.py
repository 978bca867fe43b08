"""What a case of the contract suite is, by kind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest


@dataclass(frozen=True)
class Case:
    """Something public, and how to make one.

    Attributes:
        name: what the test is called by.
        covers: the classes (or functions) that this case stands for.
        make: makes a fresh, equal one at each call; takes Keras's keyword arguments (`dtype`).
    """

    name: str
    covers: tuple[Any, ...]
    make: Callable[..., Any]


@dataclass(frozen=True)
class LayerCase(Case):
    """A layer of one tensor. `inputs(seed)` gives a batch; `make` is as in `Case`.

    `output` picks the tensor to look at where a layer gives several.
    """

    inputs: Callable[[int], np.ndarray]
    output: Callable[[Any], Any] = lambda outputs: outputs


@dataclass(frozen=True)
class QuantizerCase(LayerCase):
    """A quantizer of vectors of length `dim`; also goes through all that layers go through.

    `draws` says that training draws the indices at random, for each position anew; `same_search` is
    `False` for one that searches otherwise in evaluation than in training. `option` marks an option
    of a class that has a case without it: it goes through the checks that options can break.
    """

    dim: int = 3
    draws: bool = False
    same_search: bool = True
    option: bool = False


@dataclass(frozen=True)
class ModelCase(Case):
    """A model. `data(count, seed)` gives NumPy training data; `loss_terms` are in its logs."""

    data: Callable[[int, int], np.ndarray]
    loss_terms: tuple[str, ...] = ("loss",)


@dataclass(frozen=True)
class MetricCase(Case):
    """A metric. `updates` are the argument tuples of successive `update_state` calls.

    `on_host` says that its state is in NumPy: it has no stateless calls, and before any update it
    has no result.
    """

    updates: tuple[tuple[Any, ...], ...]
    on_host: bool = False


@dataclass(frozen=True)
class LikelihoodCase(Case):
    """A likelihood of images with one or more channels."""


@dataclass(frozen=True)
class ChoiceCase(Case):
    """An option of a codebook: equal if its config is."""


def marked(cases: list[Any], *more: pytest.MarkDecorator) -> list[Any]:
    """The cases, with the mark `option`, and perhaps more, on those that are options."""
    return [
        pytest.param(case, marks=[pytest.mark.option, *more])
        if getattr(case, "option", False)
        else case
        for case in cases
    ]


def by_name(case: Case) -> str:
    """The test's name for a case."""
    return case.name


def keras_model(case: LayerCase, **kwargs: Any) -> keras.Model:
    """The layer in a functional model, behind one with weights, which its gradient must reach."""
    x = case.inputs(0)
    inputs = keras.Input(x.shape[1:], dtype=str(x.dtype))
    before = keras.layers.Dense(x.shape[-1], kernel_initializer="identity")
    return keras.Model(inputs, case.output(case.make(**kwargs)(before(inputs))))
