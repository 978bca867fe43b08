"""What all priors share: training on codes, exact likelihood, sampling."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vqvae import sampling
from keras_vqvae.compilation import CompiledFunction, resolve_jit_compile
from keras_vqvae.models.batching import batch_sizes, map_batches
from keras_vqvae.models.codes import check_codes
from keras_vqvae.training import StepModel, StepOutput

__all__ = ["CodePrior"]


class CodePrior(StepModel):
    """Base of autoregressive priors: `p(codes) = Π p(code at i | codes before i in raster order)`.

    A subclass gives `call`, the logits of all positions at once, and the same numbers one position
    at a time: `initial_state`, `start_row`, `step` and `write` (see `layers.CausalLayer`).

    It trains like any Keras model, `prior.fit(codes)` or `prior.fit(codes, labels)`. The loss is
    the cross-entropy in nats per code; `bits_per_code` is logged beside it.

    Args:
        code_shape: `(height, width)` of the grid.
        num_embeddings: K, the number of codes.
        num_classes: number of classes, for a prior that is conditioned on labels; `None` for one
            that is not, and that looks at no labels.
        codes_fingerprint: fingerprint of the model whose codes this prior is for, if it is known.
        **kwargs: as for `keras.Model`.
    """

    def __init__(
        self,
        code_shape: tuple[int, int],
        num_embeddings: int,
        num_classes: int | None = None,
        codes_fingerprint: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        shape = tuple(code_shape)
        if len(shape) != 2 or any(int(n) != n or n < 1 for n in shape):
            raise ValueError(
                f"`code_shape` should be (height, width). Received: code_shape={code_shape!r}"
            )
        if num_embeddings < 2:
            raise ValueError(
                f"`num_embeddings` should be at least 2. Received: num_embeddings={num_embeddings}"
            )
        if num_classes is not None and num_classes < 1:
            raise ValueError(
                f"`num_classes` should be positive or None. Received: num_classes={num_classes}"
            )
        self.code_shape = (int(shape[0]), int(shape[1]))
        self.num_embeddings = int(num_embeddings)
        self.num_classes = num_classes
        self.codes_fingerprint = codes_fingerprint
        self.track((), {"bits_per_code": keras.metrics.Mean(name="bits_per_code")})

    # -- for subclasses ---------------------------------------------------------------------------

    def call(self, codes: Any, labels: Any = None, training: bool | None = None) -> Any:
        """Logits of all positions: int `(batch, h, w)` to float `(batch, h, w, K)`."""
        raise NotImplementedError

    def initial_state(self, batch_size: int, labels: Any = None) -> Any:
        """The state before the first position; `labels` int32 `(batch,)` or `None`."""
        raise NotImplementedError

    def start_row(self, state: Any, row: Any) -> Any:
        """What can be computed before the first code of a row."""
        raise NotImplementedError

    def step(self, state: Any, row: Any, column: Any) -> tuple[Any, Any]:
        """Logits `(batch, K)` at a position, given the codes written before it."""
        raise NotImplementedError

    def write(self, codes: Any, state: Any, row: Any, column: Any) -> Any:
        """Takes note of the codes `(batch,)` at a position."""
        raise NotImplementedError

    # -- training ---------------------------------------------------------------------------------

    def nats(self, codes: Any, labels: Any = None, training: bool = False) -> Any:
        """`−log p` of each code given those before it: float32 `(batch, h, w)`, in nats."""
        codes = ops.cast(codes, "int32")
        logits = ops.cast(self(codes, labels=labels, training=training), "float32")
        chosen = ops.take_along_axis(logits, ops.expand_dims(codes, -1), axis=-1)[..., 0]
        return ops.logsumexp(logits, axis=-1) - chosen

    def compute_step(self, data: Any, training: bool) -> StepOutput:
        codes, labels, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if sample_weight is not None:
            raise ValueError(
                f"Model '{self.name}' takes no sample weights. Leave `sample_weight` out."
            )
        nats = ops.mean(self.nats(codes, self._only_if_conditional(labels), training), axis=(1, 2))
        return StepOutput(
            terms={"cross_entropy": ops.mean(nats)},
            batch_size=ops.shape(codes)[0],
            observations={"bits_per_code": nats / math.log(2.0)},
        )

    def compile(
        self, optimizer: Any = "adam", jit_compile: bool | str = "auto", **kwargs: Any
    ) -> None:
        """As `keras.Model.compile`, with a loss of its own and the package's XLA policy.

        Raises:
            ValueError: if a `loss` or `metrics` are given: the cross-entropy is the loss, and
                `bits_per_code` is logged.
        """
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if kwargs.pop(name, None) is not None:
                raise ValueError(
                    f"Model '{self.name}' has its own loss and metrics. Leave `{name}` out."
                )
        super().compile(optimizer=optimizer, jit_compile=resolve_jit_compile(jit_compile), **kwargs)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.fit`: codes `(N, h, w)`, and labels `(N,)` for a conditional prior.

        Raises:
            TypeError: for codes or labels that are no integers.
            ValueError: for codes or labels of another shape or out of range, or missing labels.
        """
        x, y = self._check_data(x, y)
        validation = kwargs.get("validation_data")
        if isinstance(validation, tuple):
            kwargs["validation_data"] = self._check_data(*validation)
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`, after the checks of `fit`."""
        x, y = self._check_data(x, y)
        return super().evaluate(x, y, *args, **kwargs)

    # -- likelihood -------------------------------------------------------------------------------

    def log_prob(self, codes: Any, labels: Any = None, batch_size: int = 128) -> np.ndarray:
        """The exact log-probability of grids of codes.

        Args:
            codes: integer array `(N, h, w)` in [0, K).
            labels: integer array `(N,)`, for a conditional prior.
            batch_size: how many at one time. Defaults to `128`.

        Returns:
            NumPy float32 `(N,)`, in nats.

        Raises:
            TypeError: for codes or labels that are no integers.
            ValueError: for codes or labels of another shape or out of range, or missing labels.
        """
        codes, labels = self._check_arrays(codes, labels)
        function = self._compiled(
            "log_prob",
            lambda codes, labels=None: -ops.sum(self.nats(codes, labels), axis=(1, 2)),
            jit_compile=resolve_jit_compile("auto") is not False,
        )
        arrays = (codes,) if labels is None else (codes, labels)
        result = map_batches(function, arrays, batch_size)
        return np.zeros((0,), "float32") if result is None else result

    # -- sampling ---------------------------------------------------------------------------------

    def sample(
        self,
        n: int,
        labels: Any = None,
        sampler: Any = "random",
        given: Any = None,
        seed: int | None = None,
        batch_size: int = 64,
        verbose: int = 0,
    ) -> np.ndarray:
        """Draws grids of codes.

        The loop over positions runs compiled, and costs about as much as one call on the whole
        grid. It is compiled at the first use of a batch size. A sample depends on the seed, its
        own index, label and given codes, and not on `n`, the batch size or the backend.

        Args:
            n: how many.
            labels: integer array `(n,)` or one integer for all, for a conditional prior.
            sampler: `"random"`, `"greedy"` or a `sampling.Sampler` such as
                `sampling.TopK(10, temperature=0.9)`.
            given: integer array `(n, h, w)` or `(h, w)`: codes to keep, −1 where to draw.
            seed: an integer ≥ 0. By default drawn from NumPy's global generator, which
                `keras.utils.set_random_seed` sets.
            batch_size: how many at one time, at most. Defaults to `64`.
            verbose: 1 for a progress bar. Defaults to `0`.

        Returns:
            NumPy int32 `(n, h, w)`.

        Raises:
            TypeError: for labels or given codes that are no integers.
            ValueError: for anything else that does not fit, before any computation.
        """
        if n < 0 or int(n) != n:
            raise ValueError(f"`n` should be an integer ≥ 0. Received: n={n}")
        if batch_size < 1:
            raise ValueError(f"`batch_size` should be positive. Received: batch_size={batch_size}")
        sampler = sampling.get(sampler)
        sampler.check(self.num_embeddings)
        if seed is None:
            seed = int(np.random.randint(2**31))  # noqa: NPY002 - the global one, on purpose
        elif seed < 0:
            raise ValueError(f"`seed` should be ≥ 0. Received: seed={seed}")
        if labels is not None and np.ndim(labels) == 0:
            labels = np.full((n,), labels)
        labels = self._check_labels(labels, n)
        given = self._check_given(given, n)
        function = self._compiled(
            ("sample", sampler.compilation_key()),
            lambda settings, uniforms, given, labels=None: sampling.sample_raster(
                self,
                self.initial_state(uniforms.shape[0], labels),
                uniforms,
                given,
                sampler,
                settings,
            ),
        )
        settings = {
            key: ops.convert_to_tensor(value, "float32")
            for key, value in sampler.settings().items()
        }
        progress = keras.utils.Progbar(n, verbose=verbose) if verbose and n else None
        parts = []
        for first, count, padded in batch_sizes(n, batch_size):
            uniforms = sampling.draw_uniforms(seed, first, padded, self.code_shape)
            rows = np.minimum(np.arange(first, first + padded), n - 1)
            arrays = [uniforms, given[rows], *([] if labels is None else [labels[rows]])]
            codes = function(settings, *(ops.convert_to_tensor(a) for a in arrays))
            parts.append(ops.convert_to_numpy(codes)[:count])
            if progress:
                progress.update(first + count)
        return np.concatenate(parts) if parts else np.zeros((0, *self.code_shape), "int32")

    # -- checks -----------------------------------------------------------------------------------

    def _only_if_conditional(self, labels: Any) -> Any:
        if self.num_classes is None:
            return None
        if labels is None:
            raise ValueError(
                f"Model '{self.name}' is conditioned on {self.num_classes} classes: `labels` are "
                "needed."
            )
        return labels

    def _check_data(self, codes: Any, labels: Any) -> tuple[Any, Any]:
        """Checks arrays; data sets are taken as they are."""
        if not hasattr(codes, "__array__"):
            return codes, labels
        return self._check_arrays(codes, labels)

    def _check_arrays(self, codes: Any, labels: Any) -> tuple[np.ndarray, np.ndarray | None]:
        codes = check_codes(codes, self.code_shape, self.num_embeddings)
        return codes, self._check_labels(labels, len(codes))

    def _check_labels(self, labels: Any, count: int) -> np.ndarray | None:
        labels = self._only_if_conditional(labels)
        if labels is None:
            return None
        labels = np.asarray(labels)
        if labels.dtype.kind not in "iu":
            raise TypeError(f"`labels` should be integers. Received: dtype {labels.dtype}")
        if labels.shape != (count,):
            raise ValueError(f"`labels` should have shape ({count},). Received: {labels.shape}")
        if labels.size and (labels.min() < 0 or labels.max() >= self.num_classes):
            raise ValueError(
                f"`labels` should be in [0, {self.num_classes}). "
                f"Received: values in [{labels.min()}, {labels.max()}]"
            )
        return labels.astype("int32")

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

    # -- the rest ---------------------------------------------------------------------------------

    def _compiled(self, key: Any, function: Any, jit_compile: bool = True) -> CompiledFunction:
        functions = self.__dict__.setdefault("_compiled_functions", {})
        if key not in functions:
            functions[key] = CompiledFunction(function, lambda: self.variables, jit_compile)
        return functions[key]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "code_shape": list(self.code_shape),
            "num_embeddings": self.num_embeddings,
            "num_classes": self.num_classes,
            "codes_fingerprint": self.codes_fingerprint,
        }
