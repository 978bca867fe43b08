"""The installed command, in processes of its own."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(sys.executable).with_name("keras-vqvae")


def run(*arguments, cwd, **settings):
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [SCRIPT, *map(str, arguments)],
        cwd=cwd,
        env={**environment, "HOME": str(cwd)},
        capture_output=True,
        text=True,
        timeout=300,
        **settings,
    )


@pytest.fixture(autouse=True)
def installed():
    if not SCRIPT.exists():
        pytest.skip("the package is not installed with its console script")


@pytest.mark.parametrize("module", ["keras_vqvae", "keras_vqvae.cli"])
def test_the_command_line_as_a_module(module, tmp_path):
    command = [sys.executable, "-m", module, "info", "nowhere"]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=120
    )
    assert done.returncode == 2, done.stderr
    # It starts as silently as the script does.
    assert done.stderr.startswith("error: 'nowhere' should be the directory of a run")


def test_a_package_that_is_run_as_a_module_has_all_rooms(tmp_path):
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("import keras_vqvae\n")
    (package / "train.py").write_text(
        "import keras_vqvae\nprint(keras_vqvae.layers.VectorQuantizer.__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mine.train"], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stdout) == (0, "VectorQuantizer\n"), done.stderr


@pytest.mark.parametrize("command", [[], ["train"], ["demo"], ["sample"]])
def test_help_loads_no_keras(command, tmp_path):
    code = (
        "import sys; sys.argv[0] = 'keras-vqvae'\n"
        "from keras_vqvae.cli import main\n"
        f"try: main({[*command, '--help']!r})\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'keras', 'tensorflow', 'jax', 'numpy'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: keras-vqvae" in done.stdout


@pytest.mark.parametrize("level", [None, "3"])
def test_the_start_is_silent_on_every_backend(tmp_path, level):
    code = (
        "import sys; sys.argv[0] = 'keras-vqvae'\n"
        "from keras_vqvae.cli.options import run_class\n"
        "run_class()\n"
        "import keras\n"
        "keras.utils.set_random_seed(1)\n"
        "keras.ops.convert_to_numpy(keras.random.normal((2,)))\n"
        "import logging; logging.getLogger('tensorflow').warning('a function was traced again')"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    if level is not None:
        environment["TF_CPP_MIN_LOG_LEVEL"] = level
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_info_on_jax_loads_no_tensorflow(tmp_path):
    """It looks at no model: only commands that do, wait for TensorFlow, which Keras then loads."""
    pytest.importorskip("jax")
    code = (
        "import json, pathlib, sys; sys.argv[0] = 'keras-vqvae'\n"
        "from keras_vqvae.cli import main\n"
        "from keras_vqvae.runs import RunConfig\n"
        "pathlib.Path('config.json').write_text(json.dumps(RunConfig().to_dict()))\n"
        "try: main(['info', '.'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'jax' in sys.modules and 'tensorflow' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "float32" in done.stdout


def test_help_shows_defaults_and_the_version(tmp_path):
    text = " ".join(run("train", "--help", cwd=tmp_path).stdout.split())
    for part in ("--num-embeddings", "[default: 512]", "[default: 32,64]", "--prior-epochs"):
        assert part in text
    assert "[default: runs/demo]" in run("demo", "--help", cwd=tmp_path).stdout
    assert run("--version", cwd=tmp_path).stdout.startswith("keras-vqvae ")


@pytest.mark.slow
def test_demo_smoke_with_an_empty_home(tmp_path):
    done = run("demo", "--smoke", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no chatter of TensorFlow
    assert "bits per code" in done.stdout
    assert (tmp_path / "runs" / "demo" / "samples.png").exists()
    again = run("demo", "--smoke", cwd=tmp_path)
    assert again.returncode == 0
    assert "Training the VQ-VAE" not in again.stdout


@pytest.mark.slow
def test_a_full_disk_ends_with_one_line(tmp_path):
    def small_files():
        # Files of more than 64 KiB cannot be written: the first checkpoint of the demo is larger.
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))

    done = run("demo", "--smoke", cwd=tmp_path, preexec_fn=small_files)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    kept = [p.name for p in (tmp_path / "runs" / "demo").rglob("*") if p.is_file()]
    assert sorted(kept) == ["config.json", "metrics.json"]
