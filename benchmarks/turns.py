"""Contestants in processes of their own that take turns, so that none is in another's way.

In one process the threads of one library go on waiting while the other computes, the state of the
memory allocator is that of both, and two libraries with a compiler of their own may not even load.
Here one process computes and the others sleep. Vectors are drawn in each, from the same seed.
"""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def normal_vectors(count: int, dim: int, seed: int) -> np.ndarray:
    """float32 `(count, dim)`, the same in every process."""
    return np.random.default_rng(seed).standard_normal((count, dim), dtype="float32")


class Contestant:
    """A process that makes steps and runs them when it is asked to.

    Args:
        module: the name of a module of this folder. Its functions take numbers, strings, lists and
            dicts, and give a step: a function without arguments that returns its loss.
        **environment: variables that the process has beside those of this one.
    """

    def __init__(self, module: str, **environment: str) -> None:
        folder = str(Path(__file__).parent)
        path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            [sys.executable, "-c", f"import turns; turns.serve({module!r})"],
            env={**os.environ, **environment, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> "Contestant":
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.communicate()  # It ends with its input.

    def make(self, function: str, **arguments: Any) -> Callable[[], tuple[float, float]]:
        """The step that `function(**arguments)` of the module gives, run once there.

        A call of it runs it there, and gives the seconds and the processor seconds of all threads.
        """
        number = self._ask("make", function, arguments)
        return lambda: self._ask("step", number)

    def forget(self) -> None:
        """Drops all steps that were made."""
        self._ask("forget")

    def peak_gigabytes(self) -> float | None:
        """The most memory the process had so far, imports included; `None` where it is not told."""
        return self._ask("peak")

    def _ask(self, *request: Any) -> Any:
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        # A process that has ended takes no request, and its answer is empty.
        with contextlib.suppress(BrokenPipeError):
            requests.write(json.dumps(request) + "\n")
            requests.flush()
        answer = answers.readline()
        if not answer:
            raise RuntimeError(f"a contestant ended with status {self._process.wait()}")
        result, error = json.loads(answer)
        if error:
            raise RuntimeError(f"`{request[0]}` failed:\n{error}")
        return result


def serve(module: str) -> None:
    """What a contestant runs: answers requests from the standard input until it ends."""
    # What libraries print goes elsewhere than the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    steps: list[Callable[[], float]] = []
    for line in sys.stdin:
        request, *arguments = json.loads(line)
        result, error = None, None
        try:
            if request == "make":
                function, options = arguments
                steps.append(getattr(importlib.import_module(module), function)(**options))
                result = len(steps) - 1
                _timed(steps[result])
            elif request == "step":
                result = _timed(steps[arguments[0]])
            elif request == "forget":
                steps.clear()
            elif request == "peak":
                result = _peak_gigabytes()
        except Exception:
            error = traceback.format_exc()
        answers.write(json.dumps([result, error]) + "\n")
        answers.flush()


def _timed(step: Callable[[], float]) -> tuple[float, float]:
    start, processor_start = time.perf_counter(), time.process_time()
    loss = step()
    seconds = time.perf_counter() - start, time.process_time() - processor_start
    if not np.isfinite(loss):
        raise RuntimeError(f"This is no loss: {loss}")
    return seconds


def _peak_gigabytes() -> float | None:
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    # `VmHWM` and not `ru_maxrss`, which a child takes over from the process that started it.
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e9
