"""A chief and its workers on one machine: started, started again when they die, and ended."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = [
    "GAVE_UP",
    "SUPERVISED",
    "WORKERS",
    "SearchProcessError",
    "end_with_parent",
    "supervise",
]

# The environment variable that tells a chief, with commas between, which workers there are.
WORKERS = "KERAS_VQVAE_WORKERS"
# The environment variable that tells a process that it is started again if it dies.
SUPERVISED = "KERAS_VQVAE_SUPERVISED"
# The exit status of a process that has said why it cannot go on; it is not started again.
GAVE_UP = 70
# How often a process may die before one more trial has ended.
_MOST_DEATHS = 3
_POLL_SECONDS = 0.3
# For a process to end by itself, and when it is asked to.
_FAREWELL_SECONDS = 2.0
_GRACE_SECONDS = 10.0


class SearchProcessError(RuntimeError):
    """A process of a search that cannot go on."""


class _Process:
    """One role: a process, its log, and how often it died since the last progress."""

    def __init__(
        self, role: str, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        self.role = role
        self.log = log
        self.deaths = 0
        self._command = list(command)
        self._environment = {**os.environ, **environment, "KERASTUNER_TUNER_ID": role}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, for the first time or again."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environment,
                # At its end, which the supervisor's own end is too, the process ends itself.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is the supervisor's to handle
            )

    def status(self) -> int | None:
        assert self._process is not None
        return self._process.poll()

    def end(self) -> None:
        """Ends it, by force if it takes long."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        for seconds, go_on in (
            (_FAREWELL_SECONDS, process.terminate),
            (_GRACE_SECONDS, process.kill),
        ):
            try:
                process.wait(seconds)
                return
            except subprocess.TimeoutExpired:
                go_on()
        process.wait()

    def last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "nothing")


def supervise(
    command: Sequence[str],
    workers: int,
    logs: Path,
    progress: Callable[[], int],
    host: str = "127.0.0.1",
    port: int | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> None:
    """Runs a chief and workers of KerasTuner until the search is over.

    A worker that dies is started again under its own name, by which the chief knows which trial it
    had; a chief that dies goes on from its files. When every worker has ended as it should, the
    chief is ended. If this process dies, the others end themselves (`end_with_parent`).

    Args:
        command: of each of them; environment variables say which one it is.
        workers: how many.
        logs: directory for what they print, a file each.
        progress: how many trials have ended.
        host: the address that the chief listens on. Defaults to loopback.
        port: by default a free one.
        report: is told in words what happens.

    Raises:
        ValueError: for a port in use, or fewer than one worker.
        SearchProcessError: if one of them dies again and again, or gives up.
    """
    if workers < 1:
        raise ValueError(f"`workers` should be at least 1. Received: workers={workers}")
    roles = [f"worker{i}" for i in range(workers)]
    common = {
        "KERASTUNER_ORACLE_IP": host,
        "KERASTUNER_ORACLE_PORT": str(_usable_port(host, port)),
        WORKERS: ",".join(roles),
        SUPERVISED: "1",
    }
    logs.mkdir(parents=True, exist_ok=True)

    def process(role: str, devices: Mapping[str, str]) -> _Process:
        return _Process(role, command, {**common, **devices}, logs / f"{role}.log")

    chief = process("chief", {"CUDA_VISIBLE_DEVICES": ""})
    others = [process(role, _one_device(i)) for i, role in enumerate(roles)]
    ended = progress()
    try:
        for one in (chief, *others):
            one.start()
        while busy := [one for one in others if one.status() != 0]:
            if progress() != ended:
                ended = progress()
                for one in (chief, *others):
                    one.deaths = 0
            for one in (chief, *busy):
                _revive(one, report)
            time.sleep(_POLL_SECONDS)
    finally:
        for one in (*others, chief):
            one.end()


def _revive(one: _Process, report: Callable[[str], None]) -> None:
    status = one.status()
    if status is None:
        return
    if status == GAVE_UP:
        raise SearchProcessError(f"{one.role} gave up: {one.last_words()}")
    one.deaths += 1
    if one.deaths >= _MOST_DEATHS:
        raise SearchProcessError(
            f"{one.role} ended {one.deaths} times with status {status}, and no trial ended in "
            f"between. Its last words in {str(one.log)!r}: {one.last_words()}"
        )
    # A chief ends by itself when the last worker has nothing to do any more, which then takes a
    # moment to end.
    if (one.role, status, one.deaths) != ("chief", 0, 1):
        report(f"{one.role} ended with status {status}: it is started again")
    one.start()


def _usable_port(host: str, port: int | None) -> int:
    # KerasTuner's server would share a port with another one, and each get some of the calls.
    with socket.socket() as probe:
        # A port that was in use a moment ago can be used again; one that is listened on cannot.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port or 0))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", "ports go up to 65535")
            raise ValueError(
                f"`port` {port} of {host!r} cannot be used: {reason}. Give another one, or "
                "none for a free one"
            ) from error
        found: int = probe.getsockname()[1]
        return found


def _one_device(worker: int) -> dict[str, str]:
    """A GPU for each worker, in turn, and no more of its memory than is needed."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = (
        [name for name in given.split(",") if name]
        if given is not None
        else [path.name[len("nvidia") :] for path in sorted(Path("/dev").glob("nvidia[0-9]*"))]
    )
    if not devices:
        return {}
    return {
        "CUDA_VISIBLE_DEVICES": devices[worker % len(devices)],
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }


def end_with_parent(farewell: Callable[[], None] = lambda: None) -> None:
    """Ends this process when the one that started it does, which holds its standard input.

    Args:
        farewell: is called before.
    """
    # Not by `sys.stdin`, whose lock a process that ends in the meantime would trip over.
    while os.read(0, 1024):
        pass
    try:
        farewell()
    finally:
        os._exit(1)
