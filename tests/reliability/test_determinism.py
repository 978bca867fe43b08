"""One seed fixes everything; threads that share a model do not disturb one another."""

from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from runs_support import tiny_config, write_images
from support import same_bits, to_numpy

from keras_vqvae import models, sampling
from keras_vqvae.runs import Run

THREADS = 10


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = write_images(tmp_path_factory.mktemp("images"))
    run = Run.create(tmp_path_factory.mktemp("run"), tiny_config(folder, epochs=(2, 2)))
    run.train(verbose=0)
    return run


def test_two_runs_with_one_seed_have_equal_weights_and_samples(run, tmp_path):
    keras.utils.set_random_seed(99)  # what was before must not matter
    again = Run.create(tmp_path / "again", run.config)
    again.train(verbose=0)
    for stage in ("vqvae", "prior"):
        ours, theirs = (getattr(one, stage)() for one in (run, again))
        assert same_bits([to_numpy(w) for w in ours.weights], [to_numpy(w) for w in theirs.weights])
    np.testing.assert_array_equal(run.sample(4), again.sample(4))


@pytest.mark.parametrize("first_call", ["compiled before", "all at once"])
def test_ten_threads_that_sample_from_one_model_equal_one_thread(run, first_call):
    prior = keras.models.load_model(run.files.model("prior"))
    two_stage = models.TwoStage(run.vqvae(), prior)
    if first_call == "compiled before":
        two_stage.sample(2, seed=0)

    def draw(seed):
        # Two samplers and two sizes, so that threads need different compiled functions.
        sampler = sampling.TopK(2) if seed % 2 else "random"
        return two_stage.sample(2 + seed % 2, sampler=sampler, seed=seed)

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(draw, range(2 * THREADS)))
    for seed, images in enumerate(found):
        np.testing.assert_array_equal(images, draw(seed))


def test_ten_threads_that_encode_and_score_equal_one_thread(run):
    vqvae, prior = (keras.models.load_model(run.files.model(s)) for s in ("vqvae", "prior"))
    images = run.parts.train.as_array()

    def look(i):
        part = images[i % 3 : i % 3 + 4]
        codes = vqvae.encode(part)
        return codes, vqvae.decode(codes), prior.log_prob(codes)

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(look, range(2 * THREADS)))
    for i, values in enumerate(found):
        for ours, alone in zip(values, look(i), strict=True):
            np.testing.assert_array_equal(ours, alone)
