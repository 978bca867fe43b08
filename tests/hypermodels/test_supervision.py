"""A chief and workers as processes: here small scripts in their roles."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from keras_vqvae.hypermodels import supervision
from keras_vqvae.hypermodels.supervision import SearchProcessError, supervise

# A process of a search in miniature: its end, when its parent's is, is the package's own.
ROLE = f"""
import importlib.util, os, pathlib, signal, sys, threading, time
spec = importlib.util.spec_from_file_location("supervision", {supervision.__file__!r})
supervision = importlib.util.module_from_spec(spec)
spec.loader.exec_module(supervision)
threading.Thread(target=supervision.end_with_parent, daemon=True).start()
folder, role = pathlib.Path(sys.argv[1]), os.environ["KERASTUNER_TUNER_ID"]
lives = len(list(folder.glob(f"{{role}}-*")))
(folder / f"{{role}}-{{lives}}").write_text(str(os.getpid()))
"""
WAIT = "\ntime.sleep(600)"


def command(tmp_path, text):
    script = tmp_path / "role.py"
    script.write_text(ROLE + text)
    (tmp_path / "seen").mkdir(exist_ok=True)
    return [sys.executable, str(script), str(tmp_path / "seen")]


def seen(tmp_path):
    return sorted(path.name for path in (tmp_path / "seen").iterdir())


def is_alive(tmp_path, name):
    try:
        os.kill(int((tmp_path / "seen" / name).read_text()), 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.05)


def test_dead_workers_and_a_dead_chief_are_started_again_and_the_chief_is_ended(tmp_path):
    roles = command(
        tmp_path,
        """
if role == "chief" and lives == 0:
    time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)
elif role == "chief":
    time.sleep(600)
elif role == "worker1" and lives == 0:
    sys.exit(3)
time.sleep(1.5)
""",
    )
    told = []
    supervise(roles, 2, tmp_path / "logs", lambda: 0, report=told.append)
    assert seen(tmp_path) == ["chief-0", "chief-1", "worker0-0", "worker1-0", "worker1-1"]
    assert sorted(told) == [
        "chief ended with status -9: it is started again",
        "worker1 ended with status 3: it is started again",
    ]
    assert not is_alive(tmp_path, "chief-1")


def test_a_chief_that_ends_as_it_should_before_its_last_worker_is_no_news(tmp_path):
    """KerasTuner's ends a second after the last worker has nothing to do."""
    text = "\nif role == 'worker0':\n    time.sleep(1.5)\nelif lives:\n    time.sleep(600)\n"
    told = []
    supervise(command(tmp_path, text), 1, tmp_path / "logs", lambda: 0, report=told.append)
    assert told == []
    assert seen(tmp_path) == ["chief-0", "chief-1", "worker0-0"]  # there if it is needed after all


def test_one_that_dies_again_and_again_ends_all_with_its_last_words(tmp_path):
    roles = command(
        tmp_path, "\nif role == 'worker0':\n    sys.exit('no such table')\ntime.sleep(600)"
    )
    with pytest.raises(SearchProcessError, match=r"worker0 ended 3 times.*no such table"):
        supervise(roles, 2, tmp_path / "logs", lambda: 0)
    assert [name for name in seen(tmp_path) if is_alive(tmp_path, name)] == []


def test_one_that_gives_up_ends_all_at_once(tmp_path):
    says = f"\nif role == 'worker0':\n    print('no more')\n    sys.exit({supervision.GAVE_UP})"
    roles = command(tmp_path, says + WAIT)
    with pytest.raises(SearchProcessError, match="worker0 gave up: no more"):
        supervise(roles, 2, tmp_path / "logs", lambda: 0)
    assert seen(tmp_path).count("worker0-0") == 1
    assert [name for name in seen(tmp_path) if is_alive(tmp_path, name)] == []


def test_one_whose_parent_ends_has_its_farewell(tmp_path):
    roles = command(
        tmp_path,
        """
if role == "worker0":
    time.sleep(1.0)
    sys.exit(0)
time.sleep(600)
""",
    )
    script = tmp_path / "role.py"
    said = 'args=(lambda: (folder / f"farewell of {role}").touch(),), daemon'
    script.write_text(script.read_text().replace("daemon", said))
    supervise(roles, 1, tmp_path / "logs", lambda: 0)
    assert "farewell of chief" in seen(tmp_path)


def test_deaths_are_forgiven_when_trials_end_in_between(tmp_path):
    roles = command(
        tmp_path,
        "\nif role == 'worker0':\n    time.sleep(0.4)\n    sys.exit(1 if lives < 4 else 0)" + WAIT,
    )
    supervise(roles, 1, tmp_path / "logs", lambda: len(list((tmp_path / "seen").glob("worker0-*"))))
    assert "worker0-4" in seen(tmp_path)


def test_all_end_when_the_supervisor_is_killed(tmp_path):
    roles = command(tmp_path, WAIT)
    starter = tmp_path / "supervisor.py"
    starter.write_text(
        f"""
import importlib.util, pathlib
spec = importlib.util.spec_from_file_location("supervision", {supervision.__file__!r})
supervision = importlib.util.module_from_spec(spec)
spec.loader.exec_module(supervision)
supervision.supervise({roles!r}, 1, pathlib.Path({str(tmp_path / "logs")!r}), lambda: 0)
"""
    )
    with subprocess.Popen([sys.executable, str(starter)]) as process:
        wait_until(lambda: len(seen(tmp_path)) == 2)
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_until(lambda: not any(is_alive(tmp_path, name) for name in seen(tmp_path)))


def test_a_port_in_use_and_no_workers_are_refused_before_anything_starts(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=rf"`port` {port} of '127.0.0.1' cannot be used"):
            supervise(["no such program"], 1, tmp_path / "logs", lambda: 0, port=port)
    with pytest.raises(ValueError, match="`workers` should be at least 1"):
        supervise(["no such program"], 0, tmp_path / "logs", lambda: 0)
    assert not (tmp_path / "logs").exists()


def test_each_worker_has_one_device(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    chosen = [supervision._one_device(i)["CUDA_VISIBLE_DEVICES"] for i in range(3)]
    assert chosen == ["4", "7", "4"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert supervision._one_device(0) == {}
