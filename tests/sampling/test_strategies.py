"""Sampling strategies, by hand: which codes may be drawn, and which uniform gives which."""

from functools import partial

import keras
import numpy as np
import pytest
from support import to_numpy

from keras_vqvae import sampling
from keras_vqvae.compilation import CompiledFunction

P = np.array([0.1, 0.4, 0.2, 0.3])  # cumulative: 0.1, 0.5, 0.7, 1.0
UNIFORMS = np.array([0.0, 0.05, 0.15, 0.45, 0.55, 0.65, 0.75, 0.99999994], "float32")


def draw(sampler, p, uniforms=UNIFORMS, compiled=False):
    logits = np.broadcast_to(np.log(np.asarray(p, "float32")), (len(uniforms), len(p)))
    arguments = [keras.ops.convert_to_tensor(np.asarray(a, "float32")) for a in (logits, uniforms)]

    def function(logits, uniforms):
        return sampler.draw(logits, uniforms, sampler.settings())

    return to_numpy((CompiledFunction(function, list) if compiled else function)(*arguments))


CASES = {
    "random": (sampling.Random(), P, [0, 0, 1, 1, 2, 2, 3, 3]),
    # Temperature ½ squares: 1, 16, 4, 9 of 30; cumulative .033, .567, .7, 1.
    "random_cold": (sampling.Random(0.5), P, [0, 1, 1, 1, 1, 2, 3, 3]),
    "greedy": (sampling.Greedy(), P, [1] * 8),
    "greedy_tie": (sampling.Greedy(), [0.2, 0.3, 0.3, 0.2], [1] * 8),
    "top_1": (sampling.TopK(1), P, [1] * 8),
    # Codes 1 and 3 with 4/7 and 3/7.
    "top_2": (sampling.TopK(2), P, [1, 1, 1, 1, 1, 3, 3, 3]),
    "top_all": (sampling.TopK(4), P, [0, 0, 1, 1, 2, 2, 3, 3]),
    # Of three equals, exactly two stay: those of the lower index.
    "top_2_tie": (sampling.TopK(2), [0.3, 0.1, 0.3, 0.3], [0, 0, 0, 0, 2, 2, 2, 2]),
    # 0.4 < 0.45: the second most probable is needed too.
    "top_p": (sampling.TopP(0.45), P, [1, 1, 1, 1, 1, 3, 3, 3]),
    "top_p_one_suffices": (sampling.TopP(0.3), P, [1] * 8),
    "top_p_tiny": (sampling.TopP(1e-9), P, [1] * 8),
    # The first two hold half of it to the last bit: no third one is needed.
    "top_p_even": (sampling.TopP(0.5), [0.25] * 4, [0, 0, 0, 0, 1, 1, 1, 1]),
    "top_p_all": (sampling.TopP(1.0), P, [0, 0, 1, 1, 2, 2, 3, 3]),
    # At temperature ½ code 1 holds 16/30 > 0.5.
    "top_p_cold": (sampling.TopP(0.5, temperature=0.5), P, [1] * 8),
}


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize(("sampler", "p", "expected"), CASES.values(), ids=CASES)
def test_by_hand(sampler, p, expected, compiled):
    codes = draw(sampler, p, compiled=compiled)
    assert codes.dtype == "int32"
    np.testing.assert_array_equal(codes, expected)


@pytest.mark.parametrize("p", [[0, 0, 0.5, 0.5, 0, 0], [0.5, 0, 0, 0, 0, 0.5], [0, 1, 0]])
def test_impossible_codes_are_never_drawn(p):
    # Uniforms at the ends, and at the places where the cumulative distribution stays level.
    uniforms = np.array([0.0, 1e-30, 0.49999997, 0.5, 0.50000006, 0.99999994], "float32")
    with np.errstate(divide="ignore"):
        codes = draw(sampling.Random(), p, uniforms)
    assert set(codes) <= set(np.flatnonzero(p))


@pytest.mark.parametrize(
    "sampler", [sampling.TopK(5), sampling.TopP(0.3), sampling.Greedy()], ids=repr
)
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_excluded_codes_are_never_drawn_from_large_tables(sampler, compiled):
    """Sums of 1000 rounded weights, in whatever order a backend adds them."""
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(1000, 0.3)).astype("float32") + np.float32(1e-20)
    grid = np.linspace(0, 1, 2001, dtype="float32")
    uniforms = np.minimum(grid, np.float32(0.99999994))
    codes = draw(sampler, p, uniforms, compiled)
    order = np.argsort(-p, kind="stable")
    if isinstance(sampler, sampling.TopP):
        allowed = order[: np.searchsorted(np.cumsum(p[order]) / p.sum(), 0.3) + 1]
    else:
        allowed = order[: getattr(sampler, "k", 1)]
    assert set(codes) == set(allowed)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize(
    "make", [sampling.Random, partial(sampling.TopK, 2), partial(sampling.TopP, 0.9)]
)
def test_the_coldest_draw_is_the_best_code(make, compiled):
    """However small the temperature, where logits over it would be no float32 any more."""
    for temperature in (1e-6, 1e-30, 1e-38, 1e-42):
        codes = draw(make(temperature=temperature), P / 1000, compiled=compiled)
        np.testing.assert_array_equal(codes, [1] * 8)


def test_frequencies_are_the_probabilities():
    uniforms = (np.arange(10_000, dtype="float32") + 0.5) / 10_000
    counts = np.bincount(draw(sampling.Random(), P, uniforms), minlength=4)
    # Evenly spaced uniforms: each count is exact but for one at each boundary.
    np.testing.assert_allclose(counts, 10_000 * P, atol=1.0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_weights_are_float32_whatever_the_logits_are(dtype):
    expected = np.arange(0, 1000, 50)
    uniforms = ((expected + 0.5) / 1000).astype("float32")
    logits = keras.ops.zeros((len(expected), 1000), dtype)
    codes = to_numpy(sampling.Random().draw(logits, uniforms, {"temperature": 1.0}))
    np.testing.assert_array_equal(codes, expected)


def test_settings_are_inputs_and_structure_is_the_key():
    hot, cold = sampling.TopP(0.5, temperature=2.0), sampling.TopP(0.9, temperature=0.5)
    assert hot.compilation_key() == cold.compilation_key()
    assert hot.settings() == {"temperature": 2.0, "p": 0.5}
    assert sampling.TopK(3).compilation_key() != sampling.TopK(4).compilation_key()
    assert sampling.TopK(3).compilation_key() == sampling.TopK(3, 2.0).compilation_key()
    assert sampling.Random().compilation_key() != sampling.Greedy().compilation_key()


def test_a_strategy_of_ones_own_is_compiled_for_each_of_its_attributes():
    def above(share):
        class Above(sampling.Sampler):  # of the same name each time, as in a notebook
            def __init__(self, least, codes=None):
                super().__init__()
                self.least, self.codes = least, codes

            def filter(self, logits, settings):
                kept = keras.ops.softmax(logits) >= self.least * share
                return keras.ops.where(kept, super().filter(logits, settings), -1e30)

        return Above

    one, other = above(1.0), above(0.5)
    assert one(0.1).compilation_key() == one(0.1).compilation_key()
    assert one(0.1).compilation_key() != one(0.9).compilation_key()
    assert one(0.1).compilation_key() != other(0.1).compilation_key()
    of_array = one(0.1, np.arange(3))
    assert of_array.compilation_key() == one(0.1, np.arange(3)).compilation_key()
    assert of_array.compilation_key() != one(0.1, np.arange(4)).compilation_key()
    of_objects = one(0.1, np.array([object()]))  # which nothing tells apart
    assert of_objects.compilation_key() == of_objects.compilation_key()
    assert of_objects.compilation_key() != one(0.1, of_objects.codes).compilation_key()


@pytest.mark.parametrize(
    "sampler",
    [sampling.Random(0.7), sampling.Greedy(), sampling.TopK(3, 0.9), sampling.TopP(0.8, 1.1)],
    ids=repr,
)
def test_get_takes_names_configs_and_instances(sampler):
    assert sampling.get(sampler) is sampler
    again = sampling.get(keras.saving.serialize_keras_object(sampler))
    assert again == sampler
    assert again is not sampler


def test_get_by_name():
    assert sampling.get("random") == sampling.Random()
    assert sampling.get("greedy") == sampling.Greedy()
    for wrong in ("nucleus", None, 3, keras.layers.Dense(1)):
        with pytest.raises(ValueError, match="`sampler` should be one of"):
            sampling.get(wrong)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sampling.Random(0), "`temperature` should be > 0"),
        (lambda: sampling.Random("1"), "`temperature` should be > 0 .'greedy' is the limit of 0"),
        (lambda: sampling.Random(-1.0), "`temperature` should be > 0"),
        (lambda: sampling.Random(float("nan")), "`temperature` should be > 0"),
        (lambda: sampling.Random(float("inf")), "`temperature` should be > 0"),
        (lambda: sampling.TopK(0), "`k` should be a positive integer"),
        (lambda: sampling.TopK(2.5), "`k` should be a positive integer"),
        (lambda: sampling.TopP(0.0), r"`p` should be in \(0, 1\]"),
        (lambda: sampling.TopP(1.1), r"`p` should be in \(0, 1\]"),
        (lambda: sampling.TopK(9).check(8), "`k` should be at most the number of codes, 8"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()
    sampling.TopK(8).check(8)
