"""The raster loop, with fake models whose text is known."""

import numpy as np
import pytest
from keras import ops
from support import run_python, to_numpy

from keras_vqvae import sampling
from keras_vqvae.compilation import CompiledFunction

A = ord("a")


class Alphabet:
    """After a letter comes the next, twice as likely as the one after; it begins with "a".

    The state also notes which row was started, so that rows are seen to be started once and in
    order.
    """

    def initial_state(self, batch):
        return {"last": ops.full((batch,), 25, "int32"), "row": ops.convert_to_tensor(-1, "int32")}

    def start_row(self, state, row):
        in_order = ops.equal(state["row"] + 1, ops.cast(row, "int32"))
        return {**state, "row": ops.where(in_order, state["row"] + 1, -100)}

    def step(self, state, row, column):
        started = ops.equal(state["row"], ops.cast(row, "int32"))
        following = (state["last"] + 1) % 26
        p = 2 * ops.one_hot(following, 26) + ops.one_hot((following + 1) % 26, 26)
        return ops.where(started, ops.log(p), np.nan), state

    def write(self, codes, state, row, column):
        return {**state, "last": codes}


class Echo(Alphabet):
    """Two letters a position: the second is the first one's capital-to-be, three letters on."""

    def next_depth(self, codes, state, depth):
        return ops.log(ops.one_hot((codes + 3 * depth) % 26, 26)), state

    def write(self, codes, state, row, column):
        return {**state, "last": codes[:, 0]}


def run(model, uniforms, given=None, sampler="random", compiled=True):
    sampler = sampling.get(sampler)
    uniforms = np.asarray(uniforms, "float32")
    given = np.full(uniforms.shape, -1) if given is None else given

    def function(uniforms, given):
        state = model.initial_state(uniforms.shape[0])
        return sampling.sample_raster(model, state, uniforms, given, sampler, sampler.settings())

    function = CompiledFunction(function, list) if compiled else function
    arguments = [ops.convert_to_tensor(uniforms), ops.convert_to_tensor(given.astype("int32"))]
    codes = to_numpy(function(*arguments))
    assert codes.dtype == "int32"
    assert codes.shape == uniforms.shape
    return codes


def text(codes):
    return ["".join(chr(A + code) for code in grid.reshape(-1)) for grid in codes]


def letters(*words, shape):
    """Codes of words; "." is −1."""
    values = [[-1 if c == "." else ord(c) - A for c in word] for word in words]
    return np.array(values).reshape(len(words), *shape)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_alphabet_in_raster_order(compiled):
    # Below ⅔ the next letter, above it the one after. Uniforms row by row.
    uniforms = np.zeros((2, 3, 4))
    uniforms[1, 0, 2] = uniforms[1, 2, 3] = 0.9
    assert text(run(Alphabet(), uniforms, compiled=compiled)) == ["abcdefghijkl", "abdefghijkln"]


def test_greedy_ignores_uniforms():
    assert text(run(Alphabet(), np.full((1, 2, 3), 0.99), sampler="greedy")) == ["abcdef"]


def test_given_codes_are_kept_and_continued():
    given = letters("rs......", "....b...", "........", "abcdefgz", shape=(2, 4))
    codes = run(Alphabet(), np.zeros((4, 2, 4)), given)
    assert text(codes) == ["rstuvwxy", "abcdbcde", "abcdefgh", "abcdefgz"]


def test_given_codes_shift_no_uniforms():
    """A uniform belongs to a position, and not to the draws so far."""
    uniforms = np.array([0.9, 0, 0.9, 0]).reshape(1, 2, 2)
    assert text(run(Alphabet(), uniforms)) == ["bcef"]
    assert text(run(Alphabet(), uniforms, letters("k...", shape=(2, 2)))) == ["klno"]


def test_one_row_one_column_one_position():
    for shape in [(1, 4), (4, 1), (1, 1)]:
        assert text(run(Alphabet(), np.zeros((1, *shape)))) == ["abcd"[: shape[0] * shape[1]]]


def test_several_codes_a_position():
    codes = run(Echo(), np.zeros((1, 2, 2, 3)))
    # a, a+3, a+3+6; then b …
    assert text(codes) == ["adjbekcfldgm"]
    given = letters(".z..........", shape=(2, 2, 3))
    assert text(run(Echo(), np.zeros((1, 2, 2, 3)), given)) == ["azfbekcfldgm"]


def test_the_same_on_the_other_backend():
    """Strategies and loop give the same codes on both, from the same logits."""
    pytest.importorskip("jax")
    pytest.importorskip("tensorflow")
    code = """
import numpy as np, keras
from keras import ops
from keras_vqvae import sampling
from keras_vqvae.compilation import CompiledFunction
from keras_vqvae.ops import draw_uniforms
logits = np.random.default_rng(0).standard_normal((64, 40)).astype("float32")
u = draw_uniforms(0, 0, 64, ())
for sampler in (sampling.Random(0.8), sampling.TopK(5), sampling.TopP(0.7), sampling.Greedy()):
    f = CompiledFunction(lambda l, u: sampler.draw(l, u, sampler.settings()), list)
    print(ops.convert_to_numpy(f(ops.convert_to_tensor(logits), ops.convert_to_tensor(u))).tolist())
"""
    assert run_python(code, "tensorflow") == run_python(code, "jax")
