"""Whatever is public has a case in the contract suite."""

import ast
import inspect
import re

import contract_cases
import keras
import numpy as np
import pytest
from support import normal, to_numpy

from keras_vqvae import codebooks, layers, likelihoods, metrics, models


def public_classes(package):
    return [obj for name in package.__all__ if inspect.isclass(obj := getattr(package, name))]


@pytest.mark.parametrize(
    "package", [codebooks, layers, likelihoods, metrics, models], ids=lambda p: p.__name__
)
def test_every_public_class_has_a_case(package):
    """Trap 25. So each is made, and trained if it can be, by the tests beside this file."""
    covered = {cls for case in contract_cases.ALL for cls in case.covers}
    missing = set(public_classes(package)) - covered - contract_cases.ABSTRACT
    names = sorted(cls.__name__ for cls in missing)
    assert not names, f"no case in tests/contract/*_cases.py for {names}"


@pytest.mark.parametrize("argument", ["update", "revival", "distance", "assignment", "estimator"])
def test_trap_25_every_name_that_an_option_lists_can_be_made_and_trained(argument):
    with pytest.raises(ValueError, match=f"`{argument}` should be one of") as error:
        layers.VectorQuantizer(4, **{argument: "no such"})
    listed = re.search(r"one of \[(.*?)\]", str(error.value)).group(1)
    names = ast.literal_eval(f"[{listed}]")
    assert len(names) >= 2
    for name in names:
        layer = layers.VectorQuantizer(4, **{argument: name})
        assert np.isfinite(to_numpy(layer(normal((6, 2)), training=True))).all(), name


def test_case_names_are_unique():
    names = [case.name for case in contract_cases.ALL]
    assert len(set(names)) == len(names)


def test_abstract_classes_are_bases_of_covered_ones_or_results():
    covered = {cls for case in contract_cases.ALL for cls in case.covers}
    for base in contract_cases.ABSTRACT:
        is_base = any(issubclass(cls, base) for cls in covered)
        assert is_base or issubclass(base, (tuple, keras.utils.PyDataset)), base
