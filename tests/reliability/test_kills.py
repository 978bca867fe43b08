import keras
import pytest

from reliability.kills import Whole, run_cases


@pytest.mark.slow
def test_runs_that_are_killed_end_as_one_that_is_not(tmp_path):
    """Four of the twenty cases of `run_all.py`."""
    backend = keras.backend.backend()
    whole = Whole.make(tmp_path, backend)
    assert {"vqvae.keras: weights and optimizer", "samples.png: pixels"} <= set(whole.hashes)
    cases = list(run_cases(whole, [0, 1, 2, 3], tmp_path, backend))
    assert len({case["killed"] for case in cases}) == 4
    for case in cases:
        assert not case["different"], case
        assert not case["left_over"], case
