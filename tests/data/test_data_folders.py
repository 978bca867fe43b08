import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from keras_vqvae.data import FolderSource, image_files
from keras_vqvae.data.folders import list_images

RNG = np.random.default_rng(0)


def pixels(height=4, width=6, channels=1):
    shape = (height, width) if channels == 1 else (height, width, channels)
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return array


def truncate(path):
    path.write_bytes(path.read_bytes()[:-40])


@pytest.fixture
def gray(tmp_path):
    """Three classes of two images; what lies in them by relative path."""
    files = {}
    for kind in ("čaj a mléko", "pes", "猫"):
        for number in "12":
            files[f"{kind}/{number}.png"] = save(tmp_path / kind / f"{number}.png", pixels())
    return tmp_path, files


def test_reads_what_was_written_with_labels_from_unicode_folders(gray):
    folder, files = gray
    source = FolderSource(folder)
    assert len(source) == 6
    assert source.image_shape == (4, 6, 1)
    assert source.class_names == ("pes", "čaj a mléko", "猫")
    assert source.labels.tolist() == [0, 0, 1, 1, 2, 2]
    expected = np.stack([files[key] for key in sorted(files)])[..., None]
    np.testing.assert_array_equal(source.as_array(), expected)
    np.testing.assert_array_equal(source.read([5, 0, 5]), expected[[5, 0, 5]])
    assert source.as_array().dtype == np.uint8
    assert source.skipped == []


def test_classes_that_other_folders_have_too(gray):
    folder, _ = gray
    names = ("猫", "slon", "pes", "čaj a mléko")
    source = FolderSource(folder, class_names=names)
    assert source.class_names == names
    assert source.labels.tolist() == [2, 2, 3, 3, 0, 0]
    with pytest.raises(
        ValueError, match=r"`class_names` should have a name.*without 'čaj a mléko'"
    ):
        FolderSource(folder, class_names=("pes", "猫"))


def test_images_beside_folders_have_no_labels(gray):
    folder, _ = gray
    save(folder / "loose.png", pixels())
    source = FolderSource(folder)
    assert len(source) == 7
    assert source.labels is None
    assert source.class_names is None
    assert len(FolderSource(folder, recursive=False)) == 1


def test_nested_folders_belong_to_the_top_one(tmp_path):
    save(tmp_path / "b" / "deep" / "er" / "1.png", pixels())
    save(tmp_path / "a" / "1.png", pixels())
    source = FolderSource(tmp_path)
    assert source.class_names == ("a", "b")
    assert source.labels.tolist() == [0, 1]


@pytest.mark.parametrize("suffix", ["png", "jpg", "JPEG", "webp", "bmp", "gif"])
def test_formats(tmp_path, suffix):
    # A flat colour survives every lossy format within a few levels.
    save(tmp_path / f"x.{suffix}", np.full((8, 8, 3), (200, 100, 50), np.uint8))
    source = FolderSource(tmp_path)
    assert source.image_shape == (8, 8, 3)
    difference = source.as_array().astype(int) - np.array([200, 100, 50])
    assert np.abs(difference).max() <= 4


def test_other_and_hidden_files_are_passed_over(tmp_path):
    save(tmp_path / "x.png", pixels())
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._x.png").write_bytes(b"a resource fork")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "y.png").write_bytes(b"")
    assert len(FolderSource(tmp_path, strict=True)) == 1


def test_links_are_followed_once_and_broken_ones_are_skipped(tmp_path):
    inside = tmp_path / "inside"
    save(inside / "a" / "1.png", pixels())
    save(tmp_path / "outside" / "2.png", pixels())
    (inside / "b").symlink_to(tmp_path / "outside", target_is_directory=True)
    (inside / "a" / "circle").symlink_to(inside, target_is_directory=True)
    (inside / "a" / "3.png").symlink_to(tmp_path / "nothing.png")
    with pytest.warns(UserWarning, match="left out"):
        source = FolderSource(inside)
    assert list_images(str(inside))[0] == ["a/1.png", "b/2.png"]
    assert source.skipped == [(str(inside / "a" / "3.png"), "a link to nothing")]
    with pytest.raises(ValueError, match=r"3\.png"):
        FolderSource(inside, strict=True)


def test_a_folder_is_entered_once_and_by_a_link_only_if_nothing_else_leads_there(
    tmp_path, monkeypatch
):
    inside = tmp_path / "inside"
    save(inside / "b" / "1.png", pixels())
    save(tmp_path / "outside" / "2.png", pixels())
    for name, target in [("a", "b"), ("c", "b"), ("d", "../outside"), ("e", "../outside")]:
        (inside / name).symlink_to(target, target_is_directory=True)
    (inside / "b" / "up").symlink_to(tmp_path, target_is_directory=True)  # and down again
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(inside, target_is_directory=True)
    for folder in ("inside", str(inside), "link", "inside/../inside"):
        assert list_images(folder) == (["b/1.png", "b/up/outside/2.png"], []), folder
    (inside / "b" / "up").unlink()
    for folder in ("inside", str(inside), "link", "inside/../inside"):
        assert list_images(folder) == (["b/1.png", "d/2.png"], []), folder


def test_missing_empty_and_no_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`folder`.*nowhere.*does not exist"):
        FolderSource(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"`folder` should hold image files.*has none"):
        FolderSource(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is a file"):
        FolderSource(tmp_path / "file")
    save(tmp_path / "sub" / "x.png", pixels())
    with pytest.raises(ValueError, match="recursive=True"):
        FolderSource(tmp_path, recursive=False)


def test_mixed_sizes_need_image_size(tmp_path):
    save(tmp_path / "a.png", pixels(4, 6))
    save(tmp_path / "b.png", pixels(5, 6))
    with pytest.raises(ValueError, match=r"`image_size`.*a\.png.* 4x6 .*b\.png.* 5x6.*Pass"):
        FolderSource(tmp_path)
    assert FolderSource(tmp_path, image_size=(4, 3)).as_array().shape == (2, 4, 3, 1)


def test_resizing_crops_stretches_or_pads(tmp_path):
    # Left third black, middle gray, right third white, 4 pixels high and 12 wide.
    bands = np.repeat(np.array([0, 128, 255], np.uint8), 4)[None].repeat(4, axis=0)
    save(tmp_path / "x.png", bands)
    crop = FolderSource(tmp_path, image_size=4).as_array()[0, ..., 0]
    np.testing.assert_array_equal(crop, np.full((4, 4), 128))
    stretch = FolderSource(tmp_path, image_size=(4, 3), resize="stretch").as_array()[0, 0, :, 0]
    # Lanczos rings beyond the edges of the bands by some levels.
    assert np.abs(stretch.astype(int) - [0, 128, 255]).max() <= 20
    pad = FolderSource(tmp_path, image_size=12, resize="pad").as_array()[0, ..., 0]
    np.testing.assert_array_equal(pad[4:8], bands)
    assert pad[:4].max() == pad[8:].max() == 0


def test_color_is_found_or_converted(tmp_path):
    save(tmp_path / "gray.png", pixels(4, 4))
    rgb = save(tmp_path / "rgb.png", pixels(4, 4, 3))
    source = FolderSource(tmp_path)
    assert source.image_shape == (4, 4, 3)
    np.testing.assert_array_equal(source.read([1])[0], rgb)
    assert np.ptp(source.read([0]), axis=-1).max() == 0
    assert FolderSource(tmp_path, color="grayscale").image_shape == (4, 4, 1)


def test_palette_of_grays_is_gray(tmp_path):
    gray = pixels(4, 4)
    Image.fromarray(gray).convert("P").save(tmp_path / "x.png")
    source = FolderSource(tmp_path)
    assert source.image_shape == (4, 4, 1)
    np.testing.assert_array_equal(source.as_array()[0, ..., 0], gray)


def test_transparent_pixels_become_white(tmp_path):
    array = np.zeros((2, 2, 4), np.uint8)
    array[0, 0] = (10, 20, 30, 255)
    array[0, 1] = (0, 0, 0, 128)  # half black on white: 255 - 128 = 127
    save(tmp_path / "x.png", array)
    result = FolderSource(tmp_path).as_array()[0]
    assert result[0, 0].tolist() == [10, 20, 30]
    assert result[0, 1].tolist() == [127, 127, 127]
    assert result[1].min() == 255


def test_16_bit_gray_is_scaled(tmp_path):
    save(tmp_path / "x.png", np.array([[0, 257, 32896, 65535]], np.uint16))
    # 65535 / 255 = 257 levels of 16 bits make one of 8.
    assert FolderSource(tmp_path).as_array().ravel().tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "x.png", pixels(4, 6), exif=exif)
    with Image.open(tmp_path / "x.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    source = FolderSource(tmp_path)
    assert source.image_shape == (*expected.shape, 1)
    np.testing.assert_array_equal(source.as_array()[0, ..., 0], expected)


def test_large_jpeg_is_decoded_small_and_still_right(tmp_path):
    ramp = np.linspace(0, 255, 128).astype(np.uint8)[None].repeat(128, axis=0)
    save(tmp_path / "x.jpg", ramp, quality=95)
    row = FolderSource(tmp_path, image_size=8).as_array()[0, 4, :, 0]
    np.testing.assert_allclose(row, ramp[0].reshape(8, 16).mean(-1), atol=6)


def test_files_without_an_image_are_left_out_and_counted(gray):
    folder, files = gray
    (folder / "pes" / "1.png").write_bytes(b"not an image")
    (folder / "pes" / "0.png").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"2 image files .* left out"):
        source = FolderSource(folder)
    assert len(source) == 5
    assert [os.path.basename(path) for path, _ in source.skipped] == ["0.png", "1.png"]
    assert source.labels.tolist() == [0, 1, 1, 2, 2]
    np.testing.assert_array_equal(source.read([0])[0, ..., 0], files["pes/2.png"])
    with pytest.raises(ValueError, match=r"pes.0\.png' cannot be read.*strict=False"):
        FolderSource(folder, strict=True)


def test_truncated_pixels_are_replaced_by_the_next_of_the_class(gray):
    folder, files = gray
    truncate(folder / "pes" / "2.png")
    source = FolderSource(folder)
    assert len(source) == 6
    with pytest.warns(UserWarning, match=r"2\.png.*in its place"):
        images = source.as_array()
    np.testing.assert_array_equal(images[1, ..., 0], files["pes/1.png"])
    assert [path for path, _ in source.skipped] == [str(folder / "pes" / "2.png")]
    np.testing.assert_array_equal(source.as_array(), images)
    strict = FolderSource(folder, strict=True)
    with pytest.raises(ValueError, match=r"2\.png' cannot be read"):
        strict.read([1])
    truncate(folder / "pes" / "1.png")  # the last one of its class
    with (
        pytest.warns(UserWarning, match="of its class if there is one, is given"),
        pytest.warns(UserWarning, match=r"no other image of its class.*2\.png': under its label"),
    ):
        other = FolderSource(folder).read([1])
    assert any(np.array_equal(other[0, ..., 0], pixels) for pixels in files.values())
    for path in set(folder.rglob("*.png")) - {folder / "pes" / "1.png", folder / "pes" / "2.png"}:
        truncate(path)
    hopeless = FolderSource(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match="No readable image is left"):
            hopeless.read([1])


def test_a_sample_of_a_part_has_stand_ins_of_all_of_the_part(gray):
    """As where a run draws a few images: they may hold no other of the class."""
    folder, files = gray
    truncate(folder / "pes" / "2.png")  # index 1, and the next one of its class is 0
    source = FolderSource(folder)
    with pytest.warns(UserWarning, match="in its place"):
        few = source.subset([0, 1]).subset([1, 0]).spread(1).as_array()
    np.testing.assert_array_equal(few[0, ..., 0], files["pes/1.png"])
    np.testing.assert_array_equal(source.spread(100).as_array(), source.as_array())
    # Parts of a part are parts, and none of the other one stands in.
    part = source.subset([0, 1]).subset([1])
    with pytest.raises(ValueError, match="No readable image is left"):
        part.as_array()


def test_an_image_that_is_whole_asks_for_no_other(gray):
    class Untouched:
        def __getitem__(self, index):
            raise AssertionError("all labels were looked at")

    source = FolderSource(gray[0])
    source.labels = Untouched()
    assert next(source._stand_ins(3)) == 3


def spoil(path):
    """Other bytes in the middle of the pixels, by which they unpack to the half."""
    content = bytearray(path.read_bytes())
    middle = content.index(b"IDAT") + 4 + (len(content) - content.index(b"IDAT")) // 2
    content[middle : middle + 20] = bytes(range(20))
    path.write_bytes(content)


def test_damage_within_a_png_is_no_black_half(tmp_path):
    """Pillow looks for EXIF behind the pixels, and takes those for whole that it then has."""
    for number in "12":
        save(tmp_path / f"{number}.png", pixels(64, 64))
    spoil(tmp_path / "2.png")
    source = FolderSource(tmp_path)
    with pytest.warns(UserWarning, match=r"2\.png.*in its place"):
        images = source.as_array()
    np.testing.assert_array_equal(images[1], images[0])
    with pytest.raises(ValueError, match=r"2\.png' cannot be read"):
        FolderSource(tmp_path, strict=True).as_array()


def test_only_headers_are_read_at_first(gray, monkeypatch):
    loaded = []
    load = ImageFile.ImageFile.load
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: loaded.append(self) or load(self))
    source = FolderSource(gray[0])
    assert source.image_shape == (4, 6, 1)
    assert loaded == []
    source.as_array()
    assert loaded


def test_what_stands_in_for_a_damaged_file_is_of_its_own_part(tmp_path):
    """Not an image that is to be tested on, and the other way round."""
    files = [save(tmp_path / f"{i}.png", pixels()) for i in range(8)]
    for i in range(8):
        truncate(tmp_path / f"{i}.png")
        source = FolderSource(tmp_path)
        here = source.subset([j for j in range(8) if j % 2 == i % 2])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            images = here.as_array()[..., 0]
        expected = (i + 2) % 8
        np.testing.assert_array_equal(images[i // 2], files[expected])
        Image.fromarray(files[i]).save(tmp_path / f"{i}.png")


def test_no_readable_file_at_all(tmp_path):
    (tmp_path / "x.png").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"None of the 1 .*x\.png"):
        FolderSource(tmp_path)


def test_decompression_bombs_are_refused(tmp_path):
    # A header that promises 30000 x 30000 pixels, of which there are none.
    def chunk(kind, data):
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 0, 0, 0, 0)
    (tmp_path / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    save(tmp_path / "ok.png", pixels())
    with pytest.warns(UserWarning, match="left out"):
        source = FolderSource(tmp_path)
    assert len(source) == 1
    assert "900000000 pixels" in source.skipped[0][1]


def test_size_limit_holds_where_pillow_only_warns(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    save(tmp_path / "big.png", pixels(5, 6))
    save(tmp_path / "ok.png", pixels(4, 4))
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        source = FolderSource(tmp_path)
    assert len(source) == 1


class TestLargeFolders:
    """Folders in which not every header is looked at; the limit is lowered."""

    @pytest.fixture(autouse=True)
    def _few(self, monkeypatch):
        monkeypatch.setattr(image_files, "VERIFIED_FILES", 3)
        monkeypatch.setattr(image_files, "_SAMPLE", 2)  # the first and the last

    def test_bad_files_are_replaced_when_they_are_read(self, tmp_path):
        good = [save(tmp_path / f"{i}.png", pixels()) for i in range(5)]
        (tmp_path / "2.png").write_bytes(b"no")
        source = FolderSource(tmp_path)
        assert len(source) == 5
        assert source.skipped == []
        with pytest.warns(UserWarning, match=r"2\.png"):
            images = source.as_array()
        np.testing.assert_array_equal(images[2, ..., 0], good[3])
        assert len(source.skipped) == 1

    def test_bad_files_in_the_sample_keep_their_place(self, tmp_path):
        good = [save(tmp_path / f"{i}.png", pixels()) for i in range(5)]
        (tmp_path / "0.png").write_bytes(b"no")
        source = FolderSource(tmp_path)
        assert len(source) == 5
        np.testing.assert_array_equal(source.read([0])[0, ..., 0], good[1])
        with pytest.raises(ValueError, match=r"0\.png"):
            FolderSource(tmp_path, strict=True)

    def test_another_size_is_named_when_it_is_read(self, tmp_path):
        for i in range(5):
            save(tmp_path / f"{i}.png", pixels(4, 6 + (i == 2)))
        source = FolderSource(tmp_path)
        with pytest.raises(ValueError, match=r"0\.png.* 4x6 .*2\.png.* 4x7.*image_size"):
            source.read([2])

    def test_colour_among_gray_is_named_when_it_is_read(self, tmp_path):
        for i in range(5):
            save(tmp_path / f"{i}.png", pixels(4, 4, 3 if i == 2 else 1))
        source = FolderSource(tmp_path)
        with pytest.raises(ValueError, match=r"`color`.*2\.png"):
            source.read([2])
        assert FolderSource(tmp_path, color="grayscale").read([2]).shape == (1, 4, 4, 1)


def test_threads_give_the_same_as_none(tmp_path, monkeypatch):
    for i in range(40):
        save(tmp_path / f"{i:02}.png", pixels())
    together = FolderSource(tmp_path).as_array()
    monkeypatch.setattr(image_files, "_THREADS", 1)
    np.testing.assert_array_equal(FolderSource(tmp_path).as_array(), together)


def test_fingerprint_follows_files_and_options(gray):
    folder, _ = gray
    before = FolderSource(folder).fingerprint()
    assert FolderSource(folder).fingerprint() == before
    assert len(before) == 64
    assert FolderSource(folder, image_size=4).fingerprint() != before
    save(folder / "pes" / "9.png", pixels())
    assert FolderSource(folder).fingerprint() != before


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"image_size": 0}, "image_size"),
        ({"image_size": (4, 4, 3)}, "image_size"),
        ({"image_size": "4"}, "image_size"),
        ({"color": "red"}, "color"),
        ({"resize": "squash"}, "resize"),
    ],
)
def test_bad_options(gray, options, argument):
    with pytest.raises(ValueError, match=rf"`{argument}` should be .*Received"):
        FolderSource(gray[0], **options)
