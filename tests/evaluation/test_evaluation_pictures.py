import numpy as np
import pytest
from PIL import Image
from support import grey_images

from keras_vqvae.evaluation import image_grid, reconstruction_grid, save_image, to_bytes


def test_to_bytes_clips_rounds_and_scales():
    images = np.array([-1.0, 0.0, 0.5, 1.0, 2.0]).reshape(1, 1, 5, 1)
    # 0.5 is 127.5, and half goes up
    assert to_bytes(images, (0, 1)).ravel().tolist() == [0, 0, 128, 255, 255]
    assert to_bytes(images, (-1, 1)).ravel().tolist() == [0, 128, 191, 255, 255]
    bytes_ = grey_images(1)
    assert to_bytes(bytes_) is bytes_
    assert to_bytes(bytes_.astype("float32")).tolist() == bytes_.tolist()


def test_floats_that_are_black_by_mistake_warn():
    images = np.full((1, 2, 2, 1), 0.9)
    with pytest.warns(UserWarning, match=r"Pass `value_range=\(0, 1\)`"):
        assert to_bytes(images).max() == 1
    for fine in (images * 0, images * 2, np.ones((1, 2, 2, 1), "uint8"), images * np.nan):
        to_bytes(fine)


@pytest.mark.parametrize("shape", [(8, 8, 1), (1, 8, 8, 2), (0, 8, 8, 1)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="`images`"):
        image_grid(np.zeros(shape))


def test_each_image_is_where_it_should_be(tmp_path):
    # Two columns of 84-pixel images, enlarged from 1x1: the largest factor is 8
    images = np.array([10, 20, 30], "uint8").reshape(3, 1, 1, 1)
    picture = image_grid(images, columns=2, path=tmp_path / "grid.png")
    # gutters of 2 around and between tiles of 8
    assert picture.shape == (2 + 8 + 2 + 8 + 2, 2 + 8 + 2 + 8 + 2, 3)
    assert picture[2:10, 2:10].tolist() == np.full((8, 8, 3), 10).tolist()
    assert (picture[2:10, 12:20] == 20).all()
    assert (picture[12:20, 2:10] == 30).all()
    assert (picture[12:20, 12:20] == 255).all()  # no image here
    with Image.open(tmp_path / "grid.png") as image:
        np.testing.assert_array_equal(np.asarray(image), picture)


def test_originals_lie_above_reconstructions():
    originals = np.array([10, 20, 30], "uint8").reshape(3, 1, 1, 1)
    picture = reconstruction_grid(originals, originals + 100, columns=2)
    column = picture[:, 5, 0]
    # above, below, the gap between the pairs, above, below
    assert column[[5, 15, 30, 40]].tolist() == [10, 110, 30, 130]
    assert picture[5, 15, 0] == 20
    with pytest.raises(ValueError, match="one shape"):
        reconstruction_grid(originals, originals[:2])


def test_colours_and_large_images_stay_as_they_are():
    images = np.random.default_rng(0).integers(0, 256, (1, 100, 90, 3)).astype("uint8")
    picture = image_grid(images)
    np.testing.assert_array_equal(picture[2:-2, 2:-2], images[0])


def test_captions_lie_below_and_must_fit():
    images = np.zeros((2, 28, 28, 1), "uint8")
    plain, captioned = image_grid(images), image_grid(images, captions=["Bag", "Coat"])
    assert captioned.shape[0] == plain.shape[0] + 14
    below = captioned[2 + 84 : -2, 2:86]
    assert (below < 128).any()
    assert (below == 255).any()
    with pytest.raises(ValueError, match="captions"):
        image_grid(images, captions=["Bag"])
    with pytest.raises(ValueError, match="columns"):
        image_grid(images, columns=0)


def test_save_image_writes_gray_as_gray(tmp_path):
    save_image(tmp_path / "a.png", grey_images(1)[0])
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "L"
