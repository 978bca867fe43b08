"""`Comparison`: models trained alike, and what images cost under each."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
from runs_support import tiny_config, write_images

from keras_vqvae import data, evaluation, models
from keras_vqvae.runs import (
    Comparison,
    PriorConfig,
    Run,
    RunConfig,
    RunExistsError,
    RunInUseError,
    VQVAEConfig,
    comparing,
    comparison_rows,
    creating,
    hold_directory,
    parts,
)
from keras_vqvae.runs.building import build_quantizer
from keras_vqvae.runs.config import QUANTIZERS

MODELS = ["autoencoder", "vae", "vqvae", "lookup_free"]


def config_for(folder, **changes):
    vqvae = VQVAEConfig(
        num_embeddings=4, embedding_dim=2, widths=(4,), likelihood="discretized_logistic"
    )
    return tiny_config(folder, **{"vqvae": vqvae, **changes})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("images")
    write_images(place / "train", 40)
    write_images(place / "test", 20)
    return place


@pytest.fixture(scope="module")
def done(folder, tmp_path_factory):
    """A comparison that is trained, and its figures."""
    directory = tmp_path_factory.mktemp("comparison")
    comparison = Comparison.create(directory, config_for(folder), MODELS)
    return comparison, comparison.run(samples=0)


def test_figures_are_those_of_the_models(done):
    comparison, found = done
    assert list(found["models"]) == MODELS
    assert json.loads(comparison.figures_file.read_text()) == found
    assert RunConfig.from_dict(found["config"]) == comparison.config
    images = comparison.parts.test.as_array()
    contenders = {one.name: one for one in comparison.contenders}

    def bits(log_probs):
        return -np.mean(log_probs, dtype="float64") / 64 / math.log(2)

    prices = {name: figures["bits_per_dimension"] for name, figures in found["models"].items()}
    autoencoder, vae = (contenders[name].model() for name in ("autoencoder", "vae"))
    assert prices["autoencoder"] == {
        "reconstruction": pytest.approx(bits(autoencoder.reconstruction_log_prob(images)))
    }
    assert prices["vae"]["total"] == pytest.approx(bits(vae.log_prob_bound(images)))
    weighted = bits(vae.log_prob_bound(images, 16))
    assert prices["vae"]["total_importance_weighted"] == pytest.approx(weighted)
    assert prices["vae"]["latents"] == pytest.approx(-bits(vae.kl_divergence(images)))
    run = contenders["vqvae"].run()
    two_stage = models.TwoStage(run.vqvae(), run.prior())
    # To the last digit: float32 log-probabilities of images, summed in float64 by both.
    assert prices["vqvae"]["total_prior"] == pytest.approx(
        bits(two_stage.log_prob(images)), rel=1e-14
    )
    # 4×4 codes of 2 bits, 64 numbers
    assert prices["vqvae"]["codes_uniform"] == 0.5
    for quantized in ("vqvae", "lookup_free"):
        price = prices[quantized]
        for kind in ("uniform", "histogram", "prior"):
            assert price[f"total_{kind}"] == price["reconstruction"] + price[f"codes_{kind}"]
        assert price["codes_histogram"] <= price["codes_uniform"]
    assert found["files"]["png"] > 8 < found["files"]["webp"]  # noise, and headers


def test_the_budget_is_the_same(done):
    comparison, found = done
    steps = set()
    for one in comparison.contenders:
        steps.add(int(one.model().optimizer.iterations))
    assert steps == {8}  # 30 of 40 images train, by 4
    # A VAE's encoder has twice the outputs: a 1×1 convolution of 4 channels to 2 more.
    counts = {name: figures["parameters"] for name, figures in found["models"].items()}
    assert counts["vae"] - counts["autoencoder"] == 2 * (4 + 1)


def test_samples_of_every_model_are_judged_by_one_extractor(done, monkeypatch):
    comparison, _ = done
    seen = []

    def judged(real, samples):
        seen.append((real.shape, samples.shape))
        return {"frechet_distance": float(len(seen)), "precision": 0.5, "recall": 0.25}

    monkeypatch.setattr(evaluation, "evaluate_samples", judged)
    monkeypatch.setattr(comparing, "check_enough", lambda *counts: None)  # 20 are too few
    found = comparison.run()
    assert "classifier of the labels" in found["feature_extractor"]
    assert len(seen) == len(MODELS)
    assert len({shape for pair in seen for shape in pair}) == 1
    assert seen[0][0][0] == 20
    assert [found["models"][name]["samples"]["frechet_distance"] for name in MODELS] == [1, 2, 3, 4]


def test_one_process_at_a_time(done):
    comparison, _ = done
    with (
        hold_directory(comparison.directory),
        pytest.raises(RunInUseError, match="at work"),
    ):
        comparison.run()


def test_too_few_images_for_a_distance_are_a_note(done):
    found = done[0].run(samples=5)
    assert "Samples were not compared" in found["notes"][0]
    assert "feature_extractor" not in found  # none was made for it
    assert all("samples" not in figures for figures in found["models"].values())


def test_the_page_is_one_file_and_has_all_models(done):
    page = done[0].page.read_text()
    assert "http" not in page
    for text in (
        "autoencoder",
        "VAE",
        "VQ-VAE",
        "lookup_free",
        "evidence lower bound",
        "codes under the prior",
        "PNG files",
    ):
        assert text in page


def test_trained_models_stay_and_further_ones_are_added(done, folder):
    comparison, found = done
    files = sorted(comparison.directory.rglob("*.keras"))
    before = [file.stat().st_mtime_ns for file in files]
    again = Comparison.create(comparison.directory, config_for(folder), ["vae", "finite_scalar"])
    more = again.run(samples=0)
    assert [file.stat().st_mtime_ns for file in files] == before
    assert list(more["models"]) == [*MODELS, "finite_scalar"]
    for name in MODELS:
        assert more["models"][name]["mse"] == found["models"][name]["mse"]
    assert more["models"]["finite_scalar"]["mse"] > 0
    page = again.page.read_text()
    assert all(name in page for name in ("autoencoder", "lookup_free", "finite_scalar"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"models": {}}, r"comparison\.json' is damaged.*`config`.*Restore it, or.*`--output`"),
        ({"config": None}, r"comparison\.json' is damaged.*`config`"),
        ({"models": {"gan": {}}}, r"comparison\.json' is damaged.*`models` are not some of auto"),
        ({"config": {"sede": 3}}, r"comparison\.json': .*sede.*Restore it, or"),
    ],
)
def test_a_comparison_file_without_what_it_should_have_is_named(folder, tmp_path, content, message):
    if "config" not in content and content["models"]:
        content = {**content, "config": config_for(folder).to_dict()}
    (tmp_path / "comparison.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message):
        Comparison.create(tmp_path, config_for(folder), ["vae"])
    assert [p.name for p in tmp_path.iterdir()] == ["comparison.json"]


def test_all_models_are_judged_by_the_test_images_that_are_there_now(tmp_path):
    images = tmp_path / "images"
    write_images(images / "train", 12)
    write_images(images / "test", 8)
    Comparison.create(tmp_path / "c", config_for(images), ["vqvae"]).run(samples=0)
    (images / "test" / "a" / "00.png").unlink()
    comparison = Comparison.create(tmp_path / "c", config_for(images), ["vqvae", "autoencoder"])
    found = comparison.run(samples=0)["models"]
    assert found["vqvae"]["images"] == found["autoencoder"]["images"] == 7
    run = comparison.contenders[0].run()
    assert run.metrics()["vqvae"]["images"] == 7  # it is known there, too
    expected = run.evaluate()
    assert found["vqvae"]["mse"] == pytest.approx(expected["vqvae"]["mse"])
    assert found["vqvae"]["bits_per_image_prior"] == pytest.approx(
        expected["prior"]["bits_per_image"]
    )


def test_a_comparison_that_another_process_has_made_since_is_looked_at(
    folder, tmp_path, monkeypatch
):
    check_fit = creating.check_fit

    def other_process(config, parts):
        monkeypatch.setattr(creating, "check_fit", check_fit)
        other = config_for(folder, prior=PriorConfig(filters=8))
        Comparison.create(tmp_path / "c", other, ["vae"])

    monkeypatch.setattr(creating, "check_fit", other_process)
    with pytest.raises(RunExistsError, match="a comparison with other settings"):
        Comparison.create(tmp_path / "c", config_for(folder), ["vae"])


def test_images_that_have_changed_are_refused(tmp_path):
    images = write_images(tmp_path / "images", 12)
    first = Comparison.create(tmp_path / "c", config_for(images), ["autoencoder"])
    first.run(samples=0)
    before = first.figures_file.read_bytes()
    assert json.loads(before)["fingerprint"] == first.fingerprint()
    shutil.copy(images / "a" / "00.png", images / "a" / "99.png")
    for names in (["autoencoder"], ["vae"]):
        with pytest.raises(ValueError, match="have changed since this comparison began"):
            Comparison.create(tmp_path / "c", config_for(images), names)
    assert first.figures_file.read_bytes() == before
    # Of a comparison without a fingerprint nothing is known.
    content = json.loads(before)
    del content["fingerprint"]
    first.figures_file.write_text(json.dumps(content))
    Comparison.create(tmp_path / "c", config_for(images), ["autoencoder"])


def test_all_models_share_images_that_are_loaded_once(folder, tmp_path, monkeypatch):
    loaded = []

    def counted(source, part="train", *args):
        loaded.append(part)
        return data.load_images(source, part, *args)

    monkeypatch.setattr(parts, "load_images", counted)
    quantized = ["vqvae", "lookup_free", "finite_scalar"]
    comparison = Comparison.create(tmp_path, config_for(folder), quantized)
    assert all(one.run().finished("vqvae") is False for one in comparison.contenders)
    assert loaded.count("train") == 1


def test_a_finished_comparison_needs_no_checkpoints(folder, tmp_path):
    config = config_for(folder)
    first = Comparison.create(tmp_path / "c", config, ["autoencoder"]).run(samples=0)
    shutil.rmtree(tmp_path / "c" / "autoencoder" / "checkpoints")
    again = Comparison.create(tmp_path / "c", config, ["autoencoder"]).run(samples=0)
    assert again["models"] == first["models"]
    # A model that is trained again has a time of its own.
    place = tmp_path / "c" / "autoencoder"
    (place / "autoencoder.keras").unlink()
    (place / "metrics.json").write_text(json.dumps({"seconds": {"training": 12345.0}}))
    anew = Comparison.create(tmp_path / "c", config, ["autoencoder"]).run(samples=0)
    assert 0 < anew["models"]["autoencoder"]["seconds"]["training"] < 12345


def test_a_kill_in_the_first_write_keeps_no_comparison_from_beginning(folder, tmp_path):
    (tmp_path / f".comparison.{'0a' * 6}.tmp.json").write_bytes(b"half")
    assert Comparison.create(tmp_path, config_for(folder), ["vae"]).figures_file.exists()


def test_rows_have_a_price_each(done):
    rows = comparison_rows(done[1])
    names = [row[0] for row in rows]
    assert names[:3] == ["autoencoder", "VAE, evidence lower bound", "  importance-weighted bound"]
    assert names[3:6] == [
        "VQ-VAE, codes equally likely",
        "  codes by their histogram",
        "  codes under the prior",
    ]
    assert names[6] == "VQ-VAE, lookup_free, codes equally likely"
    assert names[-2:] == ["PNG files", "lossless WebP files"]
    bits = done[1]["models"]["vqvae"]["bits_per_dimension"]
    assert rows[3][1:5] == (
        "32",
        f"{bits['reconstruction']:.3f}",
        "0.500",
        f"{bits['total_uniform']:.3f}",
    )
    assert rows[0][3:5] == ("–", "–")  # an autoencoder's latents have no price


def test_binary_images_have_prices_under_a_bernoulli_and_grey_ones_none(folder, tmp_path):
    vqvae = VQVAEConfig(num_embeddings=4, embedding_dim=2, widths=(4,), likelihood="bernoulli")
    comparison = Comparison.create(tmp_path / "c", config_for(folder, vqvae=vqvae), ["vae"])
    # What a process that was killed had begun to write.
    files = [comparison.figures_file, comparison.page, tmp_path / "c" / "vae" / "vae.keras"]
    for file in [*files, tmp_path / "c" / "vae" / "checkpoints" / "vae_last.keras"]:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_name(f".{file.stem}.{'0a' * 6}.tmp{file.suffix}").write_bytes(b"half")
    found = comparison.run(samples=0)
    assert not list(comparison.directory.rglob(".*"))
    assert found["models"]["vae"]["bits_per_dimension"] == {}
    assert comparison_rows(found)[0][1:5] == ("–", "–", "–", "–")


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], "at least one model"),
        (["vae", "vae"], "each once"),
        (["vae", "gan"], "should be some of autoencoder, vae, vqvae, vector.*'gan'"),
    ],
)
def test_wrong_models_are_refused_before_anything_is_written(folder, tmp_path, models, message):
    with pytest.raises(ValueError, match=message):
        Comparison.create(tmp_path / "c", config_for(folder), models)
    assert not (tmp_path / "c").exists()


def test_a_new_comparison_in_the_folder_of_its_images_is_refused(tmp_path):
    folder = write_images(tmp_path / "images", 8)
    with pytest.raises(ValueError, match=r"lies in the folder of images .* would become images"):
        Comparison.create(folder / "comparison", config_for(folder), ["vae"])
    assert not (folder / "comparison").exists()


def test_settings_that_do_not_fit_are_refused_before_anything_is_written(folder, tmp_path):
    config = config_for(folder)
    odd = dataclasses.replace(config, vqvae=dataclasses.replace(config.vqvae, num_embeddings=5))
    with pytest.raises(ValueError, match="power of two for the quantizer 'finite_scalar'"):
        Comparison.create(tmp_path / "c", odd, ["vqvae", "finite_scalar"])
    assert not (tmp_path / "c").exists()


def test_other_settings_and_other_files_are_refused(done, folder, tmp_path):
    with pytest.raises(RunExistsError, match="seed: 3 -> 4"):
        Comparison.create(done[0].directory, config_for(folder, seed=4))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunExistsError, match="holds no comparison"):
        Comparison.create(tmp_path, config_for(folder))
    with pytest.raises(ValueError, match="`samples` should be at least 0"):
        done[0].run(samples=-1)


def test_a_run_and_a_comparison_are_not_taken_for_each_other(done, folder, tmp_path):
    with pytest.raises(RunExistsError, match="not empty"):
        Run.create(done[0].directory, config_for(folder))
    Run.create(tmp_path / "run", config_for(folder))
    with pytest.raises(RunExistsError, match="holds no comparison"):
        Comparison.create(tmp_path / "run", config_for(folder))


@pytest.mark.parametrize("name", QUANTIZERS)
def test_every_quantizer_has_the_size_that_is_asked_for(name):
    quantizer = build_quantizer(VQVAEConfig(num_embeddings=64, embedding_dim=3, quantizer=name))
    quantizer.build((None, 2, 2, quantizer.embedding_dim or 3))
    assert quantizer.num_embeddings == 64


@pytest.mark.parametrize("size", [2, 4, 8, 16, 32, 1024])
def test_no_finite_scalar_quantizer_starts_with_zeros_alone(size):
    layer = build_quantizer(VQVAEConfig(num_embeddings=size, quantizer="finite_scalar"))
    assert np.prod(layer.levels) == size
    start = 0.15 * np.random.default_rng(0).standard_normal((64, len(layer.levels)))
    assert np.any(layer(start.astype("float32")))
