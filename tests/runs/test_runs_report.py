"""`Run.write_report`: figures of samples, the page, and what is left out without a prior."""

import dataclasses
import json
import math
import shutil

import keras
import numpy as np
import pytest
from runs_support import tiny_config, write_images
from support import grey_images

from keras_vqvae import evaluation, models
from keras_vqvae.runs import PriorConfig, Run, figure_rows, held_out

# What an image costs in bits per dimension, as far as no prior is needed.
WITHOUT_PRIOR = {
    "codes_uniform",
    "codes_histogram",
    "reconstruction",
    "total_uniform",
    "total_histogram",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with labels, of more test images than features of the classifier."""
    folder = tmp_path_factory.mktemp("images")
    write_images(folder / "train", 180)
    write_images(folder / "test", 132)
    config = tiny_config(folder, prior=PriorConfig(4, 1, 4, conditional=True))
    config = dataclasses.replace(
        config,
        vqvae_training=dataclasses.replace(config.vqvae_training, batch_size=64),
        prior_training=dataclasses.replace(config.prior_training, batch_size=64),
    )
    run = Run.create(tmp_path_factory.mktemp("run"), config)
    run.train(verbose=0)
    return run, run.write_report()


@pytest.fixture
def run(trained, tmp_path):
    return Run.open(shutil.copytree(trained[0].directory, tmp_path / "run"))


def test_the_figures_are_there_and_in_metrics_json(trained):
    run, figures = trained
    metrics = json.loads(run.files.metrics.read_text())
    for group in ("vqvae", "prior", "bits_per_dimension", "samples", "nearest_training_image"):
        assert {**metrics[group], **figures[group]} == metrics[group]
    # what training wrote is still there
    assert {"parameters", "epochs", "fingerprint", "code_shape"} <= set(metrics["vqvae"])
    assert {"seconds", "data", "environment", "evaluated_on"} <= set(metrics)
    assert figures["part"] == metrics["evaluated_on"] == "test"
    assert figures["notes"] == metrics["notes"] == []
    assert figures["samples"]["samples"] == figures["samples"]["real_images"] == 132
    assert "classifier of the labels" in figures["samples"]["feature_extractor"]
    assert "% right on test images" in figures["samples"]["feature_extractor"]


def test_bits_are_those_of_codes_by_dimension(trained):
    bits, figures = trained[1]["bits_per_dimension"], trained[1]
    # 4×4 codes of 2 bits, 8×8 numbers
    assert bits["codes_uniform"] == 0.5
    assert bits["codes_prior"] == pytest.approx(figures["prior"]["bits_per_code"] * 16 / 64)


def test_bits_are_those_of_the_model_of_both_stages_to_the_last_digit(trained):
    run, figures = trained
    source = run.parts.test
    model = models.TwoStage(run.vqvae(), run.prior())
    log_prob = model.log_prob(source.as_array(), source.labels)
    bits = figures["bits_per_dimension"]
    assert bits["total_prior"] == pytest.approx(-log_prob.mean() / 64 / math.log(2), rel=1e-14)
    assert bits["total_prior"] == bits["reconstruction"] + bits["codes_prior"]
    assert bits["total_uniform"] == bits["reconstruction"] + bits["codes_uniform"]


def test_the_figures_of_samples_are_those_of_the_parts(trained):
    """Each step by hand, from the models of the run."""
    run, figures = trained
    test = run.parts.test
    # every class as often as in the test images, in the order that the run's seed gives
    labels = np.random.default_rng(run.config.seed).permutation(test.labels)
    codes = run.prior().sample(132, labels=labels, seed=run.config.seed, verbose=0)
    samples = run.vqvae().decode(codes)
    classifier = keras.models.load_model(run.files.classifier)
    features = evaluation.classifier_features(classifier)
    expected = evaluation.evaluate_samples(test.as_array(), samples, features)
    found = figures["samples"]
    assert found["frechet_distance"] == pytest.approx(expected["frechet_distance"], rel=1e-3)
    assert found["precision"] == pytest.approx(expected["precision"])
    assert found["recall"] == pytest.approx(expected["recall"])
    _, distances = evaluation.nearest_images(samples[:128], run.parts.train, 1)
    nearest = figures["nearest_training_image"]
    assert nearest["samples"] == pytest.approx(np.median(distances), rel=1e-4)


def test_the_page_shows_what_there_is(trained):
    run, figures = trained
    page = run.files.report.read_text()
    for text in ("Reconstructions", "Samples", "Nearest training images", "Usage", "Training"):
        assert f"<h2>{text}" in page
    for name, number, _ in figure_rows(figures):
        assert name in page
        assert number in page
    assert "http" not in page
    assert page.count("<img") > 12


@pytest.mark.slow
def test_a_second_report_is_the_same_and_trains_no_classifier(trained, run, monkeypatch):
    before, page = run.metrics(), run.files.report.read_text()

    def refuse(*args, **kwargs):
        raise AssertionError("there is one")

    monkeypatch.setattr(evaluation, "train_classifier", refuse)
    run.write_report()
    assert run.metrics() == before
    title = f">keras_vqvae: {trained[0].directory.name}<"
    assert title in page
    assert run.files.report.read_text() == page.replace(title, ">keras_vqvae: run<")


def test_other_images_change_nothing_in_the_run(run, tmp_path):
    before = run.metrics(), run.files.report.read_text()
    other = grey_images(5), np.array([0, 1, 0, 1, 1])
    figures = run.write_report(other, samples=3, path=tmp_path / "other.html")
    assert figures["vqvae"]["images"] == 5
    assert "samples" not in figures
    assert any("at least 129 real" in note for note in figures["notes"])
    assert "at least 129 real" in (tmp_path / "other.html").read_text()
    assert (run.metrics(), run.files.report.read_text()) == before


def test_other_images_are_encoded_once_for_a_prior_and_the_page(run, tmp_path, monkeypatch):
    calls, encode = [], held_out.encode_source
    monkeypatch.setattr(
        held_out, "encode_source", lambda *a, **k: calls.append(a) or encode(*a, **k)
    )
    other = grey_images(5), np.array([0, 1, 0, 1, 1])
    run.write_report(other, samples=0, path=tmp_path / "other.html")
    assert len(calls) == 1


def test_other_images_in_a_folder_named_train_are_no_training_images(run, tmp_path):
    found = run.write_report(write_images(tmp_path / "train", 6), samples=0)
    assert found["part"] == "train"
    assert not any("training images" in note for note in found["notes"])
    assert found["nearest_training_image"]["held_out_images"] > 0


def test_a_prior_after_a_report_without_one_has_its_prices_and_no_note(run):
    run.files.remove(("prior",))
    metrics = run.metrics()
    for name in ("prior", "samples", "nearest_training_image", "notes", "bits_per_dimension"):
        del metrics[name]
    for name in ("prior", "sample"):
        del metrics["seconds"][name]
    run.files.metrics.write_text(json.dumps(metrics))
    run = Run.open(run.directory)
    run.write_report()
    assert "no trained prior" in run.metrics()["notes"][0]
    metrics = run.train(verbose=0)
    assert not any("no trained prior" in note for note in metrics.get("notes", []))
    bits = metrics["bits_per_dimension"]
    assert bits["codes_prior"] == pytest.approx(metrics["prior"]["bits_per_code"] * 16 / 64)
    assert bits["total_prior"] == bits["reconstruction"] + bits["codes_prior"]


def test_too_few_images_are_told_of_before_a_classifier_is_trained(run):
    run.files.classifier.unlink()
    said = []
    figures = run.write_report(samples=60, report=said.append)
    assert "at least 129 real" in figures["notes"][0]
    assert "60 real and 60 generated" in figures["notes"][0]
    assert not run.files.classifier.exists()
    assert not any("classifier" in text for text in said)


def test_no_samples_if_none_are_asked_for(run):
    figures = run.write_report(samples=0)
    assert "0 were asked for" in figures["notes"][0]
    assert "samples" not in figures
    assert "samples" not in run.metrics()  # nor those of the evaluation before
    assert "nearest_training_image" in run.metrics()
    assert "<h2>Samples" in run.files.report.read_text()  # a sheet of them to look at
    with pytest.raises(ValueError, match="samples=-1"):
        run.write_report(samples=-1)
    with pytest.raises(IsADirectoryError, match="name of a file"):
        run.write_report(path=run.directory)


def test_without_a_prior_what_needs_it_is_left_out_by_name(run):
    run.files.remove(("prior",))
    run = Run.open(run.directory)
    figures = run.write_report()
    assert set(figures) == {"part", "vqvae", "bits_per_dimension", "notes"}
    assert set(figures["bits_per_dimension"]) == WITHOUT_PRIOR
    assert "no trained prior" in figures["notes"][0]
    page = run.files.report.read_text()
    assert "no trained prior" in page
    assert "<h2>Samples" not in page
    assert "<h2>Reconstructions" in page
    with pytest.raises(ValueError, match=r"no trained prior.*samples=5.*keras-vqvae prior"):
        run.write_report(samples=5)


def test_a_new_prior_forgets_the_figures_of_the_old_one(run):
    changed = run.change_prior(PriorConfig(8, 1, 4), run.config.prior_training, overwrite=True)
    metrics = changed.metrics()
    assert not {"prior", "samples", "nearest_training_image"} & set(metrics)
    assert set(metrics["bits_per_dimension"]) == WITHOUT_PRIOR
    assert not changed.files.report.exists()
    assert changed.files.classifier.exists()  # it is of the data


@pytest.mark.slow
def test_images_without_labels_are_compared_by_the_encoder(tmp_path):
    folder = write_images(tmp_path / "images", 70, classes=())
    run = Run.create(tmp_path / "run", tiny_config(folder))
    run.train(verbose=0)
    figures = run.write_report(batch_size=16)
    # 17 validation images, 4×4 positions of 2 numbers: 32 features are too many
    assert "at least 33 real" in figures["notes"][0]
    figures = run.write_report(grey_images(40), batch_size=16)
    assert figures["samples"]["feature_extractor"] == "the VQ-VAE's own encoder"
    assert figures["samples"]["features"] == 32
    assert not run.files.classifier.exists()


@pytest.mark.parametrize("number", [2, 4])
def test_images_that_cannot_be_read_are_an_error_and_no_note(run, monkeypatch, number):
    before, features, calls = run.metrics(), evaluation.image_features, []

    def broken(*args, **kwargs):  # of samples, or of training images
        calls.append(1)
        if len(calls) == number:
            raise ValueError("the image 'a/000.png' cannot be read")
        return features(*args, **kwargs)

    monkeypatch.setattr(evaluation, "image_features", broken)
    with pytest.raises(ValueError, match=r"^the image 'a/000\.png' cannot be read"):
        run.write_report()
    assert run.metrics() == before


@pytest.mark.slow
def test_images_are_read_in_batches(run, monkeypatch):
    asked = []
    source = run.parts.test
    original = type(source)._read

    def watched(self, indices):
        asked.append(len(indices))
        return original(self, indices)

    monkeypatch.setattr(type(source), "_read", watched)
    run.write_report(batch_size=32)
    # batches, and at most 128 images to draw or to look for copies of
    assert max(asked) <= 256
