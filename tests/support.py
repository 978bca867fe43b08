"""Helpers of the tests: no test and no assertion of its own about the package."""

import inspect
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
from click.testing import CliRunner

ROOT = Path(__file__).resolve().parent.parent


def invoke(command, arguments):
    """The result of a command of click in this process, `stderr` apart on every version of it."""
    apart = "mix_stderr" in inspect.signature(CliRunner).parameters
    runner = CliRunner(mix_stderr=False) if apart else CliRunner()
    return runner.invoke(command, [str(argument) for argument in arguments])


def to_numpy(x):
    return np.array(keras.ops.convert_to_numpy(x))


def normal(shape, seed=0, scale=1.0):
    """float32 NumPy noise; a seed always gives the same."""
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype("float32")


def grey_images(count, side=8, channels=1, seed=0):
    """uint8 images `(count, side, side, channels)`."""
    shape = (count, side, side, channels)
    return np.random.default_rng(seed).integers(0, 256, shape).astype("uint8")


def values_of(owner):
    """Copies of all variables of a layer or model, in order, those of random generators too."""
    return [to_numpy(v) for v in owner.variables]


def rewrite_json(archive, name, change):
    """A zip file with another JSON in one of its members, and checksums that fit."""
    with zipfile.ZipFile(archive) as file:
        members = {one: file.read(one) for one in file.namelist()}
    content = json.loads(members[name])
    change(content)
    members[name] = json.dumps(content)
    with zipfile.ZipFile(archive, "w") as file:
        for one, text in members.items():
            file.writestr(one, text)


def same_bits(a, b):
    """Whether two lists of arrays are equal to the last bit."""
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def gradients(function, x, variables=()):
    """The gradients of a scalar `function(x)` by `x` and by Keras `variables`, on any backend.

    Where nothing is connected, zeros: JAX knows no `None`.
    """
    x = keras.ops.convert_to_tensor(x)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = function(x)
        sources = [x, *(v.value for v in variables)]
        found = tape.gradient(loss, sources, unconnected_gradients="zero")
        found = [tf.convert_to_tensor(g) for g in found]
        return to_numpy(found[0]), [to_numpy(g) for g in found[1:]]
    import jax

    def stateless(x, values):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(x)

    by_x, by_values = jax.grad(stateless, argnums=(0, 1))(x, [v.value for v in variables])
    return to_numpy(by_x), [to_numpy(g) for g in by_values]


def train_often(layer, x, steps, xla=False):
    """`steps` training calls of a built layer on the same `x`, compiled, its weights updated.

    By XLA on JAX in any case, on TensorFlow if it is asked for.
    """
    x = keras.ops.convert_to_tensor(x)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        step = tf.function(lambda x: layer(x, training=True), autograph=False, jit_compile=xla)
        for _ in range(steps):
            step(x)
        return
    import jax

    trainable = [v.value for v in layer.trainable_variables]

    @jax.jit
    def step(others):
        return layer.stateless_call(trainable, others, x, training=True)[1]

    others = [v.value for v in layer.non_trainable_variables]
    for _ in range(steps):
        others = step(others)
    for variable, value in zip(layer.non_trainable_variables, others, strict=True):
        variable.assign(value)


def set_table(quantizer, rows, dim_first_shape=None):
    """Builds the quantizer for rows of this length and gives it this table."""
    rows = np.asarray(rows, "float32")
    if not quantizer.built:
        quantizer.build(dim_first_shape or (None, rows.shape[1]))
    quantizer.embeddings.assign(rows)
    return quantizer


def run_python(code, backend=None, **environment):
    """The standard output of `code` in a new interpreter; its error text if it fails."""
    env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    env["KERAS_BACKEND"] = backend or keras.backend.backend()
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        raise RuntimeError(f"exit status {done.returncode}:\n{done.stderr[-4000:]}")
    return done.stdout


def says(text, sentence, *values):
    """Whether a text has this sentence once, with these numbers for its `#`, rounded as printed.

    Line breaks and bold type are not looked at.
    """
    pattern = re.escape(sentence).replace(re.escape("#"), r"(\d+(?:\.\d+)?)")
    (found,) = re.findall(pattern, " ".join(text.replace("**", "").split()))
    printed = [found] if isinstance(found, str) else list(found)
    assert len(printed) == len(values) == sentence.count("#")
    return all(
        # Half of the last digit that is printed; the rest is for halves that binary has not.
        abs(float(number) - value) <= 0.5000001 * 10.0 ** -len(number.partition(".")[2])
        for number, value in zip(printed, values, strict=True)
    )


def figures_of(benchmark):
    """The figures in the results of a benchmark, by name: a dictionary each."""
    path = ROOT / "benchmarks" / "results" / f"{benchmark}.json"
    return {f["name"]: f for f in json.loads(path.read_text("utf-8"))["figures"]}


def python_blocks(page):
    """The blocks of Python on a page."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def block_with(page, text):
    """The one block of Python on a page that holds this text."""
    (found,) = [block for block in python_blocks(page) if text in block]
    return found


def made_small(code, changes):
    """The code with each text, which it has once, replaced by the other."""
    for text, other in changes.items():
        assert code.count(text) == 1, text
        code = code.replace(text, other)
    return code
