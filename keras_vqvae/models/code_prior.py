"""What all priors share: training on codes, exact likelihood, sampling."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_vqvae.checks import check_count, check_share, refuse_quantized
from keras_vqvae.compilation import resolve_jit_compile
from keras_vqvae.models import prior_checks
from keras_vqvae.models.batching import map_batches
from keras_vqvae.models.code_conditions import CodeConditions
from keras_vqvae.models.code_head import CodeEmbedding, CodeHead
from keras_vqvae.models.codes import check_codes
from keras_vqvae.models.prior_inputs import PriorInputs, fingerprint_of
from keras_vqvae.models.prior_sampling import PriorSampling
from keras_vqvae.ops import mean_over_valid
from keras_vqvae.training import StepModel, StepOutput
from keras_vqvae.training.step import evaluate_arguments, fit_arguments

__all__ = ["CodePrior"]


class CodePrior(PriorInputs, PriorSampling, StepModel):
    """Base of autoregressive priors: `p(codes) = Π p(code | codes before it)`.

    Positions come in raster order. With several codes a position (residual or product quantizers),
    those of one position come in order of depth.

    A prior is an embedding of codes, a trunk, and a head. The trunk is the network that a subclass
    is about: a layer that maps embedded codes to features, those of a position from earlier
    positions only. The head gives the logits from the features of a position, and for the second
    and later depths from the codes before them at the same position.

    It trains like any Keras model, `prior.fit(codes)` or `prior.fit(codes, labels)`. The loss is
    the cross-entropy in nats per code; `bits_per_code` is logged beside it. For weights averaged
    over training, give `compile` an optimizer with `use_ema=True`.

    Args:
        code_shape: `(height, width)` of the grid, or `(height, width, depth)`.
        num_embeddings: K, the number of codes; or one number for each depth.
        num_classes: number of classes, for a prior that is conditioned on labels; `None` for one
            that is not, and that looks at no labels.
        condition_shape: `(d,)` for a prior conditioned on vectors, `(height, width, channels)` on
            grids whose sides divide those of the codes (such as the coarser codes of a hierarchy,
            looked up). Defaults to `None`.
        label_dropout: share of labels that are left out in training, for classifier-free guidance.
            Then labels may be left out in use, too. Defaults to `0.0`.
        label_smoothing: share of each target that the loss spreads evenly over all codes.
            `bits_per_code` and `log_prob` know nothing of it. Defaults to `0.0`.
        codes_fingerprint: fingerprint of the model whose codes this prior is for, if it is known.
        **kwargs: as for `keras.Model`.
    """

    def __init__(
        self,
        code_shape: tuple[int, ...],
        num_embeddings: int | tuple[int, ...],
        num_classes: int | None = None,
        condition_shape: tuple[int, ...] | None = None,
        label_dropout: float = 0.0,
        label_smoothing: float = 0.0,
        codes_fingerprint: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.code_shape = prior_checks.check_code_shape(code_shape)
        self.num_embeddings, self.table_sizes = prior_checks.check_sizes(
            num_embeddings, self.code_shape
        )
        if num_classes is not None:
            num_classes = check_count("num_classes", num_classes, hint=" or None")
        self.label_dropout = check_share("label_dropout", label_dropout)
        self.label_smoothing = check_share("label_smoothing", label_smoothing)
        if label_dropout and num_classes is None:
            raise ValueError(
                "`label_dropout` needs `num_classes`. "
                f"Received: label_dropout={label_dropout}, num_classes=None"
            )
        self.num_classes = num_classes
        self.condition_shape = prior_checks.check_condition_shape(condition_shape, self.code_shape)
        self.codes_fingerprint = codes_fingerprint
        self._sizes: tuple[str, ...] = ()
        self.track((), {"bits_per_code": keras.metrics.Mean(name="bits_per_code")})

    @property
    def conditional(self) -> bool:
        """Whether there is anything that the codes are conditioned on."""
        return self.num_classes is not None or self.condition_shape is not None

    def assemble(
        self, trunk: Any, embedding_dim: int, hidden_dim: int, activation: Any = "relu"
    ) -> None:
        """Makes the model of its parts; the last thing that a subclass's constructor does.

        Args:
            trunk: a layer with `call(x, condition, training)`, `initial_state(batch_size,
                grid_shape, condition)`, `start_row(state, row)`, `read(state, row, column)`, which
                gives `(features, state)`, and `write(x, state, row, column)`.
            embedding_dim: channels of the embedded codes.
            hidden_dim: width of the head, and channels of the conditions.
            activation: the head's. Defaults to `"relu"`.
        """
        several, policy = len(self.code_shape) == 3, self.dtype_policy
        self.embedding = CodeEmbedding(
            self.table_sizes, embedding_dim, several, dtype=policy, name="embedding"
        )
        self.conditions = None
        if self.conditional:
            self.conditions = CodeConditions(
                hidden_dim,
                self.code_shape[:2],
                self.num_classes,
                self.condition_shape,
                self.label_dropout,
                dtype=policy,
                name="conditions",
            )
        self.trunk = trunk
        self.head = CodeHead(
            self.table_sizes, hidden_dim, several, activation, dtype=policy, name="head"
        )
        self.build((None, *self.code_shape))

    def set_sizes(self, dropout: float, **sizes: int) -> None:
        """Keeps the arguments that subclasses have: as attributes, and in `get_config`.

        Raises:
            ValueError: for a size that is no positive integer, or a `dropout` outside [0, 1).
        """
        for name, value in sizes.items():
            setattr(self, name, check_count(name, value))
        self.dropout = check_share("dropout", dropout)
        self._sizes = (*sizes, "dropout")

    def build(self, input_shape: Any) -> None:
        if self.built:
            return
        self.embedding.build((None, *self.code_shape))
        embedded = (None, *self.code_shape[:2], self.embedding.dim)
        condition = None
        if self.conditions is not None:
            self.conditions.build()
            condition = (None, None, None, self.conditions.dim)
        self.trunk.build(embedded, condition)
        self.head.build(self.trunk.compute_output_shape(embedded))
        self.built = True

    def call(
        self, codes: Any, labels: Any = None, condition: Any = None, training: bool | None = None
    ) -> Any:
        """Logits of all codes: int `(batch, h, w)` to float32 `(batch, h, w, K)`.

        With several codes a position, `(batch, h, w, Q)` to `(batch, h, w, Q, K)`. Where depths
        have tables of several sizes, K is the largest, and codes that there are not have −1e30.
        """
        condition = self._condition_map(labels, condition, ops.shape(codes)[0], training)
        x = self.trunk(self.embedding(codes), condition=condition, training=training)
        return self.head(x, codes)

    # -- training ---------------------------------------------------------------------------------

    def nats(
        self, codes: Any, labels: Any = None, condition: Any = None, training: bool = False
    ) -> Any:
        """`−log p` of each code given those before it: float32, as `codes`, in nats."""
        return self._nats_and_logits(codes, labels, condition, training)[0]

    def _nats_and_logits(self, codes: Any, *arguments: Any) -> tuple[Any, Any]:
        dtype = keras.backend.standardize_dtype(codes.dtype)
        if not dtype.startswith(("int", "uint")):
            raise TypeError(f"`codes` should be integers. Received: dtype {dtype}")
        codes = ops.cast(codes, "int32")
        labels, condition, training = arguments
        logits = self(codes, labels=labels, condition=condition, training=training)
        return ops.sparse_categorical_crossentropy(codes, logits, from_logits=True), logits

    def compute_step(self, data: Any, training: bool) -> StepOutput:
        codes, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        self.refuse_weights(sample_weight=sample_weight)
        nats, logits = self._nats_and_logits(codes, *self._split(y), training)
        loss = self._smoothed(nats, logits) if self.label_smoothing else nats
        axes = tuple(range(1, len(self.code_shape) + 1))
        return StepOutput(
            terms={"cross_entropy": mean_over_valid(loss)},
            batch_size=ops.shape(codes)[0],
            observations={"bits_per_code": ops.mean(nats, axis=axes) / math.log(2.0)},
        )

    def _smoothed(self, nats: Any, logits: Any) -> Any:
        """The cross-entropy with targets that are mixed with the uniform distribution."""
        sizes = np.asarray(self.table_sizes)[:, None]  # of each of the Q codes of a position
        uniform = np.where(np.arange(sizes.max()) < sizes, 1.0 / sizes, 0.0).astype("float32")
        if len(self.code_shape) == 2:
            uniform = uniform[0]
        with_uniform = ops.logsumexp(logits, axis=-1) - ops.sum(logits * uniform, axis=-1)
        return (1.0 - self.label_smoothing) * nats + self.label_smoothing * with_uniform

    def compile(
        self,
        optimizer: Any = "adam",
        loss: None = None,
        *,
        jit_compile: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        """As `keras.Model.compile`, with a loss of its own and the package's XLA policy.

        Raises:
            ValueError: if a `loss` or `metrics` are given: the cross-entropy is the loss, and
                `bits_per_code` is logged.
        """
        kwargs["loss"] = loss
        for name in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if kwargs.pop(name, None) is not None:
                raise ValueError(
                    f"Model '{self.name}' has its own loss and metrics. Leave `{name}` out."
                )
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.fit`, on codes and what they are conditioned on.

        Arrays are shuffled. Batches come in the order of the data set, a `PyDataset`'s too, which
        Keras would shuffle; `shuffle=True` has it do so.

        Args:
            x: codes `(N, h, w)` or `(N, h, w, Q)`; a code file as `data.load_codes` gives it; or a
                data set of batches.
            y: labels `(N,)` or conditions `(N, *condition_shape)`, for a conditional prior; the
                pair `(labels, conditions)` for one with both.
            *args: as for `keras.Model.fit`.
            **kwargs: as for `keras.Model.fit`.

        Raises:
            TypeError: for codes or labels that are no integers, and for a list of codes.
            ValueError: for codes, labels or conditions of another shape or out of range, missing
                ones, or a code file of another model than the prior was fitted on before.
        """
        given = fit_arguments(x, y, *args, **kwargs)
        self.refuse_weights(**given)
        fingerprint = self.codes_fingerprint or fingerprint_of(x)
        given["x"], given["y"] = self._check_data(x, y)
        validation = given.get("validation_data")
        if validation is not None:
            pair = self._as_pair(validation)
            codes, conditions, weights = keras.utils.unpack_x_y_sample_weight(pair)
            self.refuse_weights(sample_weight=weights)
            checked = self._check_data(codes, conditions, "validation_data", fingerprint)
            given["validation_data"] = checked if checked[1] is not None else checked[0]
        if self.compiled:  # else nothing is learned of these codes: Keras raises
            self.codes_fingerprint = fingerprint
        return super().fit(**given)

    def _as_pair(self, validation: Any) -> tuple[Any, ...]:
        """Codes and conditions, which may be a list of the two; a list of grids is none."""
        dims = len(self.code_shape) + 1
        is_list = isinstance(validation, list) and len(validation) in (2, 3)
        if is_list and np.ndim(validation[0]) == dims:
            return tuple(validation)
        return validation if isinstance(validation, tuple) else (validation,)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`, after the checks of `fit`."""
        given = evaluate_arguments(x, y, *args, **kwargs)
        if not given.get("_use_cached_eval_dataset"):  # `fit` has looked at them
            self.refuse_weights(**given)
            given["x"], given["y"] = self._check_data(x, y)
        return super().evaluate(**given)

    def predict_inputs(self, data: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Codes, and beside them what `fit` takes as `y`: a pair, or data of batches of both."""
        codes, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        if isinstance(codes, list | tuple) and len(codes) == 2 and y is None:
            codes, y = codes
        if not self.conditional:
            return (codes,), {}
        labels, condition = self._split(y)
        return (codes,), {"labels": labels, "condition": condition}

    # -- likelihood -------------------------------------------------------------------------------

    def log_prob(
        self, codes: Any, labels: Any = None, condition: Any = None, batch_size: int = 128
    ) -> np.ndarray:
        """The exact log-probability of grids of codes.

        Args:
            codes: integer array `(N, h, w)` or `(N, h, w, Q)` in [0, K).
            labels: integer array `(N,)`, for a prior conditioned on classes.
            condition: float array `(N, *condition_shape)`, for a prior conditioned on such.
            batch_size: how many at one time. Defaults to `128`.

        Returns:
            NumPy float32 `(N,)`, in nats.

        Raises:
            TypeError: for codes or labels that are no integers.
            ValueError: for codes or labels of another shape or out of range, or missing labels.
        """
        codes = check_codes(codes, self.code_shape, self.num_embeddings)
        labels, condition = self._check_conditions(labels, condition, len(codes))
        axes = tuple(range(1, codes.ndim))
        function = self.compiled_function(
            "log_prob",
            lambda *arrays: -ops.sum(self.nats(*arrays), axis=axes),
            jit_compile=resolve_jit_compile("auto") is not False,
        )
        result = map_batches(function, (codes, labels, condition), batch_size)
        return np.zeros((0,), "float32") if result is None else result

    # -- saving -----------------------------------------------------------------------------------

    def export(self, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.export`: int32 codes to float32 logits.

        Raises:
            ValueError: for a conditional prior, of which Keras would export the first input alone.
        """
        if self.conditional:
            raise ValueError(
                f"Model '{self.name}' has inputs beside the codes, and Keras exports a model of "
                "its first input alone. `save` keeps it for `keras.models.load_model`."
            )
        shape = (None, *self.code_shape)
        self(keras.KerasTensor(shape, "int32"))  # steps of training do not call it
        # Keras would take the dtype that layers compute in.
        kwargs.setdefault("input_signature", [keras.InputSpec("int32", shape)])
        return super().export(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """The settings.

        Raises:
            ValueError: after `quantize`: its layers are made anew from these settings, which do not
                say so, and would not fit what is saved.
        """
        refuse_quantized(self)
        several = isinstance(self.num_embeddings, tuple)
        return {
            **super().get_config(),
            "code_shape": list(self.code_shape),
            "num_embeddings": list(self.table_sizes) if several else self.num_embeddings,
            "num_classes": self.num_classes,
            "condition_shape": self.condition_shape and list(self.condition_shape),
            "label_dropout": self.label_dropout,
            "label_smoothing": self.label_smoothing,
            "codes_fingerprint": self.codes_fingerprint,
            **{name: getattr(self, name) for name in self._sizes},
        }
