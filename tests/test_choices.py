import keras
import pytest

from keras_vqvae.choices import Choice, get_choice
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
