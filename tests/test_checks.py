import numpy as np
import pytest

from keras_vqvae.checks import check_count, check_number, check_share


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
