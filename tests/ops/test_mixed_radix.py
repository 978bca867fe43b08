import keras
import numpy as np
import pytest
from support import to_numpy

from keras_vqvae.ops import check_index_bits, pack_digits, unpack_digits


def test_by_hand():
    # 1 + 0·2 + 4·(2·3)
    assert int(pack_digits(np.array([1, 0, 4]), (2, 3, 5))) == 25
    assert to_numpy(unpack_digits(np.array(25), (2, 3, 5))).tolist() == [1, 0, 4]


@pytest.mark.parametrize("radices", [(3,), (2, 2, 2), (4, 3, 5), (16, 2, 7)])
def test_it_is_a_bijection(radices):
    indices = np.arange(np.prod(radices))
    digits = to_numpy(unpack_digits(indices, radices))
    assert len({tuple(row) for row in digits}) == len(indices)
    assert (digits >= 0).all()
    assert (digits < radices).all()
    np.testing.assert_array_equal(to_numpy(pack_digits(digits, radices)), indices)
    np.testing.assert_array_equal(to_numpy(pack_digits(digits.T, radices, axis=0)), indices)
    # NumPy's order is the other way round: its last digit counts fastest.
    expected = np.ravel_multi_index(digits.T[::-1], radices[::-1])
    np.testing.assert_array_equal(expected, indices)


@pytest.mark.parametrize("radices", [(2,) * 30, (1024,) * 3, (7, 11, 13, 1001, 1000)])
def test_trap_15_thirty_bits_round_trip(radices):
    """float32 cannot tell neighbours apart above 2**24."""
    size = int(np.prod(radices))
    indices = np.array([0, 1, 2**24 - 1, 2**24 + 1, size - 2, size - 1], "int64")
    indices = indices[indices < size].astype("int32")
    digits = unpack_digits(indices, radices)
    np.testing.assert_array_equal(to_numpy(pack_digits(digits, radices)), indices)
    assert keras.backend.standardize_dtype(pack_digits(digits, radices).dtype) == "int32"


def test_more_than_thirty_bits_are_refused_with_the_remedy():
    check_index_bits((2,) * 30, "")
    with pytest.raises(ValueError, match=r"at most 2\*\*30 codes.* be 2\*\*31. Use two"):
        check_index_bits((2,) * 31, "Use two.")
