"""A small run that is killed at a random point, resumed, and compared with one that was not.

Processes of their own, a real SIGKILL, and the same command again. What is compared is read from
the files, without the package.
"""

import csv
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
EPOCHS = 5
# Both stages with all that has a state: dropout in the prior, k-means and revival in the table,
# images that are mirrored at random, a learning rate that falls. Within an epoch, a checkpoint
# about every 0.03 seconds.
SETTINGS = f"""
    --num-embeddings 8 --embedding-dim 4 --widths 8 --epochs {EPOCHS} --batch-size 16
    --schedule cosine --horizontal-flip --checkpoint-minutes 0.0005 --prior-conditional
    --prior-filters 8 --prior-residual-blocks 1 --prior-embedding-dim 4 --prior-dropout 0.2
    --prior-epochs {EPOCHS} --prior-batch-size 16 --seed 5
""".split()


def write_digits(path: Path) -> Path:
    """Real digits of 8x8 pixels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * 255 / 16).astype(np.uint8)
    np.savez(path, images=images[:400], labels=digits.target[:400].astype(np.int32))
    return path


@dataclass
class Watched:
    """A command that runs: its process, and what it has printed when."""

    process: subprocess.Popen
    lines: list = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    @classmethod
    def start(cls, data: Path, output: Path, backend: str = "tensorflow") -> "Watched":
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "keras_vqvae.cli", "train"),
                *("--data", str(data), "--output", str(output), *SETTINGS),
            ],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "PYTHONUNBUFFERED": "1",
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "KERAS_BACKEND": backend,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        watched = cls(process)
        threading.Thread(target=watched._read, daemon=True).start()
        return watched

    def _read(self) -> None:
        # Read to its end, or the command would wait; pipes are closed by whoever reads them.
        with self.process.stdout as lines:
            self._note(lines)

    def _note(self, lines: Iterable[str]) -> None:
        for line in lines:
            with self.changed:
                # Rows of figures belong to the line before them.
                if line.startswith(("Training", "Epoch", "Recons", "Evalu", "Encod", "Draw")):
                    self.lines.append((time.monotonic(), line.strip()))
                    self.changed.notify_all()
        with self.changed:
            self.lines.append((time.monotonic(), "end"))
            self.changed.notify_all()

    def wait_for(self, count: int, seconds: float = 600) -> None:
        """Until so many lines are printed, or the process ends."""
        with self.changed:
            self.changed.wait_for(lambda: len(self.lines) >= count or self._ended(), seconds)

    def _ended(self) -> bool:
        return bool(self.lines) and self.lines[-1][1] == "end"

    def finish(self, seconds: float = 600) -> str:
        """Waits for the end; returns what went to stderr."""
        with self.process.stderr as stream:
            errors = stream.read()
        assert self.process.wait(seconds) == 0, errors
        self.wait_for(10**6)
        return errors


@dataclass
class Whole:
    """The run that nothing interrupts."""

    data: Path
    directory: Path
    timeline: list
    hashes: dict

    @classmethod
    def make(cls, folder: Path, backend: str = "tensorflow") -> "Whole":
        folder.mkdir(parents=True, exist_ok=True)
        data = write_digits(folder / "digits.npz")
        watched = Watched.start(data, folder / "whole", backend)
        watched.finish()
        return cls(data, folder / "whole", watched.lines, hashes(folder / "whole"))


def kill_and_resume(whole: Whole, number: int, folder: Path, backend: str = "tensorflow") -> dict:
    """One case: what was killed, what was there then, and in what the result differs.

    The point is drawn by the case's number: one of the lines that the command prints from the start
    of training to its end, and a time after it, up to the next line.
    """
    draw = random.Random(number)
    count = draw.randrange(1, len(whole.timeline))
    share = draw.random()
    started, after = whole.timeline[count - 1][0], whole.timeline[count][0]
    delay = share * (after - started)
    for attempt in range(5):
        output = folder / f"killed_{number}_{attempt}"
        watched = Watched.start(whole.data, output, backend)
        watched.wait_for(count)
        time.sleep(delay)
        watched.process.send_signal(signal.SIGKILL)
        watched.process.wait()
        watched.process.stderr.close()
        watched.wait_for(10**6)
        if watched.process.returncode == -signal.SIGKILL:
            break
        delay /= 2  # the machine was faster this time, and all was done
    else:
        raise RuntimeError("the command ended before it was killed, five times")
    kept = progress(output)
    resumed = Watched.start(whole.data, output, backend)
    resumed.finish()
    found = hashes(output)
    return {
        "case": number,
        "killed": f"{whole.timeline[count - 1][1]}, {share:.0%} of the time to the next line",
        "kept": kept,
        "resumed": resumed.lines[0][1] if resumed.lines else "",
        "compared": len(whole.hashes),
        "different": sorted(
            name for name in {*found, *whole.hashes} if found.get(name) != whole.hashes.get(name)
        ),
        "left_over": sorted(p.name for p in output.rglob("*.tmp*")),
    }


def run_cases(whole: Whole, numbers: list, folder: Path, backend: str = "tensorflow") -> Iterator:
    """Cases, two at one time, as they are done."""
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(kill_and_resume, whole, n, folder, backend) for n in numbers]
        for job in as_completed(jobs):
            yield job.result()


def progress(directory: Path) -> str:
    """What the checkpoints of a run say, in words."""
    found = []
    for stage in ("vqvae", "prior"):
        for kind in ("last", "previous"):
            path = directory / "checkpoints" / f"{stage}_{kind}.keras"
            if path.exists():
                with zipfile.ZipFile(path) as archive:
                    about = json.loads(archive.read("keras_vqvae_progress.json"))
                step = f", step {about['steps']}" if about["steps"] else ""
                epochs = len(about["history"])
                found.append(f"{stage}: {epochs} epoch{'' if epochs == 1 else 's'}{step}")
                break
    return "; ".join(found) or "nothing"


def hashes(directory: Path) -> dict:
    """A hash of everything that a run computes, and of nothing that tells the time."""
    found = {}
    for path in sorted(directory.rglob("*.keras")):
        name = path.relative_to(directory).as_posix()
        if "previous" in name:
            continue
        with zipfile.ZipFile(path) as archive:
            about = json.loads(archive.read("keras_vqvae_progress.json"))
            weights = io.BytesIO(archive.read("model.weights.h5"))
        about.pop("seconds")
        found[f"{name}: progress"] = _hash(json.dumps(about).encode())
        with h5py.File(weights) as file:
            arrays = {}
            file.visititems(
                lambda key, item, arrays=arrays: (
                    arrays.update({key: item[()]}) if isinstance(item, h5py.Dataset) else None
                )
            )
        assert arrays
        content = b"".join(
            f"{key} {value.dtype} {value.shape} ".encode() + value.tobytes()
            for key, value in sorted(arrays.items())
        )
        found[f"{name}: weights and optimizer"] = _hash(content)
    for path in sorted(directory.glob("codes_*.npz")):
        with np.load(path) as arrays:
            found[path.name] = _hash(b"".join(arrays[key].tobytes() for key in arrays.files))
    for path in sorted(directory.glob("history_*.csv")):
        rows = list(csv.DictReader(path.read_text().splitlines()))
        found[path.name] = _hash(json.dumps(rows).encode())
    for name in ("samples.png", "reconstructions.png"):
        if (directory / name).exists():
            with Image.open(directory / name) as image:
                found[f"{name}: pixels"] = _hash(np.asarray(image).tobytes())
    metrics = json.loads((directory / "metrics.json").read_text())
    for part in ("seconds", "environment"):
        metrics.pop(part)
    found["metrics.json: figures"] = _hash(json.dumps(metrics, sort_keys=True).encode())
    return found


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
