"""Training steps of our quantizers against vector-quantize-pytorch on torch: time and memory.

A step is forward and backward in training mode: values, losses, tables that learn, and the gradient
to the vectors and to every weight. The gradient that a decoder would hand back to the values comes
in as an array, so that nothing but the quantizer is timed.

Ours is measured three times: on TensorFlow in a `tf.function` without XLA, as `fit` runs it on a
CPU unless it is told otherwise; on TensorFlow with XLA (`jit_compile=True`); and on JAX. Each
contestant has a process of its own, and they take turns in blocks, on equal vectors and with all
cores of the CPU; the first step of a block is not counted, and neither are compilation and warm-up.
Settings of both are equal: straight-through, decay 0.99, β = 0.25, tables from the same
distribution.

The nearest-code search alone is timed against the matrix product alone, in the same chunks and
turns. Beside the steps whose bound is 10 × the product takes its turns too: no exact search does
without it, so the peer's step divided by it is what no step can reach here. Peak memory is that of
a fresh process, imports included, which runs training steps of one contestant and nothing else; it
is read from /proc, so only on Linux.

Theirs needs the extra `oracle`, ours on JAX the extra `jax`. `--smoke` takes tiny sizes, and does
without what is not installed.

    python benchmarks/quantizers.py
"""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import importlib.util
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from reporting import Figure, parser, report, require_commit
from timing import ratio_interval, time_rounds
from turns import Contestant

AS_FAST = "× as fast"
ROUNDS = 20
PACKAGES = ("torch", "vector-quantize-pytorch", "jax")


@dataclass
class Case:
    """A quantizer of both.

    Attributes:
        kind: in the `MAKERS` of `quantizer_steps.py` and of `torch_peer.py`.
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

    @property
    def arguments(self) -> dict[str, Any]:
        """Of `training_step`, for whoever makes it."""
        return {name: asdict(self)[name] for name in ("kind", "count", "dim", "options")}

    @property
    def search_arguments(self) -> dict[str, Any]:
        return {"count": self.count, "dim": self.dim, "size": self.options["size"]}


LEVELS = {"levels": [8, 5, 5, 5]}
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
    Case("grouped", 8_192, 64, {"size": 1_024, "depths": 4, "groups": 2}, slow=2),
    Case("implicit", 1_024, 64, {"size": 128, "depths": 4, "hidden": 128}, slow=4),
    Case("fsp", 65_536, 4, LEVELS),
    Case("residual_fsq", 65_536, 4, {**LEVELS, "depths": 4}),
    Case("bsq", 8_192, 10, {}),
)


@dataclass
class Way:
    """A way to run ours.

    Attributes:
        name: as it is printed; TF is TensorFlow.
        backend: of Keras.
        options: of the functions in `quantizer_steps.py`.
    """

    name: str
    backend: str
    options: dict[str, Any]

    def start(self) -> Contestant:
        on_cpu = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
        return Contestant("quantizer_steps", KERAS_BACKEND=self.backend, **on_cpu)


PLAIN = Way("TF", "tensorflow", {})
WAYS = (
    PLAIN,
    Way("TF XLA", "tensorflow", {"jit_compile": True}),
    Way("JAX", "jax", {}),
)
PEER = "peer"


def start_peer() -> Contestant:
    return Contestant("torch_peer")


@dataclass
class Race:
    """Who takes turns, and how often.

    Attributes:
        contestants: by the name of a `Way`, and `PEER` if it is installed.
        ways: those of ours.
        rounds: how many blocks of each are timed, before `Case.slow` divides it.
        seed: of vectors, tables and bootstrap draws.
    """

    contestants: dict[str, Contestant]
    ways: Sequence[Way]
    rounds: int
    seed: int

    def medians(self, steps: dict[str, Any], slow: int) -> tuple[dict[str, float], dict[str, Any]]:
        """The median of each in milliseconds, and all seconds of each `(rounds, steps)`."""
        times = time_rounds(steps, max(1, self.rounds // slow), 1 if slow > 1 else 10)
        wall = {name: values[..., 0] for name, values in times.items()}
        return {name: 1e3 * float(np.median(values)) for name, values in wall.items()}, wall

    def compare(self, case: Case) -> list[Figure]:
        """Milliseconds of a step of each, and how many times as fast as the peer's ours is."""
        arguments = {**case.arguments, "seed": self.seed}
        steps = {
            way.name: self.contestants[way.name].make("training_step", **arguments, **way.options)
            for way in self.ways
        }
        if PEER in self.contestants:
            steps[PEER] = self.contestants[PEER].make("training_step", **arguments)
            if case.at_least == 10.0:
                searched = {**case.search_arguments, "seed": self.seed}
                steps["product"] = self.contestants[PLAIN.name].make("product", **searched)
        medians, wall = self.medians(steps, case.slow)
        for contestant in self.contestants.values():
            contestant.forget()

        peer = medians.get(PEER)
        figures = [
            Figure(f"{case.name}: step, {way.name}", "ms", medians[way.name], peer)
            for way in self.ways
        ]
        if peer is None:
            return figures
        for way in self.ways:
            interval = ratio_interval(wall[PEER], wall[way.name], self.seed)
            ratio = peer / medians[way.name]
            name = f"{case.name}: {way.name}"
            figures.append(
                Figure(name, AS_FAST, ratio, 1.0, at_least=case.at_least, interval=interval)
            )
        if "product" in medians:
            interval = ratio_interval(wall[PEER], wall["product"], self.seed)
            ratio = peer / medians["product"]
            figures += [
                Figure(f"{case.name}: its matrix product alone", "ms", medians["product"]),
                Figure(f"{case.name}: that product", AS_FAST, ratio, 1.0, interval=interval),
            ]
        return figures

    def compare_search(self, case: Case) -> list[Figure]:
        """The search of the nearest code against the product of vectors and table alone."""
        arguments = {**case.search_arguments, "seed": self.seed}
        steps = {
            way.name: self.contestants[way.name].make("search", **arguments, **way.options)
            for way in self.ways
        }
        steps["product"] = self.contestants[PLAIN.name].make("product", **arguments)
        medians, wall = self.medians(steps, case.slow)
        for contestant in self.contestants.values():
            contestant.forget()
        product = medians["product"]
        operations = 2e-6 * case.count * case.dim * case.options["size"]
        sizes = f"{case.count} × {case.dim} × {case.options['size']}"
        interval = ratio_interval(wall[PLAIN.name], wall["product"], self.seed)
        return [
            *(Figure(f"search alone, {sizes}: {w.name}", "ms", medians[w.name]) for w in self.ways),
            Figure(f"its matrix product alone, {sizes}: {PLAIN.name}", "ms", product),
            Figure("… of it", "GFLOP/s", operations / product),
            Figure(
                f"search alone: {PLAIN.name}",
                "× its product",
                medians[PLAIN.name] / product,
                at_most=round(1 / 0.70, 4),
                interval=interval,
            ),
        ]


def memory(case: Case, ways: Sequence[Way], with_peer: bool, seed: int) -> list[Figure]:
    """Most memory of a fresh process that takes two training steps."""

    def peak(contestant: Contestant, options: dict[str, Any]) -> float | None:
        with contestant:
            step = contestant.make("training_step", **case.arguments, seed=seed, **options)
            step()
            return contestant.peak_gigabytes()

    theirs = peak(start_peer(), {}) if with_peer else None
    peaks = {way.name: peak(way.start(), way.options) for way in ways}
    return [
        Figure(f"{case.name}: peak memory, {name}", "GB", gigabytes, theirs, at_most=1.5)
        for name, gigabytes in peaks.items()
        if gigabytes is not None
    ]


def tiny(case: Case) -> Case:
    """For `--smoke`: no measurement."""
    sizes = {"size": 16, "depths": 2, "hidden": 8}
    options = {key: sizes.get(key, value) for key, value in case.options.items()}
    # Cases of one quantizer differ in the count, in their names too.
    return Case(case.kind, case.count // 128, min(case.dim, 6) if case.dim > 4 else 4, options)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser(__doc__, "quantizers")
    arguments.add_argument("--rounds", type=int, help=f"rounds (default: {ROUNDS})")
    arguments.add_argument("--only", default="", help="cases whose name contains this")
    args = arguments.parse_args(argv)
    with_peer = all(importlib.util.find_spec(n) for n in ("torch", "vector_quantize_pytorch"))
    with_jax = importlib.util.find_spec("jax") is not None
    if not (with_peer and with_jax):
        missing = "not all are installed that are compared: pip install -e '.[oracle,jax]'"
        if not args.smoke:
            raise SystemExit(missing)
        print(missing)
    ways = [way for way in WAYS if with_jax or way.backend != "jax"]
    rounds = args.rounds or (1 if args.smoke else ROUNDS)
    full = not args.smoke and not args.only and rounds >= ROUNDS
    require_commit(full, args.output)

    figures = []
    cases = [tiny(case) for case in CASES] if args.smoke else CASES
    large = tiny(LARGE) if args.smoke else LARGE
    if args.only in "memory":
        print("memory …", flush=True)
        figures += memory(large, ways, with_peer, args.seed)
    with ExitStack() as stack:
        contestants = {way.name: stack.enter_context(way.start()) for way in ways}
        if with_peer:
            contestants[PEER] = stack.enter_context(start_peer())
        race = Race(contestants, ways, rounds, args.seed)
        if args.only in "search":
            print("search …", flush=True)
            figures += race.compare_search(large)
        for case in cases:
            if args.only in case.name:
                print(f"{case.name} …", flush=True)
                figures += race.compare(case)
    settings = {"rounds": rounds, "decay": 0.99, "beta": 0.25, "seed": args.seed}
    peer = "vector-quantize-pytorch"
    return report("quantizers", figures, settings, args.output, full, peer, PACKAGES)


if __name__ == "__main__":
    sys.exit(main())
