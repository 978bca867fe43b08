import numpy as np
import pytest

from keras_vqvae.data import ArraySource, ResizedSource


def ramp(count=10, size=4):
    return np.arange(count * size * size, dtype=np.uint8).reshape(count, size, size)


def test_array_source():
    images = ramp()
    source = ArraySource(images, labels=np.arange(10)[:, None] % 3, class_names="abc", name="r")
    assert len(source) == 10
    assert source.image_shape == (4, 4, 1)
    assert source.dtype == np.uint8
    assert source.labels.dtype == np.int32
    assert source.class_names == ("a", "b", "c")
    assert source.skipped == []
    np.testing.assert_array_equal(source.as_array()[..., 0], images)
    np.testing.assert_array_equal(source.read([3, 3, 0])[..., 0], images[[3, 3, 0]])
    assert "r" in repr(source)


def test_what_is_read_may_be_written_to():
    images = ramp()
    source = ArraySource(images)
    source.read(np.arange(10))[:] = 0
    source.as_array()[:] = 0
    assert images.any()


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("float64", "float32"), ("float16", "float32"), ("int64", "uint8"), ("uint8", "uint8")],
)
def test_dtypes(dtype, expected):
    source = ArraySource(ramp().astype(dtype))
    assert source.dtype == source.read([0]).dtype == expected
    np.testing.assert_array_equal(source.as_array()[..., 0], ramp())


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_pixels_that_are_not_finite_are_named(bad):
    images = np.zeros((5, 4, 4, 3))
    images[3, 1, 2, 0] = bad
    with pytest.raises(ValueError, match="image 3"):
        ArraySource(images)


@pytest.mark.parametrize(
    ("images", "error", "match"),
    [
        (np.zeros((4, 4), "uint8"), ValueError, r"images.shape=\(4, 4\)"),
        (np.zeros((0, 4, 4), "uint8"), ValueError, "zero"),
        (np.zeros((2, 3, 8, 8), "uint8"), ValueError, r"np\.moveaxis"),
        (np.full((2, 4, 4), 256), ValueError, r"0\.\.255"),
        (np.full((2, 4, 4), -1), ValueError, r"0\.\.255"),
        (np.zeros((2, 4, 4), bool), TypeError, "bool"),
        (np.zeros((2, 4, 4), "U1"), TypeError, "dtype"),
    ],
)
def test_bad_images(images, error, match):
    with pytest.raises(error, match=match):
        ArraySource(images)


@pytest.mark.parametrize(
    ("labels", "error", "match"),
    [
        (np.zeros(9, int), ValueError, r"\(10,\)"),
        (np.zeros((10, 3), int), ValueError, "argmax"),
        (np.zeros(10), TypeError, "float64"),
        (np.full(10, -1), ValueError, "non-negative"),
        (np.full(10, 2**40), ValueError, "32-bit"),
        (np.full(10, 2), ValueError, "`class_names`"),
    ],
)
def test_bad_labels(labels, error, match):
    with pytest.raises(error, match=match):
        ArraySource(ramp(), labels=labels, class_names=["a", "b"])


def test_bad_indices():
    source = ArraySource(ramp())
    with pytest.raises(IndexError, match=r"\[0, 10\).*10 at position 1"):
        source.read([0, 10])
    with pytest.raises(IndexError, match="-1"):
        source.read([-1])
    with pytest.raises(TypeError, match="integers"):
        source.read([0.5])
    assert source.read([]).shape == (0, 4, 4, 1)


def test_subset_is_a_view_with_labels():
    source = ArraySource(ramp(), labels=np.arange(10))
    view = source.subset([7, 2, 9]).subset([2, 0], name="two")
    assert view.labels.tolist() == [9, 7]
    np.testing.assert_array_equal(view.as_array(), source.read([9, 7]))
    assert view.name == "two"
    assert view.fingerprint() == source.subset([9, 7]).fingerprint()
    assert view.fingerprint() != source.subset([7, 9]).fingerprint()
    with pytest.raises(IndexError):
        view.read([2])
    with pytest.raises(ValueError, match="at least one"):
        source.subset([])


def test_split_is_a_function_of_the_seed():
    source = ArraySource(ramp(), labels=np.arange(10))
    train, validation = source.split(0.3, seed=5)
    again = source.split(0.3, seed=5)
    assert (len(train), len(validation)) == (7, 3)
    assert sorted([*train.labels, *validation.labels]) == list(range(10))
    assert train.labels.tolist() == again[0].labels.tolist() == sorted(train.labels)
    others = {tuple(source.split(0.3, seed)[1].labels) for seed in range(8)}
    assert len(others) > 1


def test_split_leaves_no_part_empty():
    two = ArraySource(ramp(2))
    assert [len(part) for part in two.split(0.01)] == [1, 1]
    assert [len(part) for part in two.split(0.99)] == [1, 1]
    for fraction in (0, 1, -0.5, float("nan")):
        with pytest.raises(ValueError, match="`validation_fraction`"):
            two.split(fraction)
    for seed in (-1, 0.5, True):
        with pytest.raises(ValueError, match="`seed`"):
            two.split(0.5, seed=seed)
    with pytest.raises(ValueError, match="at least 2"):
        ArraySource(ramp(1)).split(0.5)


def test_fingerprint_follows_the_pixels():
    assert ArraySource(ramp()).fingerprint() == ArraySource(ramp()).fingerprint()
    other = ramp()
    other[9, 3, 3] += 1
    assert ArraySource(other).fingerprint() != ArraySource(ramp()).fingerprint()
    flat = ramp().reshape(10, 2, 8)
    assert ArraySource(flat).fingerprint() != ArraySource(ramp()).fingerprint()


def test_resized():
    source = ArraySource(ramp(), labels=np.arange(10))
    twice = ResizedSource(source, image_size=8, color="rgb")
    assert twice.image_shape == (8, 8, 3)
    assert twice.labels is source.labels
    assert twice.read([1, 2]).shape == (2, 8, 8, 3)
    assert np.ptp(twice.as_array(), axis=-1).max() == 0
    back = ResizedSource(twice, color="grayscale")
    np.testing.assert_array_equal(back.as_array()[..., 0], twice.as_array()[..., 0])
    assert twice.fingerprint() != source.fingerprint()


@pytest.mark.parametrize("images", [np.zeros((2, 4, 4)), np.zeros((2, 4, 4, 4), "uint8")])
def test_only_gray_and_rgb_bytes_are_resized(images):
    with pytest.raises(ValueError, match="uint8 images with 1 or 3 channels"):
        ResizedSource(ArraySource(images), image_size=8)
