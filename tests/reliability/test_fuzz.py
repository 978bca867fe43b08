"""A few of the mutations of `run_all.py`, and what a tampered model file must not do."""

import zipfile
from collections import Counter

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import rewrite_json

from keras_vqvae import data
from keras_vqvae.callbacks.training_state import TrainingState
from keras_vqvae.runs.checkpoints import load_model
from keras_vqvae.runs.directory import RunDirectory
from keras_vqvae.runs.newest_checkpoint import newest
from reliability.fuzz import CODES, EVIL, LAMBDA, MARK, SurpriseError, fuzz, small_model, try_codes


def test_some_mutations_of_each_kind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = fuzz(24, tmp_path / "files", first=10_000)
    assert all(sum(counts.values()) == 24 for counts in found.values())
    # All kinds of ends are met, so that the test does not pass for want of damage.
    assert all(len(counts) > 1 for counts in found.values())


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(number=st.integers(0, 2**40))
def test_any_damage_of_a_code_file_is_noticed(number, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "codes"
    assert Counter([try_codes(number, folder)])


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c["config"].update(encoder=EVIL),
        lambda c: c["config"].update(decoder=LAMBDA),
        lambda c: c["config"]["quantizer"].update(
            module="os", class_name="system", registered_name="system"
        ),
        lambda c: c.update(EVIL),
        lambda c: c["config"]["quantizer"]["config"].update(num_embeddings=10**15),
        lambda c: c["config"].pop("decoder"),
        lambda c: c["config"].update(decoder="text"),
        lambda c: c.update(class_name="NoSuchModel", registered_name="keras_vqvae>NoSuchModel"),
        lambda c: c["config"]["encoder"]["config"]["layers"].insert(
            1,
            {
                "module": "keras.layers",
                "class_name": "Lambda",
                "config": {
                    "name": "lambda",
                    "function": {
                        "class_name": "__lambda__",
                        "config": {"code": "4wAAAA==", "defaults": None, "closure": None},
                    },
                },
                "registered_name": None,
                "name": "lambda",
                "inbound_nodes": [],
            },
        ),
    ],
)
def test_a_tampered_model_runs_nothing(change, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.keras"
    small_model(path)
    rewrite_json(path, "config.json", change)
    with pytest.raises(ValueError, match=r"model\.keras' cannot be loaded"):
        load_model(path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.keras"]
    assert not (tmp_path / MARK).exists()


def test_weights_that_would_be_pickled_are_not_read(tmp_path):
    array = np.array([{"a": 1}], object)
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    np.savez(tmp_path / "x.npz", images=array)
    np.savez(tmp_path / "c.npz", about=array, codes=array)
    for read, name in ((data.load_images, "x.npy"), (data.load_images, "x.npz")):
        with pytest.raises(ValueError, match="whole"):
            read(tmp_path / name)
    with pytest.raises(ValueError, match="code file"):
        data.load_codes(tmp_path / "c.npz")


def test_what_unpacks_to_gigabytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_vqvae.data.files._HARMLESS", 1 << 20)  # of megabytes, here
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", b" " * (1 << 22))
    refused = r"^the file '.*{}' has \d+ bytes and unpacks to \d+, more than 100 times.*savez"
    with pytest.raises(ValueError, match=refused.format(r"model\.keras")):
        load_model(path)
    np.savez_compressed(tmp_path / "codes.npz", codes=np.zeros(1 << 22, "uint8"))
    for read in (data.load_codes, data.load_images):
        with pytest.raises(ValueError, match=refused.format(r"codes\.npz")):
            read(tmp_path / "codes.npz")
    with zipfile.ZipFile(tmp_path / "last.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("about.json", b" " * (1 << 22))
    with pytest.raises(ValueError, match=refused.format(r"last\.npz")):
        TrainingState.newest(tmp_path / "last.npz", tmp_path / "previous.npz")
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "last.npz").rename(tmp_path / "checkpoints" / "vqvae_last.keras")
    with pytest.raises(ValueError, match=refused.format(r"vqvae_last\.keras")):
        newest(RunDirectory(tmp_path), "vqvae")


def test_codes_that_are_all_alike_are_read_back(tmp_path, monkeypatch):
    codes = np.zeros((1 << 17, 4, 8), "int32")
    sizes = {}
    for name, harmless in (("small", 1 << 30), ("large", 1 << 20)):  # of megabytes, here
        monkeypatch.setattr("keras_vqvae.data.files._HARMLESS", harmless)
        path = tmp_path / f"{name}.npz"
        data.save_codes(path, codes, num_embeddings=9, model_fingerprint="f")
        assert np.array_equal(data.load_codes(path).codes, codes)
        sizes[name] = path.stat().st_size
    # A byte each: what is large is not compressed.
    assert sizes["small"] < codes.size / 100 < codes.size < sizes["large"]


def test_a_model_of_a_later_version_says_so_or_loads(tmp_path):
    path = tmp_path / "model.keras"
    values = small_model(path)
    rewrite_json(path, "config.json", lambda c: c["config"].update(something_new=1))
    with pytest.raises(ValueError, match="something_new"):
        load_model(path)
    rewrite_json(path, "config.json", lambda c: c["config"].pop("something_new"))
    loaded = load_model(path)
    assert all(
        np.array_equal(a, keras.ops.convert_to_numpy(b))
        for a, b in zip(values, loaded.weights, strict=True)
    )


def test_the_fuzzer_notices_a_wrong_result(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load_codes", lambda *a, **k: data.CodeFile(np.ones(3), 4, "f"))
    with pytest.raises(SurpriseError):
        try_codes(0, tmp_path)


def test_the_fuzzer_wants_the_file_named_and_not_a_word_of_its_kind(tmp_path, monkeypatch):
    def refuse(path, **kwargs):
        raise ValueError("a code file should have codes")

    monkeypatch.setattr(data, "load_codes", refuse)
    with pytest.raises(SurpriseError, match="does not say what file"):
        try_codes(0, tmp_path)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({}, "loaded as it was"),
        ({"labels": CODES[:, 1, 1]}, "loaded: other labels, with right checksums"),
        ({"codes": CODES[::-1]}, "loaded: other codes, with right checksums"),
        ({"num_embeddings": 201}, "loaded: other number of codes, with right checksums"),
    ],
)
def test_the_fuzzer_says_what_is_other(tmp_path, monkeypatch, other, expected):
    values = {"codes": CODES, "labels": CODES[:, 0, 0], "num_embeddings": 200, **other}

    def tampered(path, number, members):
        data.save_codes(path, model_fingerprint="f", **values)
        return path.read_bytes()

    monkeypatch.setattr("reliability.fuzz._tampered", tampered)
    assert try_codes(1, tmp_path) == expected
