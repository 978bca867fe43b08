import gzip
import hashlib
import io
import tarfile
import zipfile
from importlib import resources

import keras
import numpy as np
import pytest
from PIL import Image

from keras_vqvae.data import ArchiveSource, ArraySource, FolderSource, archives, load_images, named


def png(value=0, size=4):
    buffer = io.BytesIO()
    Image.fromarray(np.full((size, size), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write_tree(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def write_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


CLASSES = {"cat/1.png": png(1), "cat/2.png": png(2), "dog/1.png": png(3)}
PARTS = {f"{part}/{k}": v for part in ("train", "test") for k, v in CLASSES.items()}
PARTS["train/dog/9.png"] = png(9)


class TestBundled:
    def test_shapes_balance_and_pixels(self):
        expected = {
            "train": (1000, "e1427044c614fabc29feeff0f27e6b68f88a9ee2f2cfe7d783b9157159864883"),
            "test": (200, "96315b1732ab731e68b8def3c284f34b605f7deb7a61e683c7d786265c827c83"),
        }
        for split, (per_class, digest) in expected.items():
            source = load_images("fashion_mnist_mini", split)
            assert source.image_shape == (28, 28, 1)
            assert source.dtype == np.uint8
            assert np.bincount(source.labels).tolist() == [per_class] * 10
            assert source.class_names[9] == "Ankle boot"
            assert hashlib.sha256(source.as_array().tobytes()).hexdigest() == digest

    def test_size_and_licence(self):
        folder = resources.files("keras_vqvae.data").joinpath("bundled")
        assert len(folder.joinpath("fashion_mnist_mini.npz").read_bytes()) <= 6_000_000
        text = folder.joinpath("fashion_mnist_mini.LICENSE.txt").read_text()
        assert "The MIT License" in text
        assert "Zalando SE" in text

    def test_validation_is_for_the_user_to_split_off(self):
        with pytest.raises(ValueError, match=r"no 'validation' part.*source\.split"):
            load_images("fashion_mnist_mini", "validation")


class TestObjects:
    def test_sources_arrays_and_pairs(self):
        images = np.zeros((3, 4, 4), np.uint8)
        source = ArraySource(images)
        assert load_images(source) is source
        assert load_images(source, split="test", image_size=4, color="grayscale") is source
        assert load_images(images).image_shape == (4, 4, 1)
        assert load_images((images, [0, 1, 2])).labels.tolist() == [0, 1, 2]
        assert load_images(images, image_size=8, color="rgb").image_shape == (8, 8, 3)

    def test_tensors(self):
        assert len(load_images(keras.ops.zeros((3, 4, 4, 1)))) == 3

    @pytest.mark.parametrize("source", [None, 3, [np.zeros((4, 4))], {}, iter([])])
    def test_others(self, source):
        with pytest.raises(TypeError, match=r"`source` should be .*Received"):
            load_images(source)

    def test_an_empty_path_is_not_the_current_directory(self):
        with pytest.raises(ValueError, match=r"`source` should be a path or a name; '\.' is"):
            load_images("")

    @pytest.mark.tensorflow_only
    def test_tf_data(self):
        if keras.backend.backend() != "tensorflow":
            pytest.skip("tf.data")
        tf = pytest.importorskip("tensorflow")
        with pytest.raises(TypeError, match=r"tf\.data.*`fit`"):
            load_images(tf.data.Dataset.range(3))

    def test_options_are_checked_at_once(self):
        for options in ({"split": "dev"}, {"image_size": -1}, {"color": 3}, {"resize": "no"}):
            (argument,) = options
            with pytest.raises(ValueError, match=f"`{argument}` should be"):
                load_images(np.zeros((3, 4, 4), np.uint8), **options)


class TestPaths:
    def test_folder(self, tmp_path):
        source = load_images(str(write_tree(tmp_path, CLASSES)), image_size=8)
        assert isinstance(source, FolderSource)
        assert source.image_shape == (8, 8, 1)
        assert source.class_names == ("cat", "dog")
        with pytest.raises(ValueError, match=r"no 'test' part"):
            load_images(tmp_path, "test")

    def test_folder_with_parts(self, tmp_path):
        write_tree(tmp_path, PARTS)
        (tmp_path / "README.md").write_text("")
        train, test = load_images(tmp_path), load_images(tmp_path, "test")
        assert (len(train), len(test)) == (4, 3)
        assert test.class_names == ("cat", "dog")
        assert test.name == f"{tmp_path.name} (test)"
        with pytest.raises(ValueError, match=r"parts: test, train.*'validation'"):
            load_images(tmp_path, "validation")

    def test_a_class_may_be_called_train(self, tmp_path):
        write_tree(tmp_path, {"train/1.png": png(), "plane/1.png": png()})
        with pytest.warns(UserWarning, match=r"\(train\), and others .*\(plane\): all of them"):
            assert load_images(tmp_path).class_names == ("plane", "train")
        with pytest.raises(ValueError, match="no 'test' part"):
            load_images(tmp_path, "test")

    @pytest.mark.parametrize("split", ["train", "test", "validation"])
    def test_an_image_beside_the_parts_is_refused(self, tmp_path, split):
        """All images would be for training, without labels."""
        write_tree(tmp_path, {**PARTS, "cover.png": png()})
        with pytest.raises(ValueError, match=r"parts \(test, train\).*'cover\.png' beside them"):
            load_images(tmp_path, split)

    def test_a_class_has_the_same_number_in_all_parts(self, tmp_path):
        files = {"train/a/1.png": 1, "train/b/1.png": 2, "train/c/1.png": 3, "test/b/deep/1.png": 4}
        files |= {"test/c/1.png": 5, "val/d/1.png": 6, "val/a/1.png": 7}
        write_tree(tmp_path, {name: png(value) for name, value in files.items()})
        (tmp_path / "train" / "empty").mkdir()
        (tmp_path / "train" / "b" / "circle").symlink_to(tmp_path / "train" / "b")
        for split, labels in {"train": [0, 1, 2], "test": [1, 2], "validation": [0, 3]}.items():
            source = load_images(tmp_path, split)
            assert source.class_names == ("a", "b", "c", "d")
            assert source.labels.tolist() == labels
            assert len(source.split(0.5)[0].class_names) == 4

    def test_home(self, tmp_path, monkeypatch):
        write_tree(tmp_path, CLASSES)
        monkeypatch.setenv("HOME", str(tmp_path))
        assert len(load_images("~")) == 3

    def test_unknown_name(self):
        with pytest.raises(
            FileNotFoundError, match=r"fashion_mnist_mini, .*cifar10.*'mnits'.*no such path"
        ):
            load_images("mnits")

    def test_file_of_another_kind(self, tmp_path):
        (tmp_path / "x.txt").write_text("")
        with pytest.raises(ValueError, match=r"\.npz"):
            load_images(tmp_path / "x.txt")


class TestArrayFiles:
    images = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)

    @pytest.mark.parametrize(
        ("image_key", "label_key"), [("images", "labels"), ("x", "y"), ("arr_0", None)]
    )
    def test_npz_of_one_part(self, tmp_path, image_key, label_key):
        arrays = {image_key: self.images}
        if label_key:
            arrays[label_key] = np.arange(3)
        np.savez(tmp_path / "a.npz", **arrays)
        source = load_images(tmp_path / "a.npz")
        np.testing.assert_array_equal(source.as_array()[..., 0], self.images)
        assert (source.labels is None) == (label_key is None)
        with pytest.raises(ValueError, match=f"no 'test' part.*{image_key}|{image_key}.*no 'test'"):
            load_images(tmp_path / "a.npz", "test")

    @pytest.mark.parametrize("form", ["x_{}", "{}_images", "images_{}"])
    def test_npz_of_parts(self, tmp_path, form):
        np.savez(
            tmp_path / "a.npz",
            **{form.format("train"): self.images, form.format("test"): self.images[:2]},
            y_test=np.arange(2),
        )
        assert load_images(tmp_path / "a.npz").labels is None
        assert load_images(tmp_path / "a.npz", "test").labels.tolist() == [0, 1]
        with pytest.raises(ValueError, match="no 'validation' part"):
            load_images(tmp_path / "a.npz", "validation")

    def test_npz_without_images_lists_its_keys(self, tmp_path):
        np.savez(tmp_path / "a.npz", pictures=self.images, other=1)
        with pytest.raises(ValueError, match="with the keys other, pictures"):
            load_images(tmp_path / "a.npz")

    def test_npy_is_mapped(self, tmp_path):
        np.save(tmp_path / "a.npy", self.images)
        source = load_images(tmp_path / "a.npy")
        assert isinstance(source._images, np.memmap)
        np.testing.assert_array_equal(source.as_array()[..., 0], self.images)
        with pytest.raises(ValueError, match="no 'test' part"):
            load_images(tmp_path / "a.npy", "test")

    def test_pickles_are_refused(self, tmp_path):
        objects = np.array([self.images, None], dtype=object)
        np.savez(tmp_path / "a.npz", images=objects)
        np.save(tmp_path / "a.npy", objects)
        for name in ("a.npz", "a.npy"):
            with pytest.raises(ValueError, match=r"`source` should be a whole .*pickle"):
                load_images(tmp_path / name)

    def test_damaged_files(self, tmp_path):
        np.savez_compressed(tmp_path / "a.npz", images=self.images)
        whole = (tmp_path / "a.npz").read_bytes()
        for content in (b"", b"text", whole[:-30], whole[:60] + b"#####" + whole[65:]):
            (tmp_path / "b.npz").write_bytes(content)
            with pytest.raises(ValueError, match=r"b\.npz"):
                load_images(tmp_path / "b.npz")

    def test_bad_pixels_name_the_file(self, tmp_path):
        np.savez(tmp_path / "a.npz", x=np.full((2, 4, 4), np.nan))
        with pytest.raises(ValueError, match=r"a\.npz.*NaN .* image 0"):
            load_images(tmp_path / "a.npz")


@pytest.mark.parametrize("suffix", [".tar.xz", ".tar.bz2", ".zip"])
def test_damage_in_the_middle_of_an_archive(tmp_path, suffix):
    """Within the second image, which is read long after the archive was opened."""
    path = tmp_path / f"a{suffix}"
    noise = np.random.default_rng(0).bytes(1 << 20)
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
            archive.writestr("1.png", png())
            archive.writestr("2.png", noise)
    else:
        with tarfile.open(path, f"w:{suffix[5:]}") as archive:
            for name, content in (("1.png", png()), ("2.png", noise)):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="`path` should be a whole"):
        ArchiveSource(path)


@pytest.mark.parametrize(("suffix", "write"), [(".zip", write_zip), (".tar.gz", write_tar)])
class TestArchives:
    def test_classes_and_a_folder_around(self, tmp_path, suffix, write):
        files = {f"around/{name}": content for name, content in CLASSES.items()}
        files["around/readme.txt"] = b"text"
        files["__MACOSX/around/._1.png"] = b"junk"
        source = load_images(write(tmp_path / f"a{suffix}", files))
        assert source.class_names == ("cat", "dog")
        assert source.as_array()[:, 0, 0, 0].tolist() == [1, 2, 3]

    def test_parts(self, tmp_path, suffix, write):
        path = write(tmp_path / f"a{suffix}", PARTS)
        assert len(load_images(path)) == 4
        assert len(load_images(path, "test", image_size=2)) == 3
        only = write(tmp_path / f"b{suffix}", {"test/1.png": png()})
        assert len(ArchiveSource(only, "test")) == 1

    def test_classes_of_all_parts_and_images_beside_them(self, tmp_path, suffix, write):
        files = {f"around/{name}": content for name, content in PARTS.items()}
        files |= {"around/test/ape/1.png": png(), "around/train/emu/1.png": png()}
        path = write(tmp_path / f"a{suffix}", files)
        for split, labels in {"train": [1, 1, 2, 2, 3], "test": [0, 1, 1, 2]}.items():
            source = load_images(path, split)
            assert source.class_names == ("ape", "cat", "dog", "emu")
            assert source.labels.tolist() == labels
        path = write(tmp_path / f"b{suffix}", {**PARTS, "cover.png": png()})
        with pytest.raises(ValueError, match=r"parts \(test, train\).*'cover\.png' beside them"):
            load_images(path)

    def test_flat(self, tmp_path, suffix, write):
        source = load_images(write(tmp_path / f"a{suffix}", {"1.png": png(1), "2.png": png(2)}))
        assert source.labels is None
        assert len(source) == 2

    def test_names_that_climb_write_nothing(self, tmp_path, suffix, write):
        inner = tmp_path / "inner"
        inner.mkdir()
        load_images(write(inner / f"a{suffix}", {"../evil.png": png(), "/etc/x.png": png()}))
        assert [p.name for p in tmp_path.iterdir()] == ["inner"]
        assert [p.name for p in inner.iterdir()] == [f"a{suffix}"]

    def test_too_much(self, tmp_path, suffix, write, monkeypatch):
        monkeypatch.setattr(archives, "MAX_BYTES", 100)
        with pytest.raises(ValueError, match="Extract it and pass the folder"):
            load_images(write(tmp_path / f"a{suffix}", CLASSES))

    def test_damaged_empty_and_missing(self, tmp_path, suffix, write):
        path = write(tmp_path / f"a{suffix}", CLASSES)
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ValueError, match="`path` should be a whole"):
            load_images(path)
        with pytest.raises(ValueError, match="has none"):
            load_images(write(tmp_path / f"b{suffix}", {"a.txt": b""}))
        with pytest.raises(FileNotFoundError):
            load_images(tmp_path / f"c{suffix}")

    def test_corrupt_member(self, tmp_path, suffix, write):
        path = write(tmp_path / f"a{suffix}", {**CLASSES, "cat/0.png": b"junk"})
        with pytest.warns(UserWarning, match=r"1 image file of .*cat/0\.png"):
            source = load_images(path)
        assert source.skipped[0][0] == "cat/0.png"
        assert len(source) == 3
        with pytest.raises(ValueError, match=r"cat/0\.png"):
            load_images(path, strict=True)

    def test_fingerprint_is_of_the_content(self, tmp_path, suffix, write):
        a = load_images(write(tmp_path / f"a{suffix}", CLASSES)).fingerprint()
        assert load_images(write(tmp_path / f"b{suffix}", CLASSES)).fingerprint() == a
        other = {**CLASSES, "dog/1.png": png(4)}
        assert load_images(write(tmp_path / f"c{suffix}", other)).fingerprint() != a


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.tobytes())


class TestNamed:
    """Keras's data sets, of a cache in a temporary folder and without a network."""

    @pytest.fixture(autouse=True)
    def _offline(self, tmp_path, monkeypatch):
        monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
        monkeypatch.setattr(named, "_DEBIAN_FOLDER", tmp_path / "debian")
        self.cache = tmp_path / "home" / "datasets"
        self.cache.mkdir(parents=True)

        def fail():
            raise Exception("URL fetch failure")

        for name in ("fashion_mnist", "mnist", "cifar10"):
            monkeypatch.setattr(getattr(keras.datasets, name), "load_data", fail)

    @pytest.mark.parametrize("where", ["cache", "debian"])
    def test_fashion_mnist_of_local_files(self, tmp_path, where):
        folder = self.cache / "fashion-mnist" if where == "cache" else tmp_path / "debian"
        folder.mkdir()
        images = np.arange(32, dtype=np.uint8).reshape(2, 4, 4)
        (folder / "t10k-images-idx3-ubyte.gz").write_bytes(idx(images))
        (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(idx(np.array([9, 1], np.uint8)))
        source = load_images("fashion_mnist", "test")
        np.testing.assert_array_equal(source.as_array()[..., 0], images)
        assert source.labels.tolist() == [9, 1]
        (folder / "t10k-images-idx3-ubyte.gz").write_bytes(idx(images)[:-20])
        with pytest.raises(ValueError, match=r"t10k-images.*damaged"):
            load_images("fashion_mnist", "test")

    def test_idx_of_another_kind(self, tmp_path):
        for content in (b"", gzip.compress(b"text"), gzip.compress(b"\0\0\x08\x02\0\0\0\x01")):
            (tmp_path / "x.gz").write_bytes(content)
            with pytest.raises(ValueError, match="damaged"):
                named.read_idx(tmp_path / "x.gz")

    def test_mnist_of_the_cache(self):
        path = self.cache / "mnist.npz"
        images = np.zeros((2, 4, 4), np.uint8)
        np.savez(path, x_train=images, y_train=[1, 2], x_test=images[:1], y_test=[3])
        assert load_images("mnist").labels.tolist() == [1, 2]
        assert load_images("mnist", "test").labels.tolist() == [3]
        path.write_bytes(b"damaged")
        with pytest.raises(ValueError, match=r"mnist\.npz"):
            load_images("mnist")
        assert path.exists()

    def test_cifar10_with_another_checksum_is_kept_and_not_opened(self):
        path = self.cache / named._CIFAR10_ARCHIVE
        path.write_bytes(b"something")
        with pytest.raises(ValueError, match="SHA-256"):
            load_images("cifar10")
        assert path.exists()

    def test_through_keras(self, monkeypatch):
        images = np.zeros((2, 3, 4, 5), np.uint8)  # as with channels_first
        pair = (images, np.array([[1], [2]]))
        monkeypatch.setattr(keras.datasets.cifar10, "load_data", lambda: (pair, pair))
        source = load_images("cifar10", "test")
        assert source.image_shape == (4, 5, 3)
        assert source.labels.tolist() == [1, 2]
        assert source.class_names[0] == "airplane"

    @pytest.mark.parametrize(
        ("name", "file"),
        [
            ("fashion_mnist", "dataset-fashion-mnist"),
            ("mnist", r"mnist\.npz"),
            ("cifar10", "cifar-10-python"),
        ],
    )
    def test_offline_says_what_to_put_where(self, name, file):
        with pytest.raises(FileNotFoundError, match=f"{name}.*URL fetch failure.*{file}") as info:
            load_images(name)
        assert str(self.cache) in str(info.value)
        assert "\n" not in str(info.value)
