"""The goldens themselves."""

import numpy as np
import pytest
from goldens import FILE


def test_it_is_small_and_says_what_made_it():
    assert FILE.stat().st_size < 200_000
    with np.load(FILE, allow_pickle=False) as stored:
        names = [text.split()[0] for text in stored["versions"].tolist()]
        assert names == ["vector-quantize-pytorch", "torch", "numpy"]
        assert all(np.isfinite(stored[n]).all() for n in stored.files if n != "versions")


def test_made_again_it_is_the_same():
    pytest.importorskip("vector_quantize_pytorch", reason="needs the extra `oracle`")
    from make_goldens import make

    again = make()
    with np.load(FILE, allow_pickle=False) as stored:
        assert set(stored.files) == {*again, "versions"}
        for name, value in again.items():
            if value.dtype.kind == "f":
                # Another processor adds up in another order; sixty steps and an inverse in between.
                np.testing.assert_allclose(value, stored[name], rtol=1e-4, atol=1e-5, err_msg=name)
            else:
                np.testing.assert_array_equal(value, stored[name], err_msg=name)
