"""Whatever is public has a case in the contract suite."""

import inspect

import contract_cases
import keras
import pytest

from keras_vqvae import codebooks, layers, likelihoods, metrics, models


def public_classes(package):
    return [obj for name in package.__all__ if inspect.isclass(obj := getattr(package, name))]


@pytest.mark.parametrize(
    "package", [codebooks, layers, likelihoods, metrics, models], ids=lambda p: p.__name__
)
def test_every_public_class_has_a_case(package):
    covered = {cls for case in contract_cases.ALL for cls in case.covers}
    missing = set(public_classes(package)) - covered - contract_cases.ABSTRACT
    names = sorted(cls.__name__ for cls in missing)
    assert not names, f"no case in tests/contract/contract_cases.py for {names}"


def test_case_names_are_unique():
    names = [case.name for case in contract_cases.ALL]
    assert len(set(names)) == len(names)


def test_abstract_classes_are_bases_of_covered_ones_or_results():
    covered = {cls for case in contract_cases.ALL for cls in case.covers}
    for base in contract_cases.ABSTRACT:
        is_base = any(issubclass(cls, base) for cls in covered)
        assert is_base or issubclass(base, (tuple, keras.utils.PyDataset)), base
