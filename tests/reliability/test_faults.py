import signal

import pytest
from runs_support import tiny_config, write_images

from keras_vqvae.runs import Run
from reliability.faults import damage_files, meet_faults


@pytest.mark.slow
def test_a_run_that_meets_every_fault_ends_as_one_that_meets_none(tmp_path):
    *faults, end = meet_faults(tmp_path)
    for row in faults:
        assert row["expected"], row
        assert row["lines"] == 1, row
        assert row["expected_kept"], row
    assert end["compared"] >= 8
    assert not end["different"]
    assert not end["left_over"]


@pytest.mark.slow
def test_a_damaged_file_of_a_run_is_named_in_one_line(tmp_path):
    run = Run.create(tmp_path / "run", tiny_config(write_images(tmp_path / "images")))
    run.train(verbose=0)
    for row in damage_files(run, tmp_path):
        assert row["expected"], row
        assert row["lines"] == 1, row
    # A model that is removed comes back from the checkpoint.
    weights = run.files.model("vqvae").read_bytes()
    run.files.model("vqvae").unlink()
    Run.open(run.directory).train(verbose=0)
    assert run.files.model("vqvae").read_bytes() == weights


def test_the_handler_of_interrupts_is_put_back(tmp_path, monkeypatch):
    def fail(*arguments):
        raise ZeroDivisionError

    monkeypatch.setattr("reliability.faults.begin", fail)
    mine = lambda number, frame: None  # noqa: E731
    before = signal.signal(signal.SIGINT, mine)
    try:
        with pytest.raises(ZeroDivisionError):
            meet_faults(tmp_path)
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)
