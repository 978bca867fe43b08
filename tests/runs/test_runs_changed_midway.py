"""What is done to a run between its steps: other settings, a callback's end, another process."""

import shutil

import keras
import pytest
from runs_support import tiny_config, write_images
from support import same_bits, values_of

from keras_vqvae.runs import PriorConfig, Run, RunExistsError, TrainingConfig, creating


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """Its VQ-VAE, and no prior."""
    run = Run.create(tmp_path_factory.mktemp("runs") / "run", tiny_config(folder, (2, 1)))
    run.train("vqvae", verbose=0)
    return run


@pytest.fixture
def copy(trained, tmp_path):
    shutil.copytree(trained.directory, tmp_path / "copy")
    return Run.open(tmp_path / "copy")


class StopAt(keras.callbacks.Callback):
    """Ends training behind a step, as a limit of time does."""

    def __init__(self, epoch, step=None):
        super().__init__()
        self.at = (epoch, step)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        if (epoch, None) == self.at:
            self.model.stop_training = True


def test_an_object_from_before_the_settings_were_changed_trains_nothing(copy):
    prior = PriorConfig(filters=16, residual_blocks=1, embedding_dim=4)
    changed = copy.change_prior(prior, TrainingConfig(epochs=1, batch_size=4))
    with pytest.raises(ValueError, match=r"have been changed since .*prior.filters.*`Run\.open`"):
        copy.train(verbose=0)
    assert not copy.files.has_begun("prior")
    changed.train(verbose=0)
    assert changed.prior().filters == 16


def test_a_stage_that_a_callback_ends_within_an_epoch_is_gone_on_with(trained, folder, tmp_path):
    told = []
    run = Run.create(tmp_path / "run", trained.config)
    run.train(verbose=0, callbacks=[StopAt(1, 0)], report=told.append)
    assert not run.finished("vqvae")
    assert not run.files.has_begun("prior")
    assert (run.progress("vqvae").epochs, run.progress("vqvae").steps) == (1, 1)
    assert told[-1] == "A callback has ended the training after step 1 of epoch 2"
    run.train("vqvae", verbose=0)
    assert same_bits(values_of(run.vqvae()), values_of(trained.vqvae()))


def test_a_stage_that_a_callback_ends_with_an_epoch_is_done(trained, tmp_path):
    run = Run.create(tmp_path / "run", trained.config)
    run.train("vqvae", verbose=0, callbacks=[StopAt(0)])
    assert run.finished("vqvae")
    assert run.progress("vqvae").epochs == 1
    # As after a kill just before the model is written.
    run.files.model("vqvae").unlink()
    run.train("vqvae", verbose=0)
    assert run.progress("vqvae").epochs == 1


@pytest.mark.parametrize("killed_in", ["creating.write_json", "directory.RunDirectory.remove"])
def test_figures_of_a_prior_that_was_removed_are_not_those_of_the_next(
    copy, monkeypatch, killed_in
):
    copy.train(verbose=0)
    before = copy.metrics()["prior"]["bits_per_code"]

    def killed(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"keras_vqvae.runs.{killed_in}", killed)
    prior = PriorConfig(filters=16, residual_blocks=1, embedding_dim=4)
    training = TrainingConfig(epochs=2, batch_size=4)
    with pytest.raises(KeyboardInterrupt):
        copy.change_prior(prior, training, overwrite=True)
    monkeypatch.undo()
    again = copy.change_prior(prior, training, overwrite=True)
    again.train(verbose=0)
    assert again.files.samples.exists()
    assert again.metrics()["prior"]["bits_per_code"] != before


def test_a_model_that_is_gone_leaves_no_figures(copy):
    """As where a kill came between removing its files and its figures, in a version before."""
    copy.train(verbose=0)
    for path in copy.files.written_by("prior"):
        path.unlink(missing_ok=True)
    copy.train(verbose=0, callbacks=[StopAt(0, 0)])
    assert "prior" not in copy.metrics()
    copy.train(verbose=0)
    assert copy.files.samples.exists()
    assert copy.metrics()["prior"]["bits_per_code"] > 0


@pytest.mark.parametrize("damaged", [False, True])
def test_a_kill_while_a_run_begins_anew_leaves_the_images_it_was_of(copy, damaged, monkeypatch):
    copy.train(verbose=0)
    before = copy.metrics()["data"]
    if damaged:
        copy.files.metrics.write_text("{")

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("keras_vqvae.runs.directory.RunDirectory.remove", killed)
    with pytest.raises(KeyboardInterrupt):
        Run.create(copy.directory, copy.config, overwrite=True)
    monkeypatch.undo()
    left = copy.metrics()
    assert "seconds" not in left
    assert left.get("data") == (None if damaged else before)
    Run.create(copy.directory, copy.config, overwrite=True)
    assert not copy.files.has_begun("vqvae")
    assert copy.metrics()["data"] == before


def test_a_run_that_another_process_has_made_since_is_looked_at_again(
    folder, tmp_path, monkeypatch
):
    check_fit = creating.check_fit

    def other_process(config, parts):
        monkeypatch.setattr(creating, "check_fit", check_fit)
        other = Run.create(tmp_path / "run", tiny_config(folder, (1, 1)))
        other.train("vqvae", verbose=0)
        check_fit(config, parts)

    monkeypatch.setattr(creating, "check_fit", other_process)
    with pytest.raises(RunExistsError, match="holds a run with other settings"):
        Run.create(tmp_path / "run", tiny_config(folder, (2, 1)))
    assert Run.open(tmp_path / "run").config == tiny_config(folder, (1, 1))


def test_figures_of_both_stages_are_of_the_same_images(trained, tmp_path):
    """The first ones are made anew where the test images have changed since."""
    run = Run.create(tmp_path / "run", trained.config)
    run.train("vqvae", verbose=0)
    before = run.metrics()
    run.files.metrics.write_text(
        run.files.metrics.read_text().replace(before["evaluated_images"], "0" * 64)
    )
    seen = []
    evaluate = run.evaluate
    run.evaluate = lambda stage, verbose: seen.append(stage) or evaluate(stage=stage)
    run.train(verbose=0)
    assert seen == ["all"]
    assert run.metrics()["evaluated_images"] == before["evaluated_images"]
    assert run.metrics()["vqvae"] == before["vqvae"]
