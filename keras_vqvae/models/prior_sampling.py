"""A prior one code at a time, and the sampling made of that."""

import math
import time
from numbers import Real
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vqvae import sampling
from keras_vqvae.checks import check_count
from keras_vqvae.models.batching import batch_sizes
from keras_vqvae.models.codes import check_codes
from keras_vqvae.models.guidance import Guided
from keras_vqvae.ops import draw_uniforms
from keras_vqvae.seeds import sampling_seed

__all__ = ["PriorSampling"]

# What the caches of one batch may take, and how many seconds a job runs before it shows a bar.
STATE_BYTES = 2**30
QUIET_SECONDS = 10.0


class PriorSampling:
    """The part of `CodePrior` that draws codes."""

    code_shape: tuple[int, ...]
    num_embeddings: int | tuple[int, ...]
    table_sizes: tuple[int, ...]
    label_dropout: float
    embedding: Any
    trunk: Any
    head: Any

    # -- one position at a time -------------------------------------------------------------------

    def initial_state(self, batch_size: int, labels: Any = None, condition: Any = None) -> Any:
        """The state before the first position.

        Args:
            batch_size: a Python integer.
            labels: int32 `(batch,)` for a prior conditioned on classes.
            condition: float `(batch, *condition_shape)`, for a prior conditioned on such.
        """
        grid = self.code_shape[:2]
        condition = self._condition_map(labels, condition, batch_size)  # type: ignore[attr-defined]
        features = self.trunk.compute_output_shape((batch_size, *grid, self.embedding.dim))[-1]
        return {
            "trunk": self.trunk.initial_state(batch_size, grid, condition),
            "head": self.head.initial_state(batch_size, features),
        }

    def start_row(self, state: Any, row: Any) -> Any:
        """What can be computed before the first code of a row."""
        return {**state, "trunk": self.trunk.start_row(state["trunk"], row)}

    def step(self, state: Any, row: Any, column: Any) -> tuple[Any, Any]:
        """Logits `(batch, K)` of the first code at a position, given those written before."""
        features, trunk = self.trunk.read(state["trunk"], row, column)
        logits, head = self.head.step(features, state["head"])
        return logits, {"trunk": trunk, "head": head}

    def next_depth(self, codes: Any, state: Any, depth: int) -> tuple[Any, Any]:
        """Logits `(batch, K)` of the code of `depth` ≥ 1, given `codes` `(batch,)` before it."""
        logits, head = self.head.next_depth(codes, state["head"], depth)
        return logits, {**state, "head": head}

    def write(self, codes: Any, state: Any, row: Any, column: Any) -> Any:
        """Takes note of the codes at a position, `(batch,)` or `(batch, Q)`."""
        trunk = self.trunk.write(self.embedding(codes), state["trunk"], row, column)
        return {**state, "trunk": trunk}

    # -- sampling ---------------------------------------------------------------------------------

    def sample(
        self,
        n: int,
        labels: Any = None,
        sampler: Any = "random",
        given: Any = None,
        seed: int | None = None,
        condition: Any = None,
        guidance: float | None = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
    ) -> np.ndarray:
        """Draws grids of codes.

        The loop over positions runs compiled, and computes nothing twice. It is compiled at the
        first use of a batch size. A sample depends on the seed, its own index, label, condition and
        given codes, and not on `n`, the batch size or the backend (but for a draw that falls within
        a rounding, 1e-6, of the border between two codes).

        Args:
            n: how many.
            labels: integer array `(n,)` or one integer for all, for a conditional prior.
            sampler: `"random"`, `"greedy"` or a `sampling.Sampler` such as
                `sampling.TopK(10, temperature=0.9)`.
            given: integer array `(n, h, w)` or `(h, w)`, with a depth axis where codes have one:
                codes to keep, −1 where to draw.
            seed: an integer ≥ 0. By default drawn from NumPy's global generator, which
                `keras.utils.set_random_seed` sets.
            condition: float array `(n, *condition_shape)` or one for all, for a prior that is
                conditioned on such.
            guidance: scale of classifier-free guidance, for a prior with `label_dropout`: 1 is the
                conditional prior, more overdoes the label, 0 ignores it. It doubles the work.
                Defaults to `None`, no guidance.
            batch_size: how many at one time, at most. By default 64, or fewer if their caches took
                more than 1 GiB.
            verbose: 1 for a progress bar, 0 for none, `"auto"` for one on jobs of more than ten
                seconds.

        Returns:
            NumPy int32 `(n, *code_shape)`.

        Raises:
            TypeError: for labels or given codes that are no integers.
            ValueError: for anything else that does not fit, before any computation.
        """
        n, seed = check_count("n", n, least=0), sampling_seed(seed)
        if batch_size is not None:
            batch_size = check_count("batch_size", batch_size)
        sampler = sampling.get(sampler)
        sampler.check(min(self.table_sizes))
        if guidance is not None and not self.label_dropout:
            raise ValueError(
                "`guidance` needs a prior that was trained with `label_dropout`. "
                f"Received: guidance={guidance}, label_dropout={self.label_dropout}"
            )
        if guidance is not None and not (isinstance(guidance, Real) and math.isfinite(guidance)):
            raise ValueError(
                f"`guidance` should be a finite number. Received: guidance={guidance!r}"
            )
        arrays = self._sampling_arrays(n, labels, condition, given)
        settings = dict(sampler.settings())
        if guidance is not None:
            settings["guidance"] = float(guidance)
        settings = {k: ops.convert_to_tensor(v, "float32") for k, v in settings.items()}
        function = self._sampling_function(sampler, guidance is not None)
        if batch_size is None:
            batch_size = self.chunk_of_samples(copies=1 if guidance is None else 2) if n else 1
        return self._draw(function, settings, n, arrays, seed, batch_size, verbose)

    def draw_codes(self, uniforms: Any, labels: Any = None, condition: Any = None) -> Any:
        """The grids of given random numbers, by the same compiled loop: tensors in, tensors out.

        Args:
            uniforms: float32 `(batch, *code_shape)` in [0, 1); batch is a Python integer.
            labels: int32 `(batch,)`, for a prior conditioned on classes.
            condition: float32 `(batch, *condition_shape)`, for a prior conditioned on such.

        Returns:
            int32 `(batch, *code_shape)`.
        """
        sampler = sampling.get("random")
        settings = {k: ops.convert_to_tensor(v, "float32") for k, v in sampler.settings().items()}
        batch = {"given": ops.full(uniforms.shape, -1, "int32")}
        for name, value in (("labels", labels), ("condition", condition)):
            if value is not None:
                batch[name] = value
        return self._sampling_function(sampler, False)(settings, uniforms, batch)

    def _draw(
        self,
        function: Any,
        settings: Any,
        n: int,
        arrays: dict[str, np.ndarray],
        seed: int,
        batch_size: int,
        verbose: int | str,
    ) -> np.ndarray:
        began, progress, parts = time.perf_counter(), None, []
        for first, count, padded in batch_sizes(n, batch_size):
            uniforms = draw_uniforms(seed, first, padded, self.code_shape)
            rows = np.minimum(np.arange(first, first + padded), n - 1)
            batch = {key: ops.convert_to_tensor(value[rows]) for key, value in arrays.items()}
            codes = function(settings, ops.convert_to_tensor(uniforms), batch)
            parts.append(ops.convert_to_numpy(codes)[:count])
            unfinished = first + count < n
            long = unfinished and time.perf_counter() - began > QUIET_SECONDS
            if progress is None and (verbose == 1 or (verbose == "auto" and long)):
                progress = keras.utils.Progbar(n)
            if progress is not None:
                progress.update(first + count)
        return np.concatenate(parts) if parts else np.zeros((0, *self.code_shape), "int32")

    def _sampling_function(self, sampler: sampling.Sampler, guided: bool) -> Any:
        def draw(settings: Any, uniforms: Any, batch: dict[str, Any]) -> Any:
            labels, condition = batch.get("labels"), batch.get("condition")
            model: Any = self
            count = uniforms.shape[0]
            if guided:
                model, count = Guided(self, settings["guidance"]), 2 * count
                labels = ops.concatenate([labels, ops.full_like(labels, -1)], axis=0)
                if condition is not None:
                    condition = ops.concatenate([condition, condition], axis=0)
            state = self.initial_state(count, labels, condition)
            return sampling.sample_raster(model, state, uniforms, batch["given"], sampler, settings)

        return self.compiled_function(("sample", sampler.compilation_key(), guided), draw)  # type: ignore[attr-defined]

    def _sampling_arrays(
        self, n: int, labels: Any, condition: Any, given: Any
    ) -> dict[str, np.ndarray]:
        """The inputs of the loop by name, checked, a row for each sample."""
        takes = {
            "labels": (labels, self.num_classes),  # type: ignore[attr-defined]
            "condition": (condition, self.condition_shape),  # type: ignore[attr-defined]
        }
        for name, (value, its_kind) in takes.items():
            if value is not None and its_kind is None:
                raise ValueError(
                    f"`{name}` should be left out: prior '{self.name}' is not conditioned on such. "  # type: ignore[attr-defined]
                    f"Received: {name}={value!r}"
                )
        if labels is not None and np.ndim(labels) == 0:
            labels = np.full((n,), labels)
        shape = self.condition_shape  # type: ignore[attr-defined]
        if condition is not None and shape is not None and np.shape(condition) == shape:
            condition = np.broadcast_to(condition, (n, *shape))
        labels, condition = self._check_conditions(labels, condition, n)  # type: ignore[attr-defined]
        arrays = {"given": self._check_given(given, n), "labels": labels, "condition": condition}
        return {key: value for key, value in arrays.items() if value is not None}

    def _check_given(self, given: Any, count: int) -> np.ndarray:
        if given is None:
            return np.full((count, *self.code_shape), -1, "int32")
        given = np.asarray(given)
        if given.shape == self.code_shape:
            given = np.broadcast_to(given, (count, *self.code_shape))
        given = check_codes(given, self.code_shape, self.num_embeddings, "given", lowest=-1)
        if len(given) != count:
            raise ValueError(f"`given` should hold {count} grids. Received: {len(given)}")
        return given

    def chunk_of_samples(self, copies: int = 1) -> int:
        """How many at one time: 64, or the power of two whose caches stay below the bound.

        Args:
            copies: how many caches a sample has.
        """
        if "_state_bytes" not in self.__dict__:
            label = np.zeros((1,), "int32")
            shape = self.condition_shape  # type: ignore[attr-defined]
            condition = None if shape is None else np.zeros((1, *shape), "float32")
            state = self.initial_state(1, label, condition)
            sizes = [
                int(np.prod(x.shape))
                * (4 if "32" in keras.backend.standardize_dtype(x.dtype) else 2)
                for x in keras.tree.flatten(state)
                if len(x.shape) and x.shape[0] == 1
            ]
            self.__dict__["_state_bytes"] = max(1, sum(sizes))
        fit = max(1, STATE_BYTES // (copies * self.__dict__["_state_bytes"]))
        return min(64, 1 << (fit.bit_length() - 1))
