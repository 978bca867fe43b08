"""What `sample` promises: the same samples however the work is done, and no compilation twice."""

import json

import keras
import numpy as np
import pytest
from causal_support import random_codes
from keras import ops
from prior_cases import FEW, KINDS, each_kind, each_of_two, one_kind, slow_but
from support import run_python, to_numpy

from keras_vqvae import sampling
from keras_vqvae.models import prior_sampling
from keras_vqvae.ops import draw_uniforms


@pytest.fixture(scope="module")
def pixelcnn():
    """A prior that no test changes, so that all use what it has compiled."""
    return KINDS["pixelcnn"].make()


@each_of_two
def test_the_same_samples_for_any_batch_split(case):
    prior = case.make()
    # Seven are drawn as eight, and in batches of four the last ones as four.
    conditions = case.conditions(prior, 7)
    whole = prior.sample(7, seed=3, **conditions)
    assert whole.shape == (7, *prior.code_shape)
    assert whole.dtype == "int32"
    assert (whole >= 0).all()
    assert (whole < np.asarray(prior.num_embeddings)).all()
    np.testing.assert_array_equal(prior.sample(7, seed=3, batch_size=4, **conditions), whole)
    first = {key: value[:3] for key, value in conditions.items()}
    np.testing.assert_array_equal(prior.sample(3, seed=3, **first), whole[:3])
    assert len({grid.tobytes() for grid in whole}) == 7
    assert not np.array_equal(prior.sample(7, seed=4, **conditions), whole)


@slow_but("pixelcnn", "transformer")
@pytest.mark.parametrize("depth", [2])
def test_samples_are_those_of_the_naive_loop(case, depth):
    """A whole forward pass for every code, and the same draw from its logits."""
    prior = case.make((3, 3), depth=depth)
    sampler = sampling.Random()
    uniforms = draw_uniforms(5, 0, 4, prior.code_shape)
    codes = np.zeros((4, *prior.code_shape), "int32")
    for place in np.ndindex(prior.code_shape):
        logits = prior(ops.convert_to_tensor(codes))[(slice(None), *place)]
        u = ops.convert_to_tensor(uniforms[(slice(None), *place)])
        codes[(slice(None), *place)] = to_numpy(sampler.draw(logits, u, sampler.settings()))
    np.testing.assert_array_equal(prior.sample(4, seed=5), codes)


@one_kind
def test_the_second_call_compiles_nothing(case):
    prior = case.make(num_classes=3, label_dropout=0.5)
    traces = []
    read = prior.trunk.read
    prior.trunk.__dict__["read"] = lambda *a: (traces.append(1), read(*a))[1]
    prior.sample(3, labels=0, seed=0, batch_size=4)
    count = len(traces)
    assert count >= 1
    for sampler in ("random", sampling.Random(0.5)):
        prior.sample(4, labels=1, seed=1, sampler=sampler, batch_size=4)
    prior.sample(12, labels=1, given=np.zeros(prior.code_shape, int), seed=1, batch_size=4)
    assert len(traces) == count
    prior.sample(4, sampler=sampling.TopP(0.5), batch_size=4)
    count = len(traces)
    prior.sample(4, sampler=sampling.TopP(0.9, 0.8), batch_size=4)
    assert len(traces) == count
    prior.sample(4, labels=0, guidance=2.0, batch_size=4)
    count = len(traces)
    prior.sample(4, labels=0, guidance=1.5, batch_size=4)
    assert len(traces) == count


@one_kind
def test_samples_follow_training_as_a_reloaded_models_do(case, tmp_path):
    prior = case.make()
    prior.compile(keras.optimizers.Adam(0.05), run_eagerly=True)
    before = prior.sample(4, seed=0), prior.log_prob(random_codes(prior, 4))
    prior.fit(np.zeros((16, *prior.code_shape), int), verbose=0, batch_size=4)
    after = prior.sample(4, seed=0), prior.log_prob(random_codes(prior, 4))
    assert not np.array_equal(before[0], after[0])
    assert not np.array_equal(before[1], after[1])
    prior.save(tmp_path / "prior.keras")
    again = keras.models.load_model(tmp_path / "prior.keras")
    np.testing.assert_array_equal(again.sample(4, seed=0), after[0])
    np.testing.assert_array_equal(again.log_prob(random_codes(prior, 4)), after[1])


@pytest.mark.slow
def test_the_same_samples_on_the_other_backend(tmp_path):
    other = "jax" if keras.backend.backend() == "tensorflow" else "tensorflow"
    pytest.importorskip(other)
    expected = {}
    for i, (name, case) in enumerate(FEW.items()):
        prior = case.make((2, 3))
        prior.save(tmp_path / f"{i}.keras")
        conditions, codes = case.conditions(prior, 3), random_codes(prior, 3)
        samples = prior.sample(3, seed=0, **conditions)
        expected[name] = samples.tolist(), prior.log_prob(codes, **conditions)
        np.savez(tmp_path / f"{i}.npz", codes=codes, **conditions)
    code = f"""
import json, keras, numpy as np
import keras_vqvae
assert keras.backend.backend() == "{other}"
for i in range({len(FEW)}):
    prior = keras.models.load_model(f"{tmp_path}/{{i}}.keras")
    arrays = dict(np.load(f"{tmp_path}/{{i}}.npz"))
    codes = arrays.pop("codes")
    print(json.dumps([prior.sample(3, seed=0, **arrays).tolist(),
                      prior.log_prob(codes, **arrays).tolist()]))
"""
    lines = [json.loads(line) for line in run_python(code, other).splitlines()]
    for name, (samples, log_prob) in zip(FEW, lines, strict=True):
        assert samples == expected[name][0], name
        np.testing.assert_allclose(log_prob, expected[name][1], rtol=1e-5)


@pytest.mark.tensorflow_only
@one_kind
def test_the_same_samples_as_a_plain_graph_and_eagerly(case):
    """Without XLA, and without any compilation."""
    import tensorflow as tf

    prior = case.make((3, 3))
    sampler = sampling.get("random")
    uniforms = ops.convert_to_tensor(draw_uniforms(0, 0, 4, (3, 3)))
    given = ops.full((4, 3, 3), -1, "int32")

    def loop(uniforms, given):
        return sampling.sample_raster(
            prior, prior.initial_state(4), uniforms, given, sampler, sampler.settings()
        )

    expected = prior.sample(4, seed=0)
    np.testing.assert_array_equal(to_numpy(loop(uniforms, given)), expected)
    graph = tf.function(loop, autograph=False)
    np.testing.assert_array_equal(to_numpy(graph(uniforms, given)), expected)


@one_kind
@pytest.mark.parametrize("depth", [2])
def test_given_codes(case, depth):
    prior = case.make(depth=depth)
    codes = random_codes(prior, 3, seed=1)
    free = prior.sample(3, seed=0)
    np.testing.assert_array_equal(prior.sample(3, seed=0, given=codes), codes)
    # The upper half is kept; the lower continues it.
    given = codes.copy()
    given[:, 2:] = -1
    completed = prior.sample(3, seed=0, given=given)
    np.testing.assert_array_equal(completed[:, :2], codes[:, :2])
    # What is drawn already is what continues it: the same codes, given, change nothing.
    given = np.where(np.arange(free.size).reshape(free.shape) % 3 == 0, free, -1)
    np.testing.assert_array_equal(prior.sample(3, seed=0, given=given), free)
    one = np.full(prior.code_shape, -1)
    one[1, 2] = 4
    assert (prior.sample(3, seed=0, given=one)[:, 1, 2] == 4).all()


def test_greedy_takes_the_best_code_everywhere(pixelcnn):
    prior = pixelcnn
    codes = prior.sample(2, sampler="greedy", seed=0)
    np.testing.assert_array_equal(codes[0], codes[1])
    best = to_numpy(prior(ops.convert_to_tensor(codes))).argmax(-1)
    np.testing.assert_array_equal(best, codes)
    cold = prior.sample(2, sampler=sampling.Random(temperature=1e-4), seed=0)
    np.testing.assert_array_equal(cold, codes)


@one_kind
def test_guidance(case):
    prior = case.make(num_classes=3, label_dropout=0.5)
    arguments = {"seed": 0, "sampler": sampling.Random(1.0)}
    labels = np.array([0, 1, 2, 0])
    plain = prior.sample(4, labels=labels, **arguments)
    np.testing.assert_array_equal(prior.sample(4, labels=labels, guidance=1.0, **arguments), plain)
    unconditional = prior.sample(4, **arguments)
    np.testing.assert_array_equal(
        prior.sample(4, labels=labels, guidance=0.0, **arguments), unconditional
    )
    pushed = prior.sample(64, labels=1, guidance=4.0, seed=1, batch_size=4)
    normal = prior.sample(64, labels=1, seed=1, batch_size=4)

    # Of those that are overdone, the label explains more.
    def explained(codes):
        return np.mean(prior.log_prob(codes, np.full(64, 1)) - prior.log_prob(codes))

    assert explained(pushed) > explained(normal) + 0.1


def test_guided_logits_by_hand():
    from keras_vqvae.models.guidance import Guided

    class Fake:
        def step(self, state, row, column):
            return ops.convert_to_tensor([[1.0, 2.0], [0.0, 4.0]]), state

    logits, _ = Guided(Fake(), 3.0).step({}, 0, 0)
    np.testing.assert_array_equal(to_numpy(logits), [[3.0, -2.0]])  # 0 + 3·1, 4 + 3·(−2)


def test_nothing_and_few(pixelcnn):
    assert pixelcnn.sample(0).shape == (0, *pixelcnn.code_shape)
    np.testing.assert_array_equal(pixelcnn.sample(1, seed=2), pixelcnn.sample(2, seed=2)[:1])


def test_seed_comes_from_the_global_generator(pixelcnn):
    prior = pixelcnn
    keras.utils.set_random_seed(5)
    first, second = prior.sample(2), prior.sample(2)
    keras.utils.set_random_seed(5)
    np.testing.assert_array_equal(prior.sample(2), first)
    assert not np.array_equal(first, second)


@one_kind
def test_batch_size_is_bounded_by_the_caches(case, monkeypatch):
    prior = case.make()
    assert prior.chunk_of_samples() == 64
    sizes = prior.__dict__["_state_bytes"]
    state = keras.tree.flatten(prior.initial_state(1))
    assert 0.5 < sizes / sum(4 * np.prod(x.shape) for x in state if x.shape[:1] == (1,)) <= 1.0
    monkeypatch.setattr(prior_sampling, "STATE_BYTES", 5 * sizes)
    assert prior.chunk_of_samples() == 4
    assert prior.chunk_of_samples(copies=2) == 2
    monkeypatch.setattr(prior_sampling, "STATE_BYTES", 1)
    assert prior.chunk_of_samples() == 1


def test_progress_bar_on_long_jobs_only(pixelcnn, monkeypatch, capsys):
    prior = pixelcnn
    prior.sample(2, seed=0)
    prior.sample(2, seed=0, verbose=0)
    assert capsys.readouterr().out == ""
    prior.sample(2, seed=0, verbose=1)
    assert "2/2" in capsys.readouterr().out
    monkeypatch.setattr(prior_sampling, "QUIET_SECONDS", 0.0)
    prior.sample(2, seed=0)
    assert capsys.readouterr().out == ""
    prior.sample(2, seed=0, batch_size=1)
    assert "2/2" in capsys.readouterr().out


@each_kind
def test_state_grows_with_the_grid_and_not_with_its_square(case):
    def size(side):
        state = case.make((side, side), scale=None).initial_state(1)
        return sum(int(np.prod(x.shape)) for x in keras.tree.flatten(state))

    # From 4×4 to 16×16 positions, 16 times as many.
    assert size(16) <= 16 * size(4)


def test_low_rank_factors_added_after_a_first_sample_count():
    prior = KINDS["pixelcnn"].make()
    before = prior.sample(4, seed=0)
    to_logits = prior.head.to_logits[0]
    to_logits.enable_lora(1)
    to_logits.lora_kernel_a.assign(np.ones(to_logits.lora_kernel_a.shape))
    # A large share of the features, whatever its sign, for or against code 0 and 1.
    to_logits.lora_kernel_b.assign(np.array([[1e4, -1e4, 0.0, 0.0, 0.0]]))
    codes = prior.sample(4, seed=0)
    assert not np.array_equal(codes, before)
    nats = to_numpy(prior.nats(codes))
    np.testing.assert_allclose(prior.log_prob(codes), -nats.sum((1, 2)), rtol=1e-4, atol=1e-4)
    assert set(np.unique(codes)) <= {0, 1}


@pytest.mark.parametrize("sampler", [sampling.Random(1e31), sampling.TopP(1.0, 1e31)])
def test_no_heat_draws_codes_that_a_table_lacks(sampler):
    prior = KINDS["pixelcnn"].make(depth=2, num_embeddings=(9, 2))
    codes = prior.sample(32, sampler=sampler, seed=0)
    assert codes[..., 0].max() > 1
    assert codes[..., 1].max() == 1
