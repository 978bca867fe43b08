"""Our side of `quantizers.py`: training steps, the nearest-code search, and its matrix product.

The backend is that of `KERAS_BACKEND`; a step on JAX passes the weights in and out, as `fit` does.
"""

from collections.abc import Callable
from typing import Any

import keras
from turns import normal_vectors

from keras_vqvae import codebooks, layers
from keras_vqvae.ops import default_chunk_size, map_chunks, nearest_code

EMA = codebooks.EMAUpdate(0.99)

# The settings of theirs are in `torch_peer.py`.
MAKERS: dict[str, Callable[..., layers.Quantizer]] = {
    "ema": lambda dim, size: layers.VectorQuantizer(size, update=EMA),
    "cosine": lambda dim, size: layers.VectorQuantizer(size, update=EMA, distance="cosine"),
    "rotation": lambda dim, size: layers.VectorQuantizer(size, update=EMA, estimator="rotation"),
    "gradient": lambda dim, size: layers.VectorQuantizer(size),
    "fsq": lambda dim, levels: layers.FiniteScalarQuantizer(levels),
    "fsp": lambda dim, levels: layers.FiniteScalarPerturbation(levels),
    "residual_fsq": lambda dim, levels, depths: layers.ResidualFiniteScalarQuantizer(
        depths, levels
    ),
    "lfq": layers.LookupFreeQuantizer,
    "bsq": layers.BinarySphericalQuantizer,
    "residual": lambda dim, size, depths: layers.ResidualVectorQuantizer(depths, size, update=EMA),
    "grouped": lambda dim, size, depths, groups: layers.GroupedResidualVectorQuantizer(
        groups, depths, size, update=EMA
    ),
    "implicit": lambda dim, size, depths, hidden: layers.ImplicitResidualVectorQuantizer(
        depths, size, num_blocks=2, hidden_dim=hidden
    ),
    "sim_vq": lambda dim, size: layers.SimVQ(size),
}


def make_layer(kind: str, dim: int, options: dict[str, Any]) -> layers.Quantizer:
    layer = MAKERS[kind](dim, **options)
    layer.build((None, dim))
    if isinstance(layer, layers.VectorQuantizer):
        layer.embeddings.assign(keras.random.normal(layer.codebook_shape, seed=0))
    return layer


def training_step(
    kind: str, count: int, dim: int, options: dict[str, Any], seed: int, jit_compile: bool = False
) -> Callable[[], float]:
    """Forward and backward in training mode, as in `torch_peer.training_step`."""
    keras.utils.set_random_seed(seed)
    layer = make_layer(kind, dim, options)

    def outputs(x: Any) -> tuple[Any, Any]:
        """The values, and the sum of the losses."""
        out = layer.discretize(x, training=True)
        return out.quantized, sum(out.losses.values(), keras.ops.zeros((), "float32"))

    x, upstream = (normal_vectors(count, dim, s) for s in (seed, seed + 1))
    make = {"tensorflow": _tensorflow_step, "jax": _jax_step}[keras.backend.backend()]
    return make(layer, outputs, x, upstream, jit_compile)


def _tensorflow_step(
    layer: layers.Quantizer, outputs: Any, x: Any, upstream: Any, jit_compile: bool
) -> Callable[[], float]:
    import tensorflow as tf

    weights = [variable.value for variable in layer.trainable_variables]

    @tf.function(autograph=False, jit_compile=jit_compile)
    def compiled(x: Any, upstream: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            values, loss = outputs(x)
        handed_back = [upstream, tf.ones_like(loss)]
        gradients = tape.gradient([values, loss], [x, *weights], output_gradients=handed_back)
        return loss, values, gradients  # what is not returned would not be computed

    x, upstream = tf.constant(x), tf.constant(upstream)
    return lambda: float(compiled(x, upstream)[0])


def _jax_step(
    layer: layers.Quantizer, outputs: Any, x: Any, upstream: Any, jit_compile: bool
) -> Callable[[], float]:
    import jax

    learned, others = layer.trainable_variables, layer.non_trainable_variables

    def stateless(inputs: Any, state: Any) -> Any:
        x, weights = inputs
        mapping = [*zip(learned, weights, strict=True), *zip(others, state, strict=True)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            out = outputs(x)
        return out, [scope.get_current_value(v) for v in others]

    @jax.jit
    def compiled(inputs: Any, state: Any, upstream: Any) -> Any:
        out, backward, state = jax.vjp(lambda i: stateless(i, state), inputs, has_aux=True)
        return out, state, backward((upstream, jax.numpy.ones_like(out[1])))

    inputs = (jax.device_put(x), [v.value for v in learned])
    upstream = jax.device_put(upstream)
    state = [v.value for v in others]

    def step() -> float:
        nonlocal state
        (values, loss), state, gradients = compiled(inputs, state, upstream)
        jax.block_until_ready((values, state, gradients))
        return float(loss)

    return step


def search(count: int, dim: int, size: int, seed: int, jit_compile: bool = False) -> Any:
    """The search of the nearest code of each vector, and nothing else."""
    x, table = normal_vectors(count, dim, seed), normal_vectors(size, dim, seed + 1)

    def found(x: Any, table: Any) -> Any:
        return keras.ops.sum(nearest_code(x, table))

    return _compiled(found, x, table, jit_compile)


def product(count: int, dim: int, size: int, seed: int) -> Any:
    """The scores of all codes in the chunks of the search, of which a column is kept.

    Not for XLA, which may leave out what is not kept.
    """
    x, table = normal_vectors(count, dim, seed), normal_vectors(size, dim, seed + 1)

    def column(rows: Any, table: Any) -> Any:
        return keras.ops.cast(keras.ops.matmul(rows, table)[:, 0], "int32")

    def computed(x: Any, table: Any) -> Any:
        by_column = keras.ops.transpose(table)
        kept = map_chunks(lambda rows: column(rows, by_column), x, default_chunk_size(size))
        return keras.ops.sum(kept)

    return _compiled(computed, x, table, jit_compile=False)


def _compiled(function: Any, x: Any, table: Any, jit_compile: bool) -> Callable[[], float]:
    if keras.backend.backend() == "jax":
        import jax

        compiled = jax.jit(function)
    else:
        import tensorflow as tf

        compiled = tf.function(function, autograph=False, jit_compile=jit_compile)
    x, table = keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(table)
    return lambda: float(compiled(x, table))
