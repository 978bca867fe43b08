"""Faults, one after another, and what happened: the rows of the table in docs/reliability.md."""

import contextlib
import errno
import io
import os
import resource
import shutil
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
from runs_support import tiny_config, write_images
from support import invoke

from keras_vqvae.cli import main
from keras_vqvae.cli.application import _report
from keras_vqvae.cli.training import ending
from keras_vqvae.runs import DataConfig, Run, TrainingConfig
from reliability.kills import hashes

EPOCHS = 6


class At(keras.callbacks.Callback):
    """Does something at one event of one epoch, counted from 0."""

    def __init__(self, epoch: int, event: str, action: Callable[[], None]) -> None:
        super().__init__()
        self._epoch, self._event, self._action, self._now = epoch, event, action, -1

    def on_epoch_begin(self, epoch, logs=None):
        self._now = epoch
        self._act("epoch_begin")

    def on_train_batch_end(self, batch, logs=None):
        self._act(f"train_batch {batch}")

    def on_test_batch_end(self, batch, logs=None):
        self._act(f"test_batch {batch}")

    def _act(self, event: str) -> None:
        if (self._now, event) == (self._epoch, self._event):
            self._action()


@dataclass
class Fault:
    """Something that goes wrong in training.

    Args:
        name: for the table.
        epoch: in which, from 0.
        event: at which event of it.
        act: does it to a run.
        undo: puts right what was outside the run.
        says: what the one line of the error should say.
        kept: what should be kept then, or several of which one should.
    """

    name: str
    epoch: int
    event: str
    act: Callable[[Run], None]
    undo: Callable[[Run], None]
    says: str
    kept: str


def nothing(run: Run) -> None:
    """For what needs no repair."""


def control_c(run: Run) -> None:
    os.kill(os.getpid(), signal.SIGINT)


def full_disk(run: Run) -> None:
    # No file can be longer than 4 KiB: the system refuses, as it does on a full disk.
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))


def free_disk(run: Run) -> None:
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


_open = os.open


def read_only(run: Run) -> None:
    # In place of a mount, which needs rights that tests do not have.
    def refuse(path, flags, *rest, **more):
        if flags & os.O_CREAT and str(run.directory) in os.fspath(path):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(run.directory))
        return _open(path, flags, *rest, **more)

    os.open = refuse


def writable(run: Run) -> None:
    os.open = _open


def hide_data(run: Run) -> None:
    shutil.move(run.config.data.source, run.config.data.source + " away")


def show_data(run: Run) -> None:
    shutil.move(run.config.data.source + " away", run.config.data.source)


def power_cut(run: Run) -> None:
    # Between the two renames of a write, with half of another file beside.
    last = run.files.last("vqvae")
    half = last.with_name(f".{last.stem}.{'0' * 12}.tmp.keras")
    half.write_bytes(last.read_bytes()[:500])
    last.replace(run.files.previous("vqvae"))


def cut_last(run: Run) -> None:
    last = run.files.last("vqvae")
    last.write_bytes(last.read_bytes()[:-300])


def flip_last(run: Run) -> None:
    last = run.files.last("vqvae")
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)


TRAINING = [
    Fault(
        *("Ctrl-C in the first epoch", 0, "train_batch 1", control_c, nothing),
        *("interrupted: 0 of 6 epochs and 2 steps", "step 2 of epoch 1"),
    ),
    Fault(
        *("Ctrl-C while validating", 1, "test_batch 0", control_c, nothing),
        *("interrupted: 1 of 6 epochs and 5 steps", "step 5 of epoch 2"),
    ),
    Fault(
        *("The disk is full when a checkpoint is written", 2, "epoch_begin", full_disk, free_disk),
        *("error: File too large: ", "epoch 2"),
    ),
    Fault(
        *("The output folder becomes read-only", 3, "epoch_begin", read_only, writable),
        *("error: Read-only file system", "epoch 3"),
    ),
    Fault(
        *("The folder of images disappears", 3, "train_batch 1", hide_data, show_data),
        # Batches may be read ahead to the epoch's end.
        *("error: The folder of images", "epoch 3 or epoch 4"),
    ),
]
BEFORE = [
    ("Power cut between the two renames of a write", power_cut, ""),
    ("The last checkpoint is cut short", cut_last, "is damaged; the one before it is used"),
    ("One bit of the last checkpoint is changed", flip_last, "is damaged; the one before it is"),
]


def begin(folder: Path, name: str) -> Run:
    """A run whose data has 5 steps an epoch, and 2 of validation."""
    images = folder / "images"
    if not images.exists():
        write_images(images, count=24)
    training = TrainingConfig(epochs=EPOCHS, batch_size=4, schedule="cosine")
    config = tiny_config(
        images,
        vqvae_training=training,
        data=DataConfig(str(images), validation_fraction=0.25, horizontal_flip=True),
    )
    return Run.create(folder / name, config)


def train(run: Run, *callbacks) -> tuple:
    """Trains; the one line that the command would end with, and the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            run.train("vqvae", verbose=0, callbacks=callbacks)
            return "", [str(w.message) for w in caught]
        except (KeyboardInterrupt, Exception) as stopped:
            error = ending(run, "vqvae", stopped)
    with contextlib.redirect_stderr(io.StringIO()) as text:
        status = _report(error)
    assert status in (1, 2, 130)
    return text.getvalue(), [str(w.message) for w in caught]


def meet_faults(folder: Path) -> list:
    """One run that meets every fault of training; the rows, and whether it ended as another did."""
    # A shell's background job ignores Ctrl-C, and so would what it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return _meet_faults(folder)
    finally:
        signal.signal(signal.SIGINT, before)


def _meet_faults(folder: Path) -> list:
    whole = begin(folder, "whole")
    whole.train("vqvae", verbose=0)
    rows = []
    for fault in TRAINING:
        run = begin(folder, "faulty")
        action = At(fault.epoch, fault.event, lambda fault=fault, run=run: fault.act(run))
        try:
            line, _ = train(run, action)
        finally:
            fault.undo(run)
        rows.append(
            {
                "fault": fault.name,
                "line": line.replace(str(folder), "…").strip(),
                "lines": line.count("\n"),
                "expected": fault.says in line,
                "kept": run.progress("vqvae").kept,
                "expected_kept": run.progress("vqvae").kept in fault.kept.split(" or "),
            }
        )
    for name, act, says in BEFORE:
        run = begin(folder, "faulty")
        act(run)
        stop = At(EPOCHS - 1, "epoch_begin", lambda: (_ for _ in ()).throw(KeyboardInterrupt))
        _, found = train(run, stop)
        rows.append(
            {
                "fault": name,
                "line": " ".join(w.replace(str(folder), "…") for w in found) or "(no word)",
                "lines": 1,
                "expected": len(found) == bool(says) and says in " ".join(found),
                "kept": run.progress("vqvae").kept,
                "expected_kept": run.progress("vqvae").kept == f"epoch {EPOCHS - 1}",
            }
        )
    run = begin(folder, "faulty")
    train(run)
    ours, theirs = hashes(run.directory), hashes(whole.directory)
    rows.append(
        {
            "fault": "All of these, one after another, in one run",
            "different": [name for name in theirs if ours.get(name) != theirs[name]],
            "compared": len(theirs),
            "left_over": [p.name for p in run.directory.rglob(".*")],
        }
    )
    return rows


def damage(path: Path, how: str) -> None:
    """Cuts a file in half, changes a bit in its middle, or empties it."""
    content = bytearray(path.read_bytes())
    if how == "bit":
        content[len(content) // 2] ^= 1
    path.write_bytes({"cut": content[: len(content) // 2], "bit": content, "empty": b""}[how])


# Each file of a run, and a command that reads it.
FILES = {
    "config.json": ("info",),
    "metrics.json": ("info",),
    "vqvae.keras": ("decode",),
    "prior.keras": ("sample", "-n", "1"),
    "codes_validation.npz": ("evaluate",),
}


def damage_files(finished: Run, folder: Path) -> list:
    """What commands say of a run with one damaged file."""
    rows = []
    for name, command in FILES.items():
        for how in ("cut", "empty") if name.endswith(".json") else ("cut", "bit", "empty"):
            copy = shutil.copytree(finished.directory, folder / f"{name} {how}")
            damage(copy / name, how)
            arguments = [command[0], str(copy), *command[1:]]
            if command[0] == "decode":
                codes = str(finished.files.codes("validation"))
                arguments += [codes, "--output", str(folder / "decoded")]
            result = invoke(main, arguments)
            rows.append(
                {
                    "fault": f"`{name}`: {({'bit': 'one bit changed'}).get(how, how)}",
                    "line": result.stderr.replace(str(folder), "…").strip(),
                    "lines": result.stderr.count("\n"),
                    "expected": result.exit_code == 2 and name in result.stderr,
                }
            )
    return rows
