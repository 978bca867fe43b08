"""Seconds to sample grids of codes: ours against full forward passes, one a position.

Grids of 7×7, 16×16 and 32×32 codes, K = 512, 16 images. Each prior is a contestant against itself:

- ours: `prior.sample`, one compiled loop that computes nothing twice;
- the compiled naive loop: the whole network once per position, codes kept on the device;
- the naive loop of the keras.io example: `predict` once per position;
- one forward pass over the whole grid, the least that any sampler of the network could do.

Forward pass and naive loop are compiled with XLA or without, whichever is faster for that network.

All priors are untrained, as the weights do not change what a sample costs. Compilation is not
counted. Ours and the forward pass take turns; the naive loops run once, after them. All positions
of a naive loop cost the same, so of the loop with `predict` only the first 49 are run and the time
is scaled up; the compiled one runs whole. A plot of time against grid size is written beside the
results.

`--smoke` samples 3×3 and 4×4 grids with tiny networks.

    python benchmarks/sampling.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from keras_io_recipe import DrawCodes
from plotting import saved_figure
from reporting import Figure, parser, report, require_commit, results_file

from keras_vqvae import models
from keras_vqvae.compilation import CompiledFunction

NUM_EMBEDDINGS = 512
IMAGES = 16
GRIDS = (7, 16, 32)
ROUNDS = 7
POSITIONS = 49  # of the loop with `predict`

# The largest share of a forward pass, and the smallest of a naive loop, that are claimed of 32×32.
FORWARD_PASSES = {"PixelCNN": 2.0, "GatedPixelCNN": 3.0}
NAIVE_LOOPS = {"PixelCNN": 400.0}


def make_priors(side: int, smoke: bool) -> dict[str, models.CodePrior]:
    """Each as it is by default; the transformer and PixelSNAIL have no bound."""
    shape = (side, side)
    if smoke:
        return {"PixelCNN": models.PixelCNN(shape, NUM_EMBEDDINGS, filters=4, residual_blocks=1)}
    return {
        "PixelCNN": models.PixelCNN(shape, NUM_EMBEDDINGS),
        "GatedPixelCNN": models.GatedPixelCNN(shape, NUM_EMBEDDINGS),
        "PixelSNAIL": models.PixelSNAIL(shape, NUM_EMBEDDINGS),
        "TransformerPrior": models.TransformerPrior(shape, NUM_EMBEDDINGS),
    }


def seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def forward(prior: models.CodePrior, jit_compile: bool) -> Callable[[], Any]:
    """One pass over the whole grid, up to the logits on the host."""
    codes = np.zeros((IMAGES, *prior.code_shape), "int32")
    function = CompiledFunction(prior, lambda: prior.variables, jit_compile)
    return lambda: np.asarray(function(ops.convert_to_tensor(codes)))


def compiled_loop(prior: models.CodePrior, jit_compile: bool) -> Callable[..., Any]:
    """The whole network for each position, from compiled code."""
    positions = int(np.prod(prior.code_shape))

    # By gather and select: XLA on TensorFlow would compile a slice anew for each position.
    def draw(codes: Any, uniforms: Any, position: Any) -> Any:
        logits = ops.reshape(
            prior(ops.reshape(codes, (IMAGES, *prior.code_shape))), (IMAGES, positions, -1)
        )
        here = ops.take(logits, position, axis=1)
        below = ops.cumsum(ops.softmax(here), axis=-1) < uniforms[:, None]
        drawn = ops.minimum(ops.sum(ops.cast(below, "int32"), axis=-1), NUM_EMBEDDINGS - 1)
        return ops.where(ops.arange(positions) == position, drawn[:, None], codes)

    function = CompiledFunction(draw, lambda: prior.variables, jit_compile)
    uniforms = np.random.default_rng(0).random((positions, IMAGES), dtype="float32")

    def run(until: int = positions) -> np.ndarray:
        codes = ops.zeros((IMAGES, positions), "int32")
        for position in range(until):
            here = ops.convert_to_tensor(uniforms[position])
            codes = function(codes, here, ops.convert_to_tensor(position, "int32"))
        return np.asarray(codes)

    return run


def predict_loop(prior: models.CodePrior) -> Callable[[int], Any]:
    """The loop of the keras.io example around our network."""
    height, width = prior.code_shape
    inputs = keras.Input(prior.code_shape, dtype="int32")
    sampler = keras.Model(inputs, DrawCodes()(prior(inputs)))

    def run(positions: int) -> np.ndarray:
        codes = np.zeros((IMAGES, height, width), "int32")
        for position in range(positions):
            row, column = divmod(position, width)
            codes[:, row, column] = sampler.predict(codes, verbose=0)[:, row, column]
        return codes

    return run


def state_kib(prior: models.CodePrior) -> float:
    """What a sample keeps in memory between positions, KiB an image, in float32."""
    two, one = (
        sum(int(np.prod(x.shape)) for x in keras.tree.flatten(prior.initial_state(n)))
        for n in (2, 1)
    )
    return (two - one) * 4 / 1024


def measure(prior: models.CodePrior, rounds: int, with_loops: bool) -> dict[str, float]:
    """Median seconds of each contestant; they take turns, except for the long loops."""
    height, width = prior.code_shape
    contestants = {
        "ours": lambda: prior.sample(IMAGES, seed=0, batch_size=IMAGES),
        "forward": forward(prior, False),
        "forward_xla": forward(prior, True),
    }
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for function in contestants.values():
        function()
    for _ in range(rounds):
        for name, function in contestants.items():
            times[name].append(seconds(function))
    result = {name: statistics.median(values) for name, values in times.items()}
    with_xla = result.pop("forward_xla")
    jit_compile = with_xla < result["forward"]
    result["forward"] = min(result["forward"], with_xla)

    if with_loops:
        loop = compiled_loop(prior, jit_compile)
        loop(1)
        result["compiled_loop"] = seconds(loop)
        positions = min(POSITIONS, height * width)
        by_predict = predict_loop(prior)
        by_predict(1)
        result["predict_loop"] = seconds(lambda: by_predict(positions)) * height * width / positions
    return result


def plot(results: dict[tuple[str, int], dict[str, float]], path: Path) -> None:
    """Seconds against positions for all contestants, on two logarithmic scales."""
    names = list(dict.fromkeys(name for name, _ in results))
    sides = list(dict.fromkeys(side for _, side in results))
    x = [side * side for side in sides]
    with saved_figure(path, (7, 4.6)) as figure:
        (axes,) = figure.axes
        loops = {
            "predict_loop": "PixelCNN, naive loop with predict",
            "compiled_loop": "PixelCNN, compiled naive loop",
            "forward": "PixelCNN, one forward pass",
        }
        for (key, label), style in zip(loops.items(), ("x:", "s:", "k--"), strict=True):
            axes.plot(x, [results["PixelCNN", side][key] for side in sides], style, label=label)
        for name in names:
            axes.plot(
                x, [results[name, side]["ours"] for side in sides], "o-", label=f"{name}.sample"
            )
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="codes of a grid",
            ylabel=f"seconds for {IMAGES} images",
            xticks=x,
            xticklabels=[f"{side}×{side}" for side in sides],
        )
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.set_ylim(top=30 * axes.get_ylim()[1])  # room for the legend
        axes.legend(fontsize="small", loc="upper left")


def figures_of(name: str, side: int, times: dict[str, float], kib: float) -> list[Figure]:
    judged = side == GRIDS[-1]
    grid = f"{name} {side}×{side}"
    result = [
        Figure(f"{grid}: {IMAGES} samples", "s", times["ours"], times.get("predict_loop")),
        Figure(
            f"{grid}: samples",
            "forward passes",
            times["ours"] / times["forward"],
            at_most=FORWARD_PASSES.get(name) if judged else None,
        ),
        Figure(f"{grid}: kept between positions", "KiB an image", kib),
    ]
    if "compiled_loop" in times:
        result += [
            Figure(f"{grid}: compiled naive loop", "s", times["compiled_loop"]),
            Figure(
                f"{grid}: against the compiled naive loop",
                "× as fast",
                times["compiled_loop"] / times["ours"],
                at_least=NAIVE_LOOPS.get(name) if judged else None,
            ),
            Figure(
                f"{grid}: against the loop with predict",
                "× as fast",
                times["predict_loop"] / times["ours"],
            ),
        ]
    return result


def main(argv: Sequence[str] | None = None) -> int:
    args = parser(__doc__, "sampling").parse_args(argv)
    full = not args.smoke
    require_commit(full, args.output)
    keras.utils.set_random_seed(args.seed)
    sides = (3, 4) if args.smoke else GRIDS
    results, figures = {}, []
    for side in sides:
        for name, prior in make_priors(side, args.smoke).items():
            print(f"{name}, {side}×{side} …", flush=True)
            times = measure(prior, 1 if args.smoke else ROUNDS, name in NAIVE_LOOPS)
            results[name, side] = times
            figures += figures_of(name, side, times, state_kib(prior))
    if path := results_file("sampling", args.output, full):
        plot(results, path.with_suffix(".png"))
    settings = {
        "images": IMAGES,
        "num_embeddings": NUM_EMBEDDINGS,
        "grids": list(sides),
        "rounds": ROUNDS,
        "positions_of_the_loop_with_predict": POSITIONS,
        "seed": args.seed,
    }
    return report("sampling", figures, settings, args.output, full)


if __name__ == "__main__":
    sys.exit(main())
