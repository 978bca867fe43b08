"""`keras-vqvae tune`."""

import json
import re
import socket

import pytest
from runs_support import write_images
from support import invoke

from keras_vqvae.cli import main
from keras_vqvae.hypermodels.supervision import supervise
from keras_vqvae.runs import Run

TINY = [
    *("--widths", 4, "--embedding-dim", 2, "--residual-blocks", 0, "--update", "gradient"),
    *("--embeddings-initializer", "uniform", "--epochs", 1, "--batch-size", 4),
    *("--validation-fraction", 0.25, "--trials", 2),
]


def call(*arguments):
    return invoke(main, ["tune", *arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("my images"), 24)


def test_a_search_ends_with_its_gain_and_a_run(folder, tmp_path):
    output = tmp_path / "search"
    searched = ["--search", "num-embeddings=4,8", "--search", "beta=0.1,0.25,1"]
    result = call("--data", folder, "--output", output, *TINY, *searched)
    assert result.exit_code == 0, result.output
    for text in (
        "val_bits_per_dimension",
        "by the first trial",
        f"keras-vqvae prior {output}/best",
        "keras-vqvae train --data",
        str(output / "report.html"),
    ):
        assert text in result.output.replace("\n", "")
    found = json.loads((output / "results.json").read_text())
    assert len(found["trials"]) == 2
    for trial in found["trials"]:
        assert trial["values"]["num_embeddings"] in (4, 8)
        assert trial["values"]["beta"] in (0.1, 0.25, 1)
        # What is given is fixed, as are the settings of `train` that no search is about.
        assert (trial["values"]["width"], trial["values"]["depth"]) == (4, 1)
        assert trial["values"]["update"] == "gradient"
    assert Run.open(output / "best").config.vqvae.likelihood == "discretized_logistic"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--objective", "val_bits"], "`objective` should be one of val_bits_per_dimension"),
        (["--search", "betta=1"], "'betta' should be one of the hyperparameters quantizer"),
        (["--search", "beta"], "'beta' should be NAME=LOW:HIGH"),
        (["--search", "beta=1:0.5"], "the first bound should be below the second"),
        (["--search", "beta=a:b"], "`beta`: a range is two numbers, low and high"),
        (["--search", "beta=0.1:0.5:1"], "`beta`: a range is two numbers, low and high"),
        (["--search", "num_embeddings=64:1e3"], "the bounds should be powers of two"),
        (["--search", "residual_blocks=0:1.5"], "the bounds should be whole numbers"),
        (["--trials", 0], "`trials` should be at least 1. Received: trials=0"),
        (["--widths", "4,12"], "half of the next"),
        (["--workers", 0], "0 is not in the range x>=1"),
        (["--validation-fraction", 0], "validation images"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_wrong_use_is_one_line_before_any_trial(folder, tmp_path, options, message):
    result = call("--data", folder, "--output", tmp_path / "s", *TINY, *options)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert not (tmp_path / "s" / "trials").exists()


def test_a_port_in_use_is_one_line(folder, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        workers = ["--workers", 1, "--port", port]
        result = call("--data", folder, "--output", tmp_path / "s", *TINY, *workers)
    assert result.exit_code == 2
    assert f"`port` {port} of '127.0.0.1' cannot be used" in result.stderr


def test_a_port_that_there_is_not_is_one_line(folder, tmp_path):
    workers = ["--workers", 1, "--port", 70000]
    result = call("--data", folder, "--output", tmp_path / "s", *TINY, *workers)
    assert result.exit_code == 2
    assert "70000 is not in the range 1<=x<=65535" in result.stderr
    assert not (tmp_path / "s").exists()
    with pytest.raises(
        ValueError, match=r"`port` 70000 of .* cannot be used: ports go up to 65535"
    ):
        supervise(["true"], 1, tmp_path / "logs", lambda: 0, port=70000)


def test_workers_that_die_again_and_again_are_one_line(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("sys.executable", "false")  # the program that fails at once
    result = call("--data", folder, "--output", tmp_path / "s", *TINY, "--workers", 1)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert re.match(r"error: \w+ ended 3 times with status 1, .* last words in .*nothing\. ", line)
    assert f"0 trials are kept in {tmp_path / 's'}; the same command goes on from there" in line
    assert "--debug" not in line
