import keras
import numpy as np
import pytest

from keras_vqvae.choices import Choice, check_count, check_number, check_share, get_choice
from keras_vqvae.codebooks import EMAUpdate, GradientUpdate, UpdateRule

NAMES = {"ema": EMAUpdate, "gradient": GradientUpdate}


def get(identifier):
    return get_choice(identifier, UpdateRule, NAMES, "update")


def test_by_name_config_and_instance():
    rule = EMAUpdate(decay=0.5)
    assert get("ema") == EMAUpdate()
    assert get(keras.saving.serialize_keras_object(rule)) == rule
    assert get(rule) is rule


@pytest.mark.parametrize("wrong", ["adam", None, 3, keras.optimizers.SGD()])
def test_the_error_says_what_may_be_given_and_what_was(wrong):
    with pytest.raises(ValueError, match=r"`update` should be one of \['ema', 'gradient'\]") as e:
        get(wrong)
    assert f"Received: update={wrong!r}" in str(e.value)


def test_a_choice_compares_by_kind_and_config():
    assert EMAUpdate(0.5) == EMAUpdate(decay=0.5)
    assert EMAUpdate(0.5) != EMAUpdate(0.6)
    assert GradientUpdate() != EMAUpdate()
    assert len({EMAUpdate(0.5), EMAUpdate(0.5), EMAUpdate(0.6)}) == 2
    assert repr(EMAUpdate(0.5)) == "EMAUpdate(decay=0.5)"
    assert Choice() != 3


@pytest.mark.parametrize("wrong", [0, -1, 1.5, 2.0, True, None, "3", np.float32(2.0)])
def test_counts_are_integers_from_one_on(wrong):
    with pytest.raises(ValueError, match=r"`n` should be a positive integer\. Received: n="):
        check_count("n", wrong)
    assert type(check_count("n", np.int32(3))) is int
    assert check_count("n", 0, least=0) == 0
    with pytest.raises(ValueError, match=r"an integer ≥ 2 of at most 4, as said\. Rec.*n=5"):
        check_count("n", 5, least=2, highest=4, hint=", as said")


def test_numbers_are_finite_and_no_booleans():
    assert check_number("x", np.float32(0.5)) == 0.5
    for wrong in (-1e-9, float("inf"), float("nan"), True, None, "1"):
        with pytest.raises(ValueError, match="`x` should be ≥ 0"):
            check_number("x", wrong)


def test_a_share_lies_within_its_bounds():
    for within, low, high in (
        ("[0, 1)", 1, 0),
        ("(0, 1)", 0, 0),
        ("(0, 1]", 0, 1),
        ("[0, 1]", 1, 1),
    ):
        assert check_share("p", np.float32(0.5), within) == 0.5
        for end, is_in in ((0, low), (1.0, high)):
            if is_in:
                assert check_share("p", end, within) == end
            else:
                with pytest.raises(ValueError, match="`p` should be in"):
                    check_share("p", end, within)
    for wrong in (-0.1, 1.1, float("nan"), None, "a", True):
        with pytest.raises(ValueError, match=r"`p` should be in \[0, 1\): a share. Received: p="):
            check_share("p", wrong, hint=": a share")
