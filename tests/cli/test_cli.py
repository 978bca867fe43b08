import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from runs_support import write_images
from support import invoke

from keras_vqvae.cli import main
from keras_vqvae.cli.options import bars
from keras_vqvae.cli.tables import print_columns, print_facts
from keras_vqvae.data import load_codes, save_codes
from keras_vqvae.runs import Run

TINY = [
    *("--num-embeddings", 4, "--embedding-dim", 2, "--widths", 4, "--epochs", 1),
    *("--batch-size", 4, "--prior-filters", 4, "--prior-residual-blocks", 1),
    *("--prior-embedding-dim", 4, "--prior-epochs", 1),
]


def call(*arguments):
    return invoke(main, arguments)


def fails(status, *arguments):
    """The one line of an error."""
    result = call(*arguments)
    assert result.exit_code == status, result.output
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("my images"))


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """The directory of a run, and what was printed."""
    output = tmp_path_factory.mktemp("runs") / "mine"
    result = call("train", "--data", folder, "--output", output, *TINY)
    assert result.exit_code == 0, result.output
    return output, result


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained[0], tmp_path / "run")


def test_one_command_trains_both_stages_and_ends_with_figures(trained):
    output, result = trained
    for text in ("MSE", "dB", "% of the codes", "bits per code", str(output / "samples.png")):
        assert text in result.stdout
    assert Run.open(output).finished("prior")
    assert json.loads((output / "config.json").read_text())["vqvae"]["widths"] == [4]


def test_the_same_command_again_shows_the_results(trained, folder):
    output, _ = trained
    before = (output / "vqvae.keras").stat().st_mtime_ns
    result = call("train", "--data", folder, "--output", output, *TINY)
    assert result.exit_code == 0
    assert "bits per code" in result.stdout
    assert "Training the VQ-VAE" not in result.stdout
    assert (output / "vqvae.keras").stat().st_mtime_ns == before


@pytest.mark.slow
def test_sample(run):
    for number in (1, 2):
        result = call("sample", run, "-n", 3, "--temperature", 0.8, "--top-k", 2, "--seed", 5)
        assert result.exit_code == 0, result.output
        assert (run / f"samples_{number}.png").exists()
    with Image.open(run / "samples_1.png") as a, Image.open(run / "samples_2.png") as b:
        assert a.tobytes() == b.tobytes()
    target = run / "x.png"
    assert call("sample", run, "--output", target).exit_code == 0
    assert "exists" in fails(2, "sample", run, "--output", target)
    assert call("sample", run, "--output", target, "--overwrite").exit_code == 0
    for bad in (["-n", 0], ["--top-k", 2, "--top-p", 0.5], ["--top-k", 99]):
        assert fails(2, "sample", run, *bad)


def test_samples_without_a_name_are_others_each_time(run, monkeypatch):
    seeds, draw = [], Run.sample

    def note(self, *args, seed, **options):
        seeds.append(seed)
        return draw(self, *args, seed=seed, **options)

    monkeypatch.setattr(Run, "sample", note)
    for options in ([], [], ["--output", run / "x.png"], ["--seed", 7]):
        assert call("sample", run, "-n", 3, *options).exit_code == 0
    first = Run.open(run).config.seed
    assert seeds == [first, first + 1, None, 7]  # by default a run's own
    assert (run / "samples_1.png").read_bytes() != (run / "samples_2.png").read_bytes()
    assert (run / "samples_3.png").exists()


def test_what_a_prior_lacks_for_samples_is_said_with_the_command_that_helps(run):
    assert f"`keras-vqvae prior {run} --overwrite --conditional`" in fails(
        2, "sample", run, "--label", "a"
    )
    (run / "prior.keras").unlink()
    assert f"`keras-vqvae prior {run}` trains it" in fails(2, "sample", run)
    (run / "vqvae.keras").unlink()
    assert "`keras-vqvae train` that began this run" in fails(2, "sample", run)


def test_encode_and_decode(run, folder, tmp_path):
    codes, pictures, arrays = tmp_path / "c.npz", tmp_path / "out", tmp_path / "out.npz"
    assert call("encode", run, "--data", folder, "--output", codes).exit_code == 0
    assert load_codes(codes).codes.shape == (12, 4, 4)
    assert "exists" in fails(2, "encode", run, "--data", folder, "--output", codes)
    assert call("decode", run, codes, "--output", pictures).exit_code == 0
    assert sorted(p.name for p in pictures.iterdir()) == [f"{i:02}.png" for i in range(12)]
    assert "exists" in fails(2, "decode", run, codes, "--output", pictures)
    (pictures / "note.png").write_bytes(b"mine")
    few = load_codes(codes)
    save_codes(
        tmp_path / "few.npz",
        few.codes[:3],
        num_embeddings=few.num_embeddings,
        model_fingerprint=few.fingerprint,
    )
    replaced = ("decode", run, tmp_path / "few.npz", "--output", pictures, "--overwrite")
    assert call(*replaced).exit_code == 0
    assert sorted(p.name for p in pictures.iterdir()) == ["0.png", "1.png", "2.png", "note.png"]
    assert call("decode", run, codes, "--output", pictures, "--overwrite").exit_code == 0
    (pictures / "2023.png").write_bytes(b"mine, too")
    assert call(*replaced).exit_code == 0
    assert (pictures / "2023.png").read_bytes() == b"mine, too"
    assert call("decode", run, codes, "--output", arrays).exit_code == 0
    with np.load(arrays) as file, Image.open(pictures / "00.png") as first:
        np.testing.assert_array_equal(file["images"][0, ..., 0], np.asarray(first))
    capitals = tmp_path / "out.NPZ"
    assert call("decode", run, codes, "--output", capitals).exit_code == 0
    assert capitals.read_bytes() == arrays.read_bytes()


def test_tables_show_what_looks_like_markup(capsys):
    print_facts("a [run]", {"data": "/data/[old]/imgs", "class": ":cat:", "skipped": "a[/b].png"})
    print_columns("a [run]", ("[name]",), [("/[b]",)])
    shown = capsys.readouterr().out
    for text in ("a [run]", "/data/[old]/imgs", ":cat:", "a[/b].png", "[name]", "/[b]"):
        assert text in shown


def test_seeds_of_samples_go_round(run):
    rewrite = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**rewrite, "seed": 2**31 - 1}))
    for number in (1, 2):
        assert call("sample", run, "-n", 1).exit_code == 0
        assert (run / f"samples_{number}.png").exists()


def test_encode_says_which_part_it_takes(run, tmp_path):
    images = tmp_path / "images"
    for number, part in enumerate(("train", "val", "test"), start=1):
        write_images(images / part, 2 * number)
    encode = ("encode", run, "--data", images, "--overwrite", "--output", tmp_path / "c.npz")
    for split, count in {None: 6, "train": 2, "validation": 4, "test": 6}.items():
        result = call(*encode, *(["--split", split] if split else []))
        said = f"{count} images of the {split or 'test'} part, 4x4 codes below 4\n"
        assert result.stdout == f"{tmp_path / 'c.npz'}: {said}"  # no progress bar, either
        assert len(load_codes(tmp_path / "c.npz").codes) == count
    shutil.rmtree(images / "val")
    assert "no 'validation' part" in fails(2, *encode, "--split", "validation")
    shutil.rmtree(images / "test")
    assert "2 images of the train part" in call(*encode).stdout
    assert ": 2 images, 4x4" in call(*encode, "--data", images / "train").stdout


def test_progress_bars_are_for_terminals(run, folder, tmp_path, monkeypatch):
    codes = tmp_path / "c.npz"
    call("encode", run, "--data", folder, "--output", codes)
    for command in (
        ["sample", run, "-n", 2],
        ["decode", run, codes, "--output", tmp_path / "out"],
        ["evaluate", run, "--samples", 0],
    ):
        result = call(*command)
        assert result.exit_code == 0, result.output
        assert not {"\x1b", "\b", "\r", "━"} & set(result.stdout)
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: True))
    assert bars() == 1


def test_evaluate_says_in_one_line_what_is_missing_or_wrong(run, tmp_path):
    def files():
        return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    before = files()
    assert "samples=-1" in fails(2, "evaluate", run, "--samples", -1)
    larger = write_images(tmp_path / "larger", side=9)
    assert "(9, 9, 1)" in fails(2, "evaluate", run, "--data", larger)
    images = np.full((3, 8, 8, 1), 100.0, "float32")
    images[1, 2, 3] = np.nan
    np.savez(tmp_path / "nan.npz", images=images, labels=np.zeros(3, int))
    line = fails(2, "evaluate", run, "--data", tmp_path / "nan.npz")
    assert "finite" in line
    assert "in image 1" in line
    assert files() == before
    (run / "prior.keras").unlink()
    assert "no trained prior" in fails(2, "evaluate", run, "--samples", 4)
    (run / "vqvae.keras").unlink()
    assert "vqvae.keras" in fails(2, "evaluate", run)


@pytest.mark.slow
def test_compare_prints_a_table_and_goes_on(folder, tmp_path):
    output = tmp_path / "comparison"
    command = ["compare", "--data", folder, "--output", output, "--models", "vae,lookup_free"]
    command += [*TINY, "--samples", 0]
    result = call(*command)
    assert result.exit_code == 0, result.output
    for text in ("VAE, evidence lower bound", "codes under the prior", "PNG files", "total"):
        assert text in result.stdout
    table = result.stdout[result.stdout.index("images, bits per dimension") :].splitlines()[:-2]
    assert max(map(len, table)) <= 80
    assert (output / "comparison.html").exists()
    assert Run.open(output / "lookup_free").config.vqvae.likelihood == "discretized_logistic"
    again = call(*command)
    assert again.exit_code == 0
    assert "Training" not in again.stdout
    assert "seed: 0 -> 1" in fails(2, *command, "--seed", 1)
    command[4] = tmp_path / "other"
    assert "'gan'" in fails(2, *command, "--models", "vae,gan")
    assert "--samples" in fails(2, *command, "--samples", -1)
    assert "power of two" in fails(2, *command, "--num-embeddings", 5)
    assert not (tmp_path / "other").exists()


def test_evaluate_and_info(run, folder, tmp_path):
    result = call("evaluate", run, "--samples", 5)
    assert result.exit_code == 0, result.output
    for text in ("validation MSE", "bits per dimension", "nearest training image"):
        assert text in result.stdout
    assert "at least 129 real" in result.stdout  # a note: 3 images are too few
    assert result.stdout.rstrip().endswith(str(run / "report.html"))
    report, page = (run / "report.html").read_bytes(), tmp_path / "other.html"
    result = call("evaluate", run, "--data", folder, "--samples", 0, "--report", page)
    assert "12 images" in result.stdout
    assert page.exists()
    assert (run / "report.html").read_bytes() == report
    assert "exists" in fails(2, "evaluate", run, "--report", page)
    assert call("evaluate", run, "--samples", 0, "--report", page, "--overwrite").exit_code == 0
    result = call("info", run)
    assert result.exit_code == 0
    for text in ("backend", "fingerprint", "vqvae.num_embeddings", "code_shape", "prior.keras"):
        assert text in result.stdout
    found = json.loads(call("info", run, "--json").stdout)
    assert found["stages"]["vqvae"]["finished"]


def test_a_new_prior(run, monkeypatch):
    stages = []
    monkeypatch.setattr(Run, "train", lambda self, stage, *a, **k: stages.append(stage) or {})
    assert "prior.filters: 4 -> 8" in fails(2, "prior", run, "--filters", 8)
    result = call("prior", run, "--filters", 8, "--overwrite")
    assert result.exit_code == 0, result.output
    config = Run.open(run).config
    assert (config.prior.filters, config.prior_training.epochs) == (8, 1)
    assert stages == ["prior"]
    assert not Run.open(run).finished("prior")


def test_interrupted_says_how_to_go_on(folder, tmp_path, monkeypatch):
    def interrupt(self, *args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Run, "train", interrupt)
    result = call("train", "--data", folder, "--output", tmp_path / "run", *TINY)
    assert result.exit_code == 130
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("interrupted: 0 of 1 epochs of the VQ-VAE")
    assert "the same command goes on" in result.stderr


@pytest.mark.parametrize("command", ["demo", "train", "prior"])
@pytest.mark.parametrize(
    ("status", "error"), [(130, KeyboardInterrupt()), (1, OSError(28, "No space left", "x.keras"))]
)
def test_what_ended_with_overwrite_goes_on_without_it(
    run, folder, monkeypatch, command, status, error
):
    def end(self, *args, **kwargs):
        raise error

    monkeypatch.setattr(Run, "train", end)
    arguments = {
        "demo": ["--smoke", "--output", run],
        "train": ["--data", folder, "--output", run, *TINY],
        "prior": [run],
    }[command]
    result = call(command, *arguments, "--overwrite")
    assert result.exit_code == status, result.output
    assert result.stderr.count("\n") == 1
    assert result.stderr.endswith(
        f"{run}; the same command without --overwrite goes on from there\n"
    )


class TestWrongUse:
    """Exit status 2, one line, nothing written."""

    def train(self, source, tmp_path, *more):
        output = tmp_path / "new run"
        line = fails(2, "train", "--data", source, "--output", output, *TINY, *more)
        assert not output.exists()
        return line

    def test_arguments(self, folder, tmp_path):
        assert "--output" in fails(2, "train", "--data", folder)
        assert "No such command" in fails(2, "trian")
        assert "--epochs" in self.train(folder, tmp_path, "--epochs", "many")
        assert "num_embeddings=0" in self.train(folder, tmp_path, "--num-embeddings", 0)
        assert "such as 48,64" in self.train(folder, tmp_path, "--image-size", "8x8")
        assert "--stage" in self.train(folder, tmp_path, "--stage", "third")
        assert "not trained to its end" in fails(
            2, "train", "--data", folder, "--output", tmp_path / "r", "--stage", "prior", *TINY
        )

    @pytest.mark.parametrize("empty", ["", " "])
    def test_empty_paths(self, folder, tmp_path, empty):
        """They would be the current directory."""
        data, output = ("--data", folder), ("--output", tmp_path / "out")
        for command in ("train", "compare", "tune"):
            assert "'--data': it should not be empty" in fails(2, command, "--data", empty, *output)
            line = fails(2, command, *data, "--output", empty)
            assert "'--output': it should not be empty" in line
        for command in (
            ["demo", "--output", empty],
            ["sample", tmp_path, "--output", empty],
            ["encode", tmp_path, *data, "--output", empty],
            ["decode", tmp_path, tmp_path / "c.npz", "--output", empty],
        ):
            assert "'--output': it should not be empty" in fails(2, *command)
        assert "'--data'" in fails(2, "encode", tmp_path, "--data", empty, *output)
        assert "'--data'" in fails(2, "evaluate", tmp_path, "--data", empty)
        assert "'--report'" in fails(2, "evaluate", tmp_path, "--report", empty)
        assert "'RUN'" in fails(2, "info", empty)

    def test_seeds(self, run, folder, tmp_path):
        for seed in (-1, 2**31, 2**32):
            assert f"seed={seed}" in self.train(folder, tmp_path, "--seed", seed)
            assert "'--seed'" in fails(2, "sample", run, "-n", 1, "--seed", seed)
        assert call("sample", run, "-n", 1, "--seed", 2**31 - 1).exit_code == 0

    def test_data(self, folder, tmp_path):
        (tmp_path / "empty").mkdir()
        assert "has none" in self.train(tmp_path / "empty", tmp_path)
        assert "nowhere" in self.train(tmp_path / "nowhere", tmp_path)
        assert "divisible by 2" in self.train(folder, tmp_path, "--image-size", 7)
        images = np.random.default_rng(0).random((6, 8, 8))
        np.save(tmp_path / "f.npy", images)
        assert "value_range" in self.train(tmp_path / "f.npy", tmp_path)
        assert "value_range" in self.train(tmp_path / "f.npy", tmp_path, "--value-range", "0,255")
        images[2, 3, 4] = np.nan
        np.save(tmp_path / "nan.npy", images)
        assert "NaN or an infinity in image 2" in self.train(tmp_path / "nan.npy", tmp_path)

    def test_corrupt_images(self, tmp_path, monkeypatch):
        monkeypatch.setattr(Run, "train", lambda self, *a, **k: self.metrics())
        folder = write_images(tmp_path / "images", 8, classes=())
        (folder / "bad.png").write_bytes(b"\x89PNG no image")
        assert "bad.png" in self.train(folder, tmp_path, "--strict")
        output = tmp_path / "run"
        result = call("train", "--data", folder, "--output", output, *TINY)
        assert result.exit_code == 0, result.output
        warning = [line for line in result.stderr.splitlines() if line.startswith("warning: ")]
        assert len(warning) == 1
        assert "1 image file of" in warning[0]
        assert f"1 image file was not readable and left out, as listed in {output}" in result.stdout
        assert "bad.png" in call("info", output, "--json").stdout

    def test_another_run_in_the_output(self, run, folder):
        again = ("train", "--data", folder, "--output", run, *TINY)
        line = fails(2, *again, "--beta", 1)
        assert "vqvae.beta: 0.25 -> 1.0" in line
        assert "--overwrite" in line
        assert Run.open(run).finished("prior")
        assert "holds no run" in fails(2, "train", "--data", folder, "--output", folder, *TINY)

    def test_overwriting_a_prior_by_train_would_take_the_vqvae_with_it(self, run, folder):
        again = ("train", "--data", folder, "--output", run, *TINY, "--stage", "prior")
        assert f"`keras-vqvae prior {run} --overwrite`" in fails(2, *again, "--overwrite")
        assert Run.open(run).finished("prior")

    @pytest.mark.parametrize("minutes", [0, -1])
    def test_minutes_between_checkpoints_are_looked_at_before_a_run_is_removed(
        self, run, folder, minutes
    ):
        train = ("train", "--data", folder, "--output", run, *TINY)
        for command in (train, ("prior", run)):
            line = fails(2, *command, "--overwrite", "--checkpoint-minutes", minutes)
            assert "--checkpoint-minutes" in line
        assert Run.open(run).finished("prior")

    def test_data_and_codes_of_another_shape_or_model(self, run, tmp_path):
        other = write_images(tmp_path / "large", 4, side=16)
        assert "(16, 16, 1)" in fails(2, "evaluate", run, "--data", other)
        to_codes = ("encode", run, "--output", tmp_path / "c.npz", "--data", other)
        assert "(16, 16, 1)" in fails(2, *to_codes)
        write_images(other / "c", 1, side=8, classes=())
        line = fails(2, *to_codes)
        for text in ("several sizes", "(8, 8, 1)", "a run with `--image-size 8,8`"):
            assert text in line
        assert "`--image-size HEIGHT,WIDTH`" in self.train(other, tmp_path)
        codes = tmp_path / "codes.npz"
        out = ("--output", tmp_path / "out")
        save_codes(codes, np.zeros((1, 4, 4), int), num_embeddings=4, model_fingerprint="other")
        assert "another model" in fails(2, "decode", run, codes, *out)
        mine = Run.open(run).vqvae().fingerprint()
        save_codes(codes, np.full((1, 4, 4), 9), num_embeddings=16, model_fingerprint=mine)
        assert "values in [9, 9]" in fails(2, "decode", run, codes, *out)
        codes.write_bytes(b"nothing")
        assert "codes.npz" in fails(2, "decode", run, codes, *out)
        assert not (tmp_path / "out").exists()

    def test_no_run(self, tmp_path):
        for command in (["sample"], ["evaluate"], ["info"], ["prior"]):
            assert "config.json" in fails(2, *command, tmp_path)

    def test_a_damaged_model(self, run):
        (run / "vqvae.keras").write_bytes(b"PK nothing")
        assert "vqvae.keras" in fails(2, "evaluate", run)


class TestFailures:
    """Exit status 1, one line."""

    @pytest.mark.slow
    def test_nan(self, folder, tmp_path):
        wild = ("--learning-rate", 1e30, "--update", "gradient", "--stage", "vqvae", "--epochs", 9)
        line = fails(1, "train", "--data", folder, "--output", tmp_path / "r", *TINY, *wild)
        assert "epoch" in line
        assert "learning rate" in line

    def test_full_disk_and_unexpected_errors(self, run, monkeypatch):
        def full(*args, **kwargs):
            raise OSError(28, "No space left on device", "x.png")

        monkeypatch.setattr(Run, "sample", full)
        assert "No space left on device: 'x.png'" in fails(1, "sample", run)
        monkeypatch.setattr(Run, "sample", lambda *args, **kwargs: 1 / 0)
        assert "ZeroDivisionError" in fails(1, "sample", run)
        result = call("sample", run, "--debug")
        assert result.exit_code == 1
        assert "Traceback" in result.stderr
        assert not list(run.glob("samples_*.png"))


def test_an_output_says_by_its_name_what_it_is(run, folder, tmp_path):
    (tmp_path / "folder.png").mkdir()
    for name in ("x.jpg", "x", "folder.png"):
        line = fails(2, "sample", run, "-n", 1, "--output", tmp_path / name)
        assert "--output should be a file named *.png" in line
    line = fails(2, "encode", run, "--data", folder, "--output", tmp_path / "c.txt")
    assert "--output should be a file named *.npz" in line
    line = fails(2, "decode", run, tmp_path / "picture.png", "--output", tmp_path / "out")
    assert "picture.png" in line
    picture = next(folder.rglob("*.png"))
    line = fails(2, "decode", run, picture, "--output", tmp_path / "out")
    assert "it is no .npz file" in line
    assert "pickle" not in line
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    run, folder, tmp_path, monkeypatch
):
    for name in ("sample", "encode", "decode"):
        monkeypatch.setattr(Run, name, lambda *args, **kwargs: pytest.fail("it began"))
    text = tmp_path / "notes.txt"
    text.write_text("mine")
    (tmp_path / "folder.npz").mkdir()
    codes = tmp_path / "c.npz"
    decode = ("decode", run, codes, "--overwrite", "--output")
    images = "a folder for PNG files, or a file named *.npz. Received: "
    assert f"{images}{str(text)!r}, which is a file" in fails(2, *decode, text)
    for name in ("x.png", "x.JPG"):
        assert f"{images}{str(tmp_path / name)!r}, which would" in fails(
            2, *decode, tmp_path / name
        )
    assert "*.npz. Received" in fails(2, *decode, tmp_path / "folder.npz")
    for command, name in (
        (decode, "out"),
        (decode, "out/x.npz"),
        (("sample", run, "--output"), "x.png"),
        (("encode", run, "--data", folder, "--output"), "x.npz"),
        (("evaluate", run, "--report"), "x.html"),
    ):
        assert f"and {str(text)!r} is a file" in fails(2, *command, text / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["folder.npz", "notes.txt", "run"]


def test_help_shows_the_examples_line_by_line():
    shown = call("--help").stdout
    assert "\b" not in shown
    assert "\n    keras-vqvae demo\n    keras-vqvae train --data" in shown
    assert "XLA for training" in call("train", "--help").stdout
