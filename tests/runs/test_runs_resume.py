import csv
import dataclasses
import errno
import json
import shutil
import subprocess
import sys

import keras
import pytest
from runs_support import Interrupt, tiny_config, write_images
from support import rewrite_json, same_bits, to_numpy, values_of

from keras_vqvae.runs import (
    NonFiniteLossError,
    Run,
    RunExistsError,
    RunInUseError,
    TrainingConfig,
    VQVAEConfig,
    hold_directory,
)
from keras_vqvae.runs.checkpoints import Progress
from keras_vqvae.runs.newest_checkpoint import newest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def uninterrupted(folder, tmp_path_factory):
    run = Run.create(tmp_path_factory.mktemp("runs") / "whole", tiny_config(folder, (3, 2)))
    run.train(verbose=0)
    return run


@pytest.fixture
def copy(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted.directory, tmp_path / "copy")
    return Run.open(tmp_path / "copy")


def test_a_run_leaves_what_it_promises(uninterrupted):
    names = {p.name for p in uninterrupted.directory.iterdir()}
    assert names == {
        *("config.json", "metrics.json", "vqvae.keras", "prior.keras", "checkpoints"),
        *("history_vqvae.csv", "history_prior.csv", "reconstructions.png", "samples.png"),
        *("codes_train.npz", "codes_validation.npz"),
    }
    checkpoints = {p.name for p in uninterrupted.files.checkpoints.iterdir()}
    kinds = ("last", "previous", "best")
    assert checkpoints == {f"{s}_{w}.keras" for s in ("vqvae", "prior") for w in kinds}
    metrics = json.loads(uninterrupted.files.metrics.read_text())
    assert metrics["evaluated_on"] == "validation"
    assert {"mse", "psnr_db", "perplexity", "codebook_usage"} <= set(metrics["vqvae"])
    assert {"bits_per_code", "bits_per_image"} <= set(metrics["prior"])
    assert {"vqvae", "prior", "encode", "sample", "evaluate"} == set(metrics["seconds"])
    assert metrics["data"]["train_images"] == 9
    assert metrics["data"]["classes"] == ["a", "b"]


def test_an_interrupted_run_ends_as_if_it_had_not_been(uninterrupted, folder, tmp_path):
    config = tiny_config(folder, (3, 2))
    with pytest.raises(KeyboardInterrupt):
        Run.create(tmp_path / "run", config).train(verbose=0, callbacks=[Interrupt(epoch=2)])
    halfway = Run.create(tmp_path / "run", config)
    assert halfway.progress("vqvae").epochs == 2
    assert not halfway.finished("vqvae")
    with pytest.raises(KeyboardInterrupt):
        halfway.train(verbose=0, callbacks=[Interrupt(epoch=1, stage="prior")])
    assert halfway.finished("vqvae")
    assert not halfway.finished("prior")
    resumed = Run.create(tmp_path / "run", config)
    resumed.train(verbose=0)
    for stage in ("vqvae", "prior"):
        assert history(resumed, stage) == history(uninterrupted, stage)
        assert resumed.progress(stage).generators == uninterrupted.progress(stage).generators
        ours, theirs = (
            keras.models.load_model(r.files.last(stage)) for r in (resumed, uninterrupted)
        )
        assert same_bits(weights_of(ours), weights_of(theirs))
        assert same_bits(values_of(ours.optimizer), values_of(theirs.optimizer))


@pytest.mark.slow
@pytest.mark.parametrize(("given", "rate"), [(0.1, 0.1), (None, 0.01)])
def test_a_run_whose_codes_have_their_own_rate_goes_on_from_its_checkpoint(
    folder, tmp_path, given, rate
):
    vqvae = {"num_embeddings": 4, "embedding_dim": 2, "widths": (4,), "update": "gradient"}
    config = tiny_config(folder, (2, 1), vqvae=VQVAEConfig(**vqvae, codebook_learning_rate=given))
    found = []
    for name in ("whole", "again"):
        run = Run.create(tmp_path / name, config)
        if name == "again":
            with pytest.raises(KeyboardInterrupt):
                run.train("vqvae", verbose=0, callbacks=[Interrupt(epoch=1)])
        run.train("vqvae", verbose=0)
        found.append(keras.models.load_model(run.files.last("vqvae")))
    whole, again = found
    assert same_bits(weights_of(again), weights_of(whole))
    assert same_bits(values_of(again.optimizer), values_of(whole.optimizer))
    schedules = [o.get_config()["learning_rate"] for o in whole.optimizer._inner_optimizers]
    rates = sorted(schedule["config"]["initial_learning_rate"] for schedule in schedules)
    assert rates == pytest.approx([0.001, rate])


def weights_of(model):
    return [to_numpy(w) for w in model.weights]


def history(run, stage):
    with run.files.history(stage).open() as file:
        return list(csv.DictReader(file))


def test_the_model_is_the_one_of_the_lowest_validation_loss(uninterrupted):
    rows = history(uninterrupted, "vqvae")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    losses = [float(row["val_loss"]) for row in rows]
    assert uninterrupted.progress("vqvae").best_epoch == losses.index(min(losses)) + 1
    best = Progress.load(uninterrupted.files.model("vqvae"))
    assert best.epochs == losses.index(min(losses)) + 1


def test_a_finished_run_is_not_trained_again(copy):
    before = {p: p.stat().st_mtime_ns for p in copy.directory.rglob("*")}

    class Never(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            raise AssertionError

    again = Run.create(copy.directory, copy.config)
    assert again.train(verbose=0, callbacks=[Never()]) == copy.metrics()
    assert {p: p.stat().st_mtime_ns for p in copy.directory.rglob("*")} == before


class TestTwoProcesses:
    """The second one is refused as long as the first one works, and not when it was killed."""

    HOLD = """
import sys, time
from keras_vqvae.runs.holding import hold_directory
with hold_directory({folder!r}):
    print("held", flush=True)
    time.sleep(600)
"""

    @pytest.fixture
    def held(self, copy):
        code = self.HOLD.format(folder=str(copy.directory))
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
            assert other.stdout.readline() == b"held\n"
            yield other
            other.kill()

    def test_nothing_is_trained_or_removed(self, copy, folder, held):
        copy.files.model("prior").unlink()
        before = {p: p.stat().st_mtime_ns for p in copy.directory.rglob("*")}
        for work in (
            lambda: copy.train(verbose=0),
            lambda: Run.create(copy.directory, tiny_config(folder, (1, 1)), overwrite=True),
            lambda: copy.change_prior(copy.config.prior, copy.config.prior_training, True),
        ):
            with pytest.raises(RunInUseError, match=r"another process is at work in .*copy"):
                work()
        assert {p: p.stat().st_mtime_ns for p in copy.directory.rglob("*")} == before
        held.kill()
        held.wait()
        assert copy.train(verbose=0) == copy.metrics()

    def test_one_process_that_comes_twice_is_told_so(self, copy):
        copy.files.model("prior").unlink()
        with (
            hold_directory(copy.directory),
            pytest.raises(RunInUseError, match=r"this process is at work in .*copy' already"),
        ):
            copy.train(verbose=0)
        copy.train(verbose=0)

    def test_a_file_system_without_locks_keeps_nobody_away(self, copy, held, monkeypatch):
        def refuse(descriptor, operation):
            raise OSError(errno.ENOTSUP, "Operation not supported")

        monkeypatch.setattr("fcntl.flock", refuse)
        copy.files.model("prior").unlink()
        with hold_directory(copy.directory):  # twice, as `train` asks for it, too
            copy.train(verbose=0)
        assert copy.finished("prior")


def test_a_history_that_a_kill_cut_short_is_whole_in_the_end(copy):
    """The last checkpoint is written before it."""
    for stage in ("vqvae", "prior"):
        copy.files.model(stage).unlink()
        copy.files.history(stage).unlink()
    Run.open(copy.directory).train(verbose=0)
    for stage, epochs in (("vqvae", 3), ("prior", 2)):
        assert len(copy.files.history(stage).read_text().splitlines()) == epochs + 1


def test_other_settings_are_an_error_that_names_them(copy, folder):
    before = copy.files.config.read_bytes()
    other = tiny_config(folder, (3, 2), vqvae=VQVAEConfig(num_embeddings=8, widths=(4,)), seed=4)
    with pytest.raises(RunExistsError) as caught:
        Run.create(copy.directory, other)
    text = str(caught.value)
    for part in ("vqvae.num_embeddings: 4 -> 8", "seed: 3 -> 4", "--overwrite", "--output"):
        assert part in text
    assert copy.files.config.read_bytes() == before
    assert copy.finished("prior")


def test_overwrite_removes_the_run_and_nothing_else(copy, folder):
    (copy.directory / "notes.txt").write_text("mine")
    new = Run.create(copy.directory, tiny_config(folder, (1, 1)), overwrite=True)
    left = {p.name for p in copy.directory.rglob("*") if p.is_file()}
    assert left == {"notes.txt", "config.json", "metrics.json"}
    assert not new.finished("vqvae")
    assert "vqvae" not in new.metrics()


def test_overwrite_checks_first(copy, folder):
    bad = tiny_config(folder, vqvae=VQVAEConfig(widths=(4, 4, 4, 4)))
    with pytest.raises(ValueError, match="divisible"):
        Run.create(copy.directory, bad, overwrite=True)
    assert copy.finished("prior")


@pytest.mark.slow
def test_a_stage_that_has_not_begun_may_change(copy, folder):
    prior, training = copy.config.prior, TrainingConfig(epochs=1, batch_size=8)
    with pytest.raises(RunExistsError, match=r"prior_training\.epochs"):
        copy.change_prior(prior, training)
    changed = copy.change_prior(prior, training, overwrite=True)
    assert not changed.finished("prior")
    assert "prior" not in changed.metrics()
    assert Run.open(copy.directory).config.prior_training == training
    changed.train("prior", verbose=0)
    assert changed.progress("prior").epochs == 1
    assert changed.metrics()["vqvae"] == copy.metrics()["vqvae"]


def test_a_prior_that_does_not_fit_is_refused_before_the_old_one_is_removed(tmp_path):
    images = write_images(tmp_path / "images", classes=())
    run = Run.create(tmp_path / "run", tiny_config(images))
    run.train(verbose=0)
    before = {p: p.read_bytes() for p in run.directory.rglob("*") if p.is_file()}
    conditional = dataclasses.replace(run.config.prior, conditional=True)
    patient = dataclasses.replace(run.config.prior_training, patience=1)
    with pytest.raises(ValueError, match="`conditional` needs labels"):
        run.change_prior(conditional, patient, overwrite=True)
    assert {p: p.read_bytes() for p in run.directory.rglob("*") if p.is_file()} == before


def test_a_prior_of_other_images_is_refused_before_the_old_one_is_removed(copy, folder, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(folder, images)
    config = dataclasses.replace(copy.config.data, source=str(images))
    copy.files.config.write_text(
        json.dumps(dataclasses.replace(copy.config, data=config).to_dict()), encoding="utf-8"
    )
    next(images.rglob("*.png")).unlink()
    moved = Run.open(copy.directory)
    other = dataclasses.replace(copy.config.prior, filters=8)
    with pytest.raises(ValueError, match="have changed since this run began"):
        moved.change_prior(other, copy.config.prior_training, overwrite=True)
    assert moved.finished("prior")
    assert moved.config.prior == copy.config.prior


def test_a_new_prior_says_once_what_has_no_use(folder, tmp_path):
    idle = VQVAEConfig(num_embeddings=4, widths=(4,), quantizer="finite_scalar", revival=False)
    with pytest.warns(UserWarning, match="no use for revival=False"):
        run = Run.create(tmp_path / "run", tiny_config(folder, vqvae=idle))
    other = dataclasses.replace(run.config.prior, filters=8)
    with pytest.warns(UserWarning, match="no use for revival=False") as seen:
        run.change_prior(other, run.config.prior_training, overwrite=True)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "changes", [{"seed": 4}, {"max_images": 8}, {"source": "others"}], ids=lambda c: next(iter(c))
)
def test_other_data_before_the_first_step_is_the_data_of_the_run(folder, tmp_path, changes):
    write_images(tmp_path / "others", 16, classes=("c", "d"))
    Run.create(tmp_path / "run", tiny_config(folder))
    config = tiny_config(folder, seed=changes.get("seed", 3))
    data = {name: changes[name] for name in ("max_images",) if name in changes}
    if "source" in changes:
        data["source"] = str(tmp_path / changes["source"])
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, **data))
    run = Run.create(tmp_path / "run", config)
    assert run.metrics()["data"] == run.parts.record()
    run.train("vqvae", verbose=0)
    assert run.metrics()["data"] == run.parts.record()


def test_a_kill_between_the_first_two_files_keeps_no_run_from_beginning(folder, tmp_path):
    config = tiny_config(folder)
    run = Run.create(tmp_path / "run", config)
    run.files.config.unlink()
    # What a kill leaves of writing the settings.
    (run.directory / f".config.{'0a' * 6}.tmp.json").write_bytes(b"half")
    again = Run.create(tmp_path / "run", config)
    assert again.files.is_run()
    assert again.metrics()["data"]["train_images"] == 9


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", '{"loss": 1.0}'),
        ("metrics.json", "no JSON"),
        (".git", "gitdir: elsewhere"),
        (".notes.tmp.json", "mine"),
    ],
)
def test_a_directory_with_a_file_of_anothers_is_never_touched(folder, tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(RunExistsError, match="not empty and holds no run"):
        Run.create(tmp_path, tiny_config(folder))
    assert [p.name for p in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == content


@pytest.mark.slow
def test_early_stopping_goes_over_interruptions(folder, tmp_path):
    # A learning rate so small that, in float32, the loss of epoch 1 stays the lowest or equal.
    training = TrainingConfig(epochs=9, batch_size=4, learning_rate=1e-12, patience=2)
    vqvae = VQVAEConfig(
        num_embeddings=4, embedding_dim=2, widths=(4,), update="gradient", revival=False,
        embeddings_initializer="uniform",
    )  # fmt: skip
    config = tiny_config(folder, vqvae_training=training, vqvae=vqvae)
    with pytest.raises(KeyboardInterrupt):
        Run.create(tmp_path / "run", config).train("vqvae", 0, [Interrupt(epoch=1)])
    run = Run.create(tmp_path / "run", config)
    run.train("vqvae", verbose=0)
    progress = run.progress("vqvae")
    assert progress.epochs == progress.best_epoch + 2 < 9
    assert progress.stopped


def test_changed_data_is_noticed(folder, tmp_path):
    images = shutil.copytree(folder, tmp_path / "images")
    run = Run.create(tmp_path / "run", tiny_config(images))
    shutil.copy(images / "a" / "00.png", images / "a" / "99.png")
    with pytest.raises(ValueError, match="have changed"):
        Run.open(run.directory).train(verbose=0)


def test_nan_stops_with_the_epoch_and_keeps_the_checkpoint(folder, tmp_path):
    class Poison(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                # The last layer's: before a ReLU, some processors would make 0 of it.
                bias = self.model.decoder.trainable_variables[-1]
                bias.assign(bias * float("nan"))

    run = Run.create(tmp_path / "run", tiny_config(folder, (3, 1)))
    with pytest.raises(
        NonFiniteLossError, match=r"in `reconstruction_loss`.*epoch 2, step 1\..*epoch 1 is kept"
    ):
        run.train(verbose=0, callbacks=[Poison()])
    assert run.progress("vqvae").epochs == 1
    assert not run.finished("vqvae")


@pytest.mark.slow
def test_a_write_that_fails_leaves_the_last_checkpoint(folder, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "run", tiny_config(folder, (3, 1)))
    save = keras.Model.save

    class FullDisk(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            def fail(model, path, **kwargs):
                with open(path, "wb") as file:
                    file.write(b"half")
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(keras.Model, "save", fail if epoch == 1 else save)

    with pytest.raises(OSError, match="No space"):
        run.train(verbose=0, callbacks=[FullDisk()])
    assert run.progress("vqvae").epochs == 1
    assert {p.name for p in run.files.checkpoints.iterdir()} == {
        "vqvae_last.keras",
        "vqvae_best.keras",
    }


def test_checkpoints_that_are_all_damaged_are_named(copy):
    copy.files.model("vqvae").unlink()
    for path in (copy.files.last("vqvae"), copy.files.previous("vqvae")):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"vqvae_last\.keras' is damaged.*Remove .* to begin"):
        copy.train(verbose=0)
    assert copy.progress("vqvae").epochs == 0


def test_a_damaged_best_checkpoint_leaves_the_last_one(copy):
    copy.files.model("vqvae").unlink()
    best = copy.files.best("vqvae")
    best.write_bytes(best.read_bytes()[:-1000])
    with pytest.warns(UserWarning, match=r"vqvae_best\.keras', of the best epoch so far.*damaged"):
        copy.train("vqvae", verbose=0)
    assert Progress.load(copy.files.model("vqvae")).epochs == 3


def test_a_best_checkpoint_of_another_epoch_is_not_taken(copy):
    best, found = copy.files.best("vqvae"), copy.progress("vqvae").best_epoch
    other = found % 3 + 1
    change_progress(best, lambda about: about.update(history=about["history"][:1] * other))
    with pytest.warns(UserWarning, match=rf"best epoch so far \({found}\), holds epoch {other};"):
        _, progress = newest(copy.files, "vqvae")
    assert progress.best_epoch is progress.best_loss is None
    # Killed between the writing of a better one and of the last one: that epoch comes again.
    change_progress(best, lambda about: about.update(history=about["history"][:1] * 4))
    copy.files.model("vqvae").unlink()
    copy.train("vqvae", verbose=0)
    assert Progress.load(copy.files.model("vqvae")).epochs == 3


def change_progress(path, change):
    """Rewrites what a checkpoint says."""
    rewrite_json(path, "keras_vqvae_progress.json", change)


def test_a_checkpoint_of_a_later_package_is_refused_and_stays(copy):
    copy.files.model("vqvae").unlink()
    change_progress(copy.files.last("vqvae"), lambda about: about.update(news=1))
    before = {p: p.read_bytes() for p in copy.files.checkpoints.iterdir()}
    with pytest.raises(ValueError, match=r"vqvae_last\.keras' says more.*'news'.*Use the package"):
        copy.train("vqvae", verbose=0)
    with pytest.raises(ValueError, match="says more"):
        newest(copy.files, "vqvae")
    assert {p: p.read_bytes() for p in copy.files.checkpoints.iterdir()} == before


def test_a_checkpoint_of_before_is_read_without_the_newer_fields(copy):
    change_progress(copy.files.last("vqvae"), lambda about: about.pop("steps"))
    assert copy.progress("vqvae").steps == 0
    assert copy.progress("vqvae").epochs == 3


def test_how_often_to_save_should_be_positive(copy):
    with pytest.raises(ValueError, match="`checkpoint_minutes` should be positive"):
        copy.train(checkpoint_minutes=0)
