"""Ctrl-C in a run: which step is the last, and that nothing is lost or begun after it."""

import os
import signal
import threading

import keras
import pytest
from events_for_tests import scalars
from runs_support import tiny_config, write_images

from keras_vqvae.runs import Run
from keras_vqvae.runs.interrupting import first_interrupt


class ControlC(keras.callbacks.Callback):
    """Presses Ctrl-C at the end of validation in an epoch, counted from 0, or of the training."""

    def __init__(self, epoch=None):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_test_end(self, logs=None):
        if self.now == self.epoch:
            os.kill(os.getpid(), signal.SIGINT)

    def on_train_end(self, logs=None):
        if self.epoch is None:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def ordinary_interrupts():
    """As in a program that a shell has in front; one in the background ignores Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_process_that_ignores_interrupts_goes_on_ignoring_them(ordinary_interrupts):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with first_interrupt(lambda: None):
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_the_first_interrupt_is_noted_and_the_second_is_ordinary(ordinary_interrupts):
    noted = []
    before = signal.getsignal(signal.SIGINT)

    def work():
        os.kill(os.getpid(), signal.SIGINT)
        assert noted == [1]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        raise ZeroDivisionError  # goes on as it is

    with pytest.raises(ZeroDivisionError), first_interrupt(lambda: noted.append(1)):
        work()
    assert noted == [1]
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_changes_no_handler():
    before, found = signal.getsignal(signal.SIGINT), []

    def work():
        with first_interrupt(lambda: None):
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]


def test_an_interrupt_that_comes_too_late_to_be_noticed_is_not_lost(ordinary_interrupts):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), first_interrupt(lambda: None):
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_after_the_last_epoch_ends_the_run_before_the_next_stage(
    ordinary_interrupts, tmp_path
):
    run = Run.create(tmp_path / "run", tiny_config(write_images(tmp_path / "images"), (2, 1)))
    with pytest.raises(KeyboardInterrupt):
        run.train(verbose=0, callbacks=[ControlC()])
    assert run.progress("vqvae").kept == "epoch 2"
    assert not run.files.has_begun("prior")
    # Nothing of the stage is left to train.
    run.train("vqvae", verbose=0, callbacks=[ControlC()])
    assert run.finished("vqvae")


def test_event_files_have_every_epoch_of_a_run_that_was_interrupted_at_the_end_of_one(
    ordinary_interrupts, tmp_path
):
    run = Run.create(tmp_path / "run", tiny_config(write_images(tmp_path / "images"), (3, 1)))
    with pytest.raises(KeyboardInterrupt):
        run.train("vqvae", verbose=0, tensorboard=True, callbacks=[ControlC(epoch=1)])
    assert run.progress("vqvae").kept == "epoch 2"
    folder = run.files.tensorboard / "vqvae"
    assert list(scalars(folder / "validation", "epoch_loss")) == [0, 1]
    Run.open(run.directory).train("vqvae", verbose=0, tensorboard=True)
    losses = scalars(folder / "validation", "epoch_loss")
    assert losses == pytest.approx(
        {i: row["val_loss"] for i, row in enumerate(run.progress("vqvae").history)}
    )
