"""Training steps of our quantizers against vector-quantize-pytorch on torch: time and memory.

A step is forward and backward in training mode: values, losses, tables that learn, and the gradient
to the vectors and to every weight. Ours is compiled (`tf.function`, no XLA), as `fit` does it on a
CPU. Both run in one process on equal vectors with the same number of threads, and take turns in
blocks; the first step of a block is not counted, and neither are compilation and warm-up. Settings
of both are equal: straight-through, decay 0.99, β = 0.25, tables from the same distribution.

The nearest-code search alone is timed against the matrix product alone, in the same chunks and
turns. Beside the steps whose bound is 10 × the product takes its turns too: no exact search does
without it, so the peer's step divided by it is what no step can reach here. Peak memory is that of
a fresh process, imports included, which runs training steps of one of the two and nothing else; it
is read from /proc, so only on Linux.

Theirs needs the extra `oracle`. `--smoke` takes tiny sizes, and runs ours alone without it.

    python benchmarks/quantizers.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import gc
import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from reporting import Figure, parser, report, require_tensorflow
from training_step import ratio_interval, time_rounds

from keras_vqvae import codebooks, layers
from keras_vqvae.ops import default_chunk_size, map_chunks, nearest_code

AS_FAST = "× as fast"
ROUNDS = 20
EMA = codebooks.EMAUpdate(0.99)
PACKAGES = ("torch", "vector-quantize-pytorch")


@dataclass
class Case:
    """A quantizer of both.

    Attributes:
        kind: in `MAKERS`, ours and theirs.
        count: N, the number of vectors.
        dim: D, their length.
        options: sizes, the same for both.
        at_least: how many times as fast ours should be; `None`: no bound.
        slow: what divides the number of rounds, for steps that take long.
    """

    kind: str
    count: int
    dim: int
    options: dict[str, Any]
    at_least: float | None = None
    slow: int = 1

    @property
    def name(self) -> str:
        sizes = " ".join(str(v).replace(" ", "") for v in self.options.values())
        return f"{self.kind}, {self.count} × {self.dim}" + (f", {sizes}" if sizes else "")


LEVELS = {"levels": (8, 5, 5, 5)}
LARGE = Case("ema", 65_536, 64, {"size": 8_192}, 10.0, slow=4)
CASES = (
    Case("ema", 8_192, 64, {"size": 512}, 10.0),
    LARGE,
    Case("fsq", 65_536, 4, LEVELS, 1.0),
    Case("lfq", 8_192, 10, {}, 1.0),
    Case("residual", 8_192, 64, {"size": 1_024, "depths": 8}, 1.0, slow=2),
    Case("cosine", 8_192, 64, {"size": 512}),
    Case("rotation", 8_192, 64, {"size": 512}),
    Case("gradient", 8_192, 64, {"size": 512}),
    Case("sim_vq", 8_192, 64, {"size": 1_024}),
    Case("grouped", 8_192, 64, {"size": 1_024, "depths": 4, "groups": 2}),
    Case("residual_fsq", 65_536, 4, {**LEVELS, "depths": 4}),
    Case("bsq", 8_192, 10, {}),
)

# Ours, with the settings of theirs in `torch_peer.py`.
MAKERS: dict[str, Callable[..., layers.Quantizer]] = {
    "ema": lambda size: layers.VectorQuantizer(size, update=EMA),
    "cosine": lambda size: layers.VectorQuantizer(size, update=EMA, distance="cosine"),
    "rotation": lambda size: layers.VectorQuantizer(size, update=EMA, estimator="rotation"),
    "gradient": lambda size: layers.VectorQuantizer(size),
    "fsq": layers.FiniteScalarQuantizer,
    "residual_fsq": lambda levels, depths: layers.ResidualFiniteScalarQuantizer(depths, levels),
    "residual": lambda size, depths: layers.ResidualVectorQuantizer(depths, size, update=EMA),
    "grouped": lambda size, depths, groups: layers.GroupedResidualVectorQuantizer(
        groups, depths, size, update=EMA
    ),
    "sim_vq": layers.SimVQ,
}


def make_ours(case: Case) -> layers.Quantizer:
    if case.kind in ("lfq", "bsq"):
        kind = {"lfq": layers.LookupFreeQuantizer, "bsq": layers.BinarySphericalQuantizer}
        layer = kind[case.kind](case.dim)
    else:
        layer = MAKERS[case.kind](*case.options.values())
    layer.build((None, case.dim))
    if isinstance(layer, layers.VectorQuantizer):
        layer.embeddings.assign(keras.random.normal(layer.codebook_shape, seed=0))
    return layer


def make_step(case: Case, x: np.ndarray, upstream: np.ndarray) -> Callable[[], float]:
    """Our training step; the loss is as in `torch_peer.make_step`."""
    layer = make_ours(case)
    weights = [variable.value for variable in layer.trainable_variables]

    @tf.function(autograph=False)
    def compiled(x: Any, upstream: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            out = layer.discretize(x, training=True)
            loss = tf.reduce_mean(out.quantized * upstream) + sum(out.losses.values())
        return loss, tape.gradient(loss, [x, *weights])

    x, upstream = tf.constant(x), tf.constant(upstream)
    return lambda: float(compiled(x, upstream)[0])


def vectors(case: Case, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and the weights of their values in the loss, float32 `(N, D)`."""
    generator = np.random.default_rng(seed)
    shape = (case.count, case.dim)
    return tuple(generator.standard_normal(shape).astype("float32") for _ in range(2))


def clocked(step: Callable[[], float]) -> Callable[[], tuple[float, float]]:
    """The step, compiled and warm, with both clocks around it."""

    def timed() -> tuple[float, float]:
        start, processor_start = time.perf_counter(), time.process_time()
        loss = step()
        seconds = time.perf_counter() - start, time.process_time() - processor_start
        if not np.isfinite(loss):
            raise RuntimeError(f"This is no loss: {loss}")
        return seconds

    timed()
    return timed


def compare(case: Case, with_peer: bool, rounds: int, seed: int) -> list[Figure]:
    """Milliseconds of a step of both, and how many times as fast ours is."""
    x, upstream = vectors(case, seed)
    steps = {"ours": clocked(make_step(case, x, upstream))}
    if with_peer:
        import torch_peer

        steps["peer"] = clocked(torch_peer.make_step(case.kind, case.options, x, upstream))
    with_product = with_peer and case.at_least == 10.0
    if with_product:
        steps["product"] = clocked(make_product(x, table_of(case, seed)))
    times = time_rounds(steps, max(1, rounds // case.slow), 1 if case.slow > 1 else 3)
    wall = {name: values[..., 0] for name, values in times.items()}
    medians = {name: float(np.median(values)) for name, values in wall.items()}
    milliseconds = {name: 1e3 * value for name, value in medians.items()}
    figures = [Figure(f"{case.name}: step", "ms", milliseconds["ours"], milliseconds.get("peer"))]
    if with_peer:
        interval = ratio_interval(wall["peer"], wall["ours"], seed)
        ratio = medians["peer"] / medians["ours"]
        figures.append(
            Figure(case.name, AS_FAST, ratio, 1.0, at_least=case.at_least, interval=interval)
        )
    if with_product:
        interval = ratio_interval(wall["peer"], wall["product"], seed)
        ratio = medians["peer"] / medians["product"]
        figures += [
            Figure(f"{case.name}: its matrix product alone", "ms", milliseconds["product"]),
            Figure(f"{case.name}: that product", AS_FAST, ratio, 1.0, interval=interval),
        ]
    return figures


def table_of(case: Case, seed: int) -> np.ndarray:
    shape = (case.options["size"], case.dim)
    return np.random.default_rng(seed + 1).standard_normal(shape).astype("float32")


def make_product(x: np.ndarray, table: np.ndarray) -> Callable[[], float]:
    """The scores of all codes in the chunks of the search, of which a column is kept."""

    @tf.function(autograph=False)
    def product(x: Any, table: Any) -> Any:
        kept = map_chunks(
            lambda rows: tf.cast(tf.matmul(rows, table, transpose_b=True)[:, 0], tf.int32),
            x,
            default_chunk_size(int(table.shape[0])),
        )
        return tf.reduce_sum(kept)

    x, table = tf.constant(x), tf.constant(table)
    return lambda: float(product(x, table))


def compare_search(case: Case, rounds: int, seed: int) -> list[Figure]:
    """The search of the nearest code against the product of vectors and table alone."""
    x, _ = vectors(case, seed)
    table, size = table_of(case, seed), case.options["size"]

    @tf.function(autograph=False)
    def search(x: Any, table: Any) -> Any:
        return tf.reduce_sum(nearest_code(x, table))

    searched = partial(search, tf.constant(x), tf.constant(table))
    steps = {
        "search": clocked(lambda: float(searched())),
        "product": clocked(make_product(x, table)),
    }
    times = time_rounds(steps, max(1, rounds // case.slow), 3)
    wall = {name: values[..., 0] for name, values in times.items()}
    medians = {name: float(np.median(values)) for name, values in wall.items()}
    ratio = medians["search"] / medians["product"]
    interval = ratio_interval(wall["search"], wall["product"], seed)
    operations = 2e-9 * case.count * case.dim * size
    sizes = f"{case.count} × {case.dim} × {size}"
    return [
        Figure(f"search alone, {sizes}", "ms", 1e3 * medians["search"]),
        Figure(f"its matrix product alone, {sizes}", "ms", 1e3 * medians["product"]),
        Figure("… of it", "GFLOP/s", operations / medians["product"]),
        Figure(
            "search alone", "× its product", ratio, at_most=round(1 / 0.70, 4), interval=interval
        ),
    ]


def peak_gigabytes(module: str, call: str) -> float | None:
    """Most memory of a fresh process that takes two training steps; `None` where it is not told."""
    code = (
        f"import numpy as np, {module} as m\n{call}\nstep(); step()\n"
        "print(open('/proc/self/status').read())"
    )
    if not Path("/proc/self/status").is_file():
        return None
    # `VmHWM` and not `ru_maxrss`, which a child takes over from the process that started it.
    folder = str(Path(__file__).parent)
    path = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"`{module}` failed:\n{done.stderr[-2000:]}")
    peak = next(line for line in done.stdout.splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024 / 1e9


def memory(case: Case, with_peer: bool) -> list[Figure]:
    ours = peak_gigabytes(
        "quantizers", f"case = m.{case!r}\nstep = m.make_step(case, *m.vectors(case))"
    )
    theirs = None
    if with_peer:
        draw = f"np.random.default_rng(0).standard_normal(({case.count}, {case.dim}))"
        arguments = f"{case.kind!r}, {case.options!r}, x, x"
        theirs = peak_gigabytes(
            "torch_peer", f"x = {draw}.astype('float32')\nstep = m.make_step({arguments})"
        )
    name = f"{case.name}: peak memory"
    return [] if ours is None else [Figure(name, "GB", ours, theirs, at_most=1.5)]


def tiny(case: Case) -> Case:
    """For `--smoke`: no measurement."""
    sizes = {"size": 16, "depths": 2}
    options = {key: sizes.get(key, value) for key, value in case.options.items()}
    return Case(case.kind, 64, min(case.dim, 6) if case.dim > 4 else 4, options)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser(__doc__, "quantizers")
    arguments.add_argument("--rounds", type=int, help=f"rounds (default: {ROUNDS})")
    arguments.add_argument("--only", default="", help="cases whose name contains this")
    arguments.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="of both (default: all cores)"
    )
    args = arguments.parse_args(argv)
    require_tensorflow()
    with_peer = all(importlib.util.find_spec(n) for n in ("torch", "vector_quantize_pytorch"))
    if not with_peer:
        missing = "vector-quantize-pytorch and torch are not installed: pip install -e '.[oracle]'"
        if not args.smoke:
            raise SystemExit(missing)
        print(f"Ours alone, as {missing}")
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    if with_peer:
        import torch

        torch.set_num_threads(args.threads)
    rounds = args.rounds or (1 if args.smoke else ROUNDS)
    all_of_it = not args.smoke and not args.only and args.threads == os.cpu_count()
    full = all_of_it and rounds >= ROUNDS
    keras.utils.set_random_seed(args.seed)

    figures = []
    large = tiny(LARGE) if args.smoke else LARGE
    if args.only in "memory":
        print("memory …", flush=True)
        figures += memory(large, with_peer)
    if args.only in "search":
        print("search …", flush=True)
        figures += compare_search(large, rounds, args.seed)
    for case in map(tiny, CASES) if args.smoke else CASES:
        if args.only in case.name:
            print(f"{case.name} …", flush=True)
            figures += compare(case, with_peer, rounds, args.seed)
            gc.collect()
    settings = {
        "rounds": rounds,
        "threads": args.threads,
        "decay": EMA.decay,
        "beta": 0.25,
        "seed": args.seed,
    }
    peer = "vector-quantize-pytorch"
    return report("quantizers", figures, settings, args.output, full, peer, PACKAGES)


if __name__ == "__main__":
    sys.exit(main())
