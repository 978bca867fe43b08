import json
import os

import keras
import numpy as np
import pytest

from keras_vqvae import layers, models
from keras_vqvae.data import (
    ArraySource,
    encode_to_file,
    is_code_file,
    load_codes,
    save_codes,
)

CODES = np.random.default_rng(0).integers(0, 8, (5, 2, 3))


@pytest.fixture
def path(tmp_path):
    save_codes(
        tmp_path / "codes.npz",
        CODES,
        num_embeddings=8,
        model_fingerprint="a" * 64,
        labels=np.arange(5),
    )
    return tmp_path / "codes.npz"


def test_round_trip(path):
    file = load_codes(path, model_fingerprint="a" * 64)
    np.testing.assert_array_equal(file.codes, CODES)
    assert file.codes.dtype == file.labels.dtype == np.int32
    assert file.labels.tolist() == [0, 1, 2, 3, 4]
    assert (file.num_embeddings, file.fingerprint, file.version) == (8, "a" * 64, 1)
    assert is_code_file(path)


def test_several_codes_a_position_and_no_labels(tmp_path):
    codes = CODES.reshape(5, 1, 2, 3)
    save_codes(tmp_path / "x", codes, num_embeddings=8, model_fingerprint="f")
    file = load_codes(tmp_path / "x")
    np.testing.assert_array_equal(file.codes, codes)
    assert file.labels is None


def test_tables_of_several_sizes(tmp_path):
    codes = np.array([[[[3, 299], [0, 0]]]])
    save_codes(tmp_path / "x", codes, num_embeddings=(4, np.int64(300)), model_fingerprint="f")
    with np.load(tmp_path / "x") as arrays:
        assert arrays["codes"].dtype == "uint16"
    file = load_codes(tmp_path / "x")
    np.testing.assert_array_equal(file.codes, codes)
    assert file.num_embeddings == (4, 300)


@pytest.mark.parametrize(
    ("quantizer", "shape"),
    [
        (layers.ResidualVectorQuantizer(2, (4, 8)), (3, 2, 2, 2)),
        (layers.ProductQuantizer(2, (4, 8)), (3, 2, 2, 2)),
        (layers.MultiScaleVectorQuantizer(4, scales=(1, 2)), (3, 5)),
    ],
    ids=["residual", "product", "multi_scale"],
)
def test_codes_of_every_quantizer_have_files(tmp_path, quantizer, shape):
    model = models.convolutional_vqvae((8, 8, 1), embedding_dim=4, quantizer=quantizer)
    source = ArraySource(np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8))
    encode_to_file(model, source, tmp_path / "x")
    file = load_codes(tmp_path / "x", model_fingerprint=model.fingerprint())
    assert file.codes.shape == shape
    assert file.num_embeddings == model.num_embeddings
    np.testing.assert_array_equal(file.codes, model.encode(source.as_array()))


def test_codes_in_a_sequence(tmp_path):
    codes = CODES.reshape(5, 6)
    save_codes(tmp_path / "x", codes, num_embeddings=8, model_fingerprint="f")
    np.testing.assert_array_equal(load_codes(tmp_path / "x").codes, codes)


@pytest.mark.parametrize(
    ("num_embeddings", "dtype"),
    [
        (1, "uint8"),
        (256, "uint8"),
        (257, "uint16"),
        (65536, "uint16"),
        (65537, "uint32"),
        (2**31, "uint32"),
    ],
)
def test_smallest_dtype(tmp_path, num_embeddings, dtype):
    codes = np.full((1, 1, 1), num_embeddings - 1)
    save_codes(tmp_path / "x", codes, num_embeddings=num_embeddings, model_fingerprint="f")
    with np.load(tmp_path / "x") as arrays:
        assert arrays["codes"].dtype == dtype
    np.testing.assert_array_equal(load_codes(tmp_path / "x").codes, codes)


def test_codes_that_would_shrink_too_far_to_be_read_are_not_compressed(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_vqvae.data.files._HARMLESS", 1000)
    alike, noise = (
        np.zeros((400, 32, 32), int),
        np.random.default_rng(0).integers(0, 8, (9, 32, 32)),
    )
    for codes, compressed in ((alike, False), (noise, True)):
        save_codes(tmp_path / "x", codes, num_embeddings=8, model_fingerprint="f")
        assert (os.path.getsize(tmp_path / "x") < codes.size) == compressed  # a byte each
        np.testing.assert_array_equal(load_codes(tmp_path / "x").codes, codes)


def test_codes_of_another_model_are_refused_by_name(path):
    with pytest.raises(ValueError, match=f"another model.*{'a' * 12},.* {'b' * 12}\\."):
        load_codes(path, model_fingerprint="b" * 64)


@pytest.mark.parametrize(
    ("codes", "num_embeddings", "labels", "error", "match"),
    [
        (CODES, 7, None, ValueError, r"\[0, 7\).*to 7"),
        (-CODES, 8, None, ValueError, "from -7"),
        (np.minimum(CODES, 1) - 1, 8, None, ValueError, "from -1 to 0.*no padding.*docs/data.md"),
        (CODES.astype(float), 8, None, TypeError, "`codes` should be integers"),
        (CODES[0, 0], 8, None, ValueError, r"codes.shape=\(3,\)"),
        (CODES, 0, None, ValueError, "num_embeddings=0"),
        (CODES, 2**31 + 1, None, ValueError, "num_embeddings=2147483649"),
        (CODES, 2.5, None, TypeError, "num_embeddings=2.5"),
        (CODES, (), None, TypeError, r"num_embeddings=\(\)"),
        (CODES, (8, 8.0, 8), None, TypeError, "num_embeddings="),
        (CODES, (8, 0, 8), None, ValueError, "num_embeddings="),
        (CODES, (8, 8), None, ValueError, r"2 codes a position.*codes.shape=\(5, 2, 3\)"),
        (CODES, (8, 4, 8), None, ValueError, r"\[0, \(8, 4, 8\)\)"),
        (CODES, 8, np.zeros(4, int), ValueError, r"`labels`.*\(5,\)"),
        (CODES, 8, np.zeros(5), TypeError, "`labels` should be integers"),
    ],
)
def test_bad_arguments_write_nothing(tmp_path, codes, num_embeddings, labels, error, match):
    with pytest.raises(error, match=match):
        save_codes(
            tmp_path / "x",
            codes,
            num_embeddings=num_embeddings,
            model_fingerprint="f",
            labels=labels,
        )
    assert os.listdir(tmp_path) == []


def test_truncated_at_any_place(path):
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 37), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="`path` should be a"):
            load_codes(path)
        assert not is_code_file(path)


def test_a_changed_byte_is_noticed(path):
    whole = path.read_bytes()
    # The compressed codes: beyond the header of the first member, before the directory.
    for position in range(60, 300, 20):
        changed = bytearray(whole)
        changed[position] ^= 0xFF
        path.write_bytes(bytes(changed))
        try:
            file = load_codes(path)
        except ValueError:
            continue
        # A byte that carries nothing, as a date: then the content must be the same.
        np.testing.assert_array_equal(file.codes, CODES)
        assert file.fingerprint == "a" * 64


def rewrite(path, codes=CODES, labels=None, **changes):
    about = {
        "format": "keras_vqvae.codes",
        "version": 1,
        "num_embeddings": 8,
        "model_fingerprint": "f",
        **changes,
    }
    members = {} if labels is None else {"labels": labels}
    if codes is not None:
        members["codes"] = codes
    with open(path, "wb") as file:
        np.savez(file, about=np.array(json.dumps(about)), **members)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"version": 2}, "version 2"),
        ({"format": "other"}, "something else"),
        ({"num_embeddings": 4}, r"damaged.*\[0, 4\)"),
        ({"num_embeddings": "8"}, "lacks data"),
        ({"num_embeddings": [8, "8", 8]}, "damaged"),
        ({"num_embeddings": [8, 4, 8]}, "damaged"),
        ({"model_fingerprint": None}, "lacks data"),
        ({"codes": None}, "lacks data"),
        ({"codes": CODES.astype(float)}, "damaged.*integers"),
        ({"codes": np.array([None], object)}, "`path`"),
        ({"labels": np.zeros(3, int)}, "damaged.*labels"),
    ],
)
def test_tampered_files(path, changes, match):
    rewrite(path, **changes)
    with pytest.raises(ValueError, match=match):
        load_codes(path)


def test_foreign_files(tmp_path):
    np.save(tmp_path / "a.npy", CODES)
    np.savez(tmp_path / "b.npz", codes=CODES)
    (tmp_path / "c.txt").write_text("text")
    for name in ("a.npy", "b.npz", "c.txt"):
        assert not is_code_file(tmp_path / name)
        with pytest.raises(ValueError, match=f"`path` should be a.*{name}"):
            load_codes(tmp_path / name)
    assert not is_code_file(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        load_codes(tmp_path / "nothing")


class Model:
    """Codes are the pixels of the left upper quarter, modulo the size of the table."""

    num_embeddings = 4
    batches = ()

    def encode(self, images):
        self.batches = (*self.batches, len(images))
        return images[:, :2, :2, 0].astype("int32") % self.num_embeddings

    def fingerprint(self):
        return "abc"


def test_encode_to_file(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 1), dtype=np.uint8)
    source, model = ArraySource(images, labels=np.arange(5)), Model()
    result = encode_to_file(model, source, tmp_path / "x.npz", batch_size=2)
    read = load_codes(tmp_path / "x.npz", model_fingerprint="abc")
    assert model.batches == (2, 2, 1)
    for file in (result, read):
        np.testing.assert_array_equal(file.codes, images[:, :2, :2, 0] % 4)
        assert file.labels.tolist() == [0, 1, 2, 3, 4]
        assert file.num_embeddings == 4
    with pytest.raises(ValueError, match="`batch_size`"):
        encode_to_file(model, source, tmp_path / "y", batch_size=0)
    with pytest.raises(TypeError, match=r"`models\.VQVAE`.*`save_codes`"):
        encode_to_file(keras.Sequential(), source, tmp_path / "y")


def test_encode_to_file_takes_what_load_images_takes(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1), dtype=np.uint8)
    np.savez(tmp_path / "images.npz", images=images, labels=[2, 1, 0])
    for source in (images, (images, np.array([2, 1, 0])), tmp_path / "images.npz"):
        file = encode_to_file(Model(), source, tmp_path / "x.npz")
        np.testing.assert_array_equal(file.codes, images[:, :2, :2, 0] % 4)
        assert source is images or file.labels.tolist() == [2, 1, 0]
