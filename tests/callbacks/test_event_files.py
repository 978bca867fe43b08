import gc
import shutil

import numpy as np
import pytest
from events_for_tests import pictures, scalars, tags, tensors
from support import run_python

from keras_vqvae.callbacks import EventFile


def test_tensorboard_reads_what_is_written(tmp_path):
    events = EventFile(tmp_path / "new" / "run")
    events.scalar("figure", np.float32(0.1), 3)
    events.scalar("figure", 7, 4)
    colours = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype("uint8")
    events.image("colours", colours, 2)
    events.image("grey", colours[..., 0], 2)
    events.code_histogram("use", [3, 0, 2], 1)
    events.close()
    run = tmp_path / "new" / "run"
    assert tags(run) == ["colours", "figure", "grey", "use"]
    assert scalars(run, "figure") == {3: np.float32(0.1), 4: 7.0}
    np.testing.assert_array_equal(pictures(run, "colours")[2], colours)
    np.testing.assert_array_equal(pictures(run, "grey")[2], colours[..., 0])
    np.testing.assert_array_equal(tensors(run, "use")[1], [[0, 1, 3], [1, 2, 0], [2, 3, 2]])


def test_the_histogram_of_a_large_table_counts_every_code_once(tmp_path):
    counts = np.random.default_rng(0).integers(0, 9, 2500)
    events = EventFile(tmp_path)
    events.code_histogram("use", counts, 0)
    events.close()
    buckets = tensors(tmp_path, "use")[0]
    assert len(buckets) <= 1024
    assert buckets[-1, 1] == 2500
    for left, right, count in buckets.astype(int):
        assert counts[left:right].sum() == count
    np.testing.assert_array_equal(buckets[1:, 0], buckets[:-1, 1])


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4, 3)), np.zeros((4, 4, 1), "uint8"), np.zeros(4, "uint8")]
)
def test_pixels_are_bytes(tmp_path, pixels):
    with pytest.raises(ValueError, match=r"`pixels` should be uint8.*`evaluation\.image_grid`"):
        EventFile(tmp_path).image("picture", pixels, 0)


@pytest.mark.parametrize("shape", [(0,), (), (2, 3)])
def test_counts_are_one_a_code(tmp_path, shape):
    with pytest.raises(ValueError, match=r"`counts` should have .*\(K,\)"):
        EventFile(tmp_path).code_histogram("codes", np.zeros(shape), 0)


def test_users_of_one_directory_share_its_file(tmp_path):
    first, second = EventFile.shared(tmp_path), EventFile.shared(str(tmp_path) + "/.")
    assert first is second
    first.scalar("a", 1, 0)
    first.close()
    second.scalar("b", 2, 0)  # still open
    second.close()
    assert len(list(tmp_path.iterdir())) == 1
    assert tags(tmp_path) == ["a", "b"]
    later = EventFile.shared(tmp_path)
    later.scalar("c", 3, 1)
    later.close()
    assert len(list(tmp_path.iterdir())) == 2
    assert tags(tmp_path) == ["a", "b", "c"]


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="`log_dir` should be a directory that can be written") as e:
        EventFile.shared(tmp_path / "file" / "run")
    assert "file/run" in str(e.value)


def test_a_file_that_nobody_closed_is_not_written_to_when_it_is_gone(tmp_path):
    """As after an interrupted training, and a run that begins anew in the same place."""
    interrupted = EventFile.shared(tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    events = EventFile.shared(tmp_path / "run")
    assert events is not interrupted
    events.scalar("a", 1, 0)
    interrupted.close()
    again = EventFile.shared(tmp_path / "run")
    assert again is events
    again.close()
    events.close()
    assert scalars(tmp_path / "run", "a") == {0: 1.0}


def test_a_file_that_nobody_closed_is_closed_with_its_last_user(tmp_path):
    interrupted = EventFile.shared(tmp_path)
    stream = interrupted._records._writer
    del interrupted
    gc.collect()
    assert stream.closed
    EventFile.shared(tmp_path).close()
    assert len(list(tmp_path.iterdir())) == 2


WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None  # any import of it fails
import numpy as np
from keras_vqvae import callbacks, models
folder = FOLDER
images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1)).astype("uint8")
model = models.convolutional_vqvae((8, 8, 1), num_embeddings=6, widths=(4,))
model.compile("adam", run_eagerly=True)
model.fit(images, validation_data=images, verbose=0, callbacks=[
    callbacks.TensorBoardScalars(folder),
    callbacks.TensorBoardReconstructions(folder, images[:2]),
    callbacks.TensorBoardCodeGrids(folder, images[:2]),
    callbacks.TensorBoardCodeUsage(folder),
    callbacks.TensorBoardGradientNorm(folder, images),
    callbacks.TensorBoardProjector(folder),
    callbacks.TensorBoardHyperparameters(folder, {"num_embeddings": 6}),
])
print("done")
"""


@pytest.mark.slow
def test_all_is_written_without_tensorflow(tmp_path):
    pytest.importorskip("jax")
    code = f"FOLDER = {str(tmp_path)!r}\n{WITHOUT_TENSORFLOW}"
    assert run_python(code, "jax").split() == ["done"]
    assert {"bottleneck_gradient_norm", "code_usage", "codes", "reconstructions", "loss"} <= set(
        tags(tmp_path)
    )
    assert "epoch_perplexity" in tags(tmp_path / "train")
    assert "epoch_perplexity" in tags(tmp_path / "validation")
    assert (tmp_path / "projector_config.pbtxt").is_file()
