"""The block of a gated PixelCNN."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.checks import check_count, check_share
from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.causal_layer import CausalLayer, at_position
from keras_vqvae.layers.parts import spread_initializers

__all__ = ["GatedMaskedConv2D"]


@keras.saving.register_keras_serializable(PACKAGE)
class GatedMaskedConv2D(CausalLayer):
    """Two stacks of gated causal convolutions that leave no blind spot.

    The vertical stack sees the rows above, over their whole width; the horizontal one sees what is
    to the left in the row itself, and the vertical stack at its position. Each ends in a gate,

    ```
    gate(a, b) = tanh(a) · sigmoid(b)
    vertical'   = gate(W_v * vertical + V_v c)
    horizontal' = gate(W_h * horizontal + W_vh (W_v * vertical) + V_h c)
    output      = vertical',  horizontal + W_1 horizontal'
    ```

    with a condition `c`, if there is one. Kernels have only the taps that causality leaves, so
    nothing is computed to be masked. With mask `"A"` the layer is the first one: it takes one
    tensor, the vertical stack begins with the row above, and the horizontal one with the position
    to the left. With `"B"` it takes the two outputs of the one before.

    Step by step, `start_row` computes the vertical stack's row, whose input is known by then; a
    step costs the horizontal stack alone.

    Args:
        filters: channels of each output.
        kernel_size: odd integer ≥ 3, or pair of them.
        mask_type: `"A"` for the first layer, `"B"` for the others.
        dilation_rate: integer or pair. Defaults to `1`.
        residual: whether the horizontal input is added to its output, where it has as many
            channels and the mask is `"B"`. Defaults to `True`.
        dropout: rate, on the gated horizontal stack. Defaults to `0`.
        kernel_initializer: of all kernels. Defaults to `"glorot_uniform"`.
        **kwargs: as for `keras.layers.Layer`.

    Call arguments:
        inputs: `(batch, height, width, channels)` with mask A; with mask B the pair
            `(vertical, horizontal)` of such tensors.
        condition: `(batch, height, width, d)`, or `(batch, 1, 1, d)` for a vector; `None` for
            none. The first call settles whether there is one.
        training: whether dropout is on.

    Returns:
        The pair `(vertical, horizontal)`, each `(batch, height, width, filters)`. `horizontal`
        depends on all positions before (mask A), and on the position itself (mask B), as far as the
        kernels reach; `vertical` depends on the rows above.

    Raises:
        ValueError: for even kernels or such below 3, sizes that are no positive integers, another
            mask type, a dropout rate outside [0, 1), inputs that are no pair with mask B, or a
            condition where there was none before.

    Example:
    >>> import numpy as np
    >>> x = np.zeros((1, 7, 7, 2))
    >>> first, second = GatedMaskedConv2D(4, 5, "A"), GatedMaskedConv2D(4, 3, "B")
    >>> vertical, horizontal = second(first(x))
    >>> tuple(vertical.shape), tuple(horizontal.shape)
    ((1, 7, 7, 4), (1, 7, 7, 4))

    References:
        - [Conditional Image Generation with PixelCNN Decoders](https://arxiv.org/abs/1606.05328)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        mask_type: str = "B",
        dilation_rate: int | tuple[int, int] = 1,
        residual: bool = True,
        dropout: float = 0.0,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if mask_type not in ("A", "B"):
            raise ValueError(f"`mask_type` should be 'A' or 'B'. Received: mask_type={mask_type!r}")
        self.filters = check_count("filters", filters)
        self.kernel_size = _pair("kernel_size", kernel_size)
        self.dilation_rate = _pair("dilation_rate", dilation_rate)
        if any(n % 2 == 0 or n < 3 for n in self.kernel_size):
            raise ValueError(
                "`kernel_size` should be odd and at least 3, so that something is seen. "
                f"Received: kernel_size={kernel_size}"
            )
        dropout = check_share("dropout", dropout)
        self.mask_type = mask_type
        self.residual = residual
        self.dropout = dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self._dropout = keras.layers.Dropout(dropout, dtype=self.dtype_policy, name="dropout")

    def build(self, inputs_shape: Any, condition_shape: Any = None) -> None:
        pair = isinstance(inputs_shape[0], list | tuple)
        if pair != (self.mask_type == "B"):
            raise ValueError(
                f"Layer '{self.name}' has mask {self.mask_type} and takes "
                f"{'the pair (vertical, horizontal)' if self.mask_type == 'B' else 'one tensor'}. "
                f"Received: input shapes {inputs_shape}"
            )
        vertical, horizontal = inputs_shape if pair else (inputs_shape, inputs_shape)
        if len(vertical) != 4 or len(horizontal) != 4:
            raise ValueError(
                f"Layer '{self.name}' expects grids (batch, height, width, channels). "
                f"Received: input shapes {inputs_shape}"
            )
        centre, two = int(self.mask_type == "B"), 2 * self.filters
        height, width = self.kernel_size
        shapes = {
            "vertical_kernel": (height // 2 + centre, width, vertical[-1], two),
            "horizontal_kernel": (1, width // 2 + centre, horizontal[-1], two),
            "vertical_to_horizontal": (two, two),
            "output_kernel": (self.filters, self.filters),
        }
        if condition_shape is not None:
            shapes["condition_kernel"] = (condition_shape[-1], 2 * two)
        initializers = spread_initializers(self.kernel_initializer, len(shapes))
        for (name, shape), initializer in zip(shapes.items(), initializers, strict=True):
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer=initializer))
        for name, shape in (
            ("vertical_bias", (two,)),
            ("horizontal_bias", (two,)),
            ("output_bias", (self.filters,)),
        ):
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer="zeros"))
        self.conditional = condition_shape is not None
        self._channels = (vertical[-1], horizontal[-1])
        self._adds = self.residual and self.mask_type == "B" and horizontal[-1] == self.filters
        self.built = True

    def call(
        self, inputs: Any, condition: Any = None, training: bool | None = None
    ) -> tuple[Any, Any]:
        if (condition is not None) != self.conditional:
            now, before = ("with", "without") if condition is not None else ("without", "with")
            raise ValueError(
                f"Layer '{self.name}' is called {now} a condition, and was built {before} one: the "
                "first call settles that. Call it alike, or make another layer"
            )
        vertical, horizontal = (inputs, inputs) if self.mask_type == "A" else inputs
        up, side = self._reach
        above = ops.pad(vertical, [(0, 0), (up, 0), (side, side), (0, 0)])
        left = ops.pad(horizontal, [(0, 0), (0, 0), (side, 0), (0, 0)])
        if self.mask_type == "A":
            # A row, and a position, sees what is before it: everything moves on by one tap.
            above, left = above[:, : -self.dilation_rate[0]], left[:, :, : -self.dilation_rate[1]]
        v = self._convolve(above, self.vertical_kernel) + self.vertical_bias
        h = self._convolve(left, self.horizontal_kernel)
        h = h + ops.matmul(v, self.vertical_to_horizontal) + self.horizontal_bias
        if self.conditional:
            for_v, for_h = self._from_condition(condition)
            v, h = v + for_v, h + for_h
        h = self._dropout(_gate(h), training=training)
        h = ops.matmul(h, self.output_kernel) + self.output_bias
        return _gate(v), (h + horizontal if self._adds else h)

    def compute_output_shape(self, inputs_shape: Any, condition_shape: Any = None) -> Any:
        one = inputs_shape if self.mask_type == "A" else inputs_shape[0]
        shape = (*one[:-1], self.filters)
        return shape, shape

    # -- one position at a time -------------------------------------------------------------------

    def initial_state(self, batch_size: int, grid_shape: tuple[int, int]) -> dict[str, Any]:
        """Empty rows; as many of the vertical stack as its kernel reaches."""
        up, side = self._reach
        width, (vertical, horizontal) = grid_shape[1], self._channels
        rows = up + (self.mask_type == "B")

        def zeros(*shape: int) -> Any:
            return ops.zeros((batch_size, *shape), self.compute_dtype)

        return {
            "rows": zeros(rows, width + 2 * side, vertical),
            "vertical": zeros(width, self.filters),
            "for_horizontal": zeros(1, width, 2 * self.filters),
            "row": zeros(side + width, horizontal),
        }

    def start_row(
        self, state: dict[str, Any], row: Any, vertical: Any = None, condition: Any = None
    ) -> dict[str, Any]:
        """Computes the vertical stack's row; afterwards it is `state["vertical"]`.

        Args:
            state: the state after the row before.
            row: its number.
            vertical: with mask B, the vertical input's row `(batch, width, channels)`; with mask A
                nothing, as that is the row that was written last.
            condition: the condition in this row, `(batch, width, d)` or `(batch, 1, d)`.
        """
        side = self._reach[1]
        if self.mask_type == "A":
            vertical = state["row"][:, side:]
        newest = ops.pad(vertical, [(0, 0), (side, side), (0, 0)])[:, None]
        rows = ops.concatenate([state["rows"][:, 1:], newest], axis=1)
        # With mask A and a dilated kernel, the last d − 1 rows lie between taps.
        used = (self.vertical_kernel.shape[0] - 1) * self.dilation_rate[0] + 1
        v = self._convolve(rows[:, :used], self._weight("vertical_kernel"))
        v = v + self._weight("vertical_bias")
        h = ops.matmul(v, self._weight("vertical_to_horizontal")) + self._weight("horizontal_bias")
        if self.conditional:
            for_v, for_h = self._from_condition(condition[:, None])
            v, h = v + for_v, h + for_h
        return {**state, "rows": rows, "vertical": _gate(v)[:, 0], "for_horizontal": h}

    def write(self, x: Any, state: dict[str, Any], row: Any, column: Any) -> dict[str, Any]:
        """Stores the horizontal input `(batch, channels)` of a position."""
        x = ops.cast(x, self.compute_dtype)[:, None]
        start = (0, column + self._reach[1], 0)
        return {**state, "row": ops.slice_update(state["row"], start, x)}

    def read(self, state: dict[str, Any], row: Any, column: Any) -> Any:
        """The horizontal output `(batch, filters)`; with mask A, before the input is written."""
        side, centre = self._reach[1], int(self.mask_type == "B")
        batch, _, channels = state["row"].shape
        taps = ops.slice(state["row"], (0, column, 0), (batch, side + centre, channels))
        own = taps[:, -1]
        taps = ops.reshape(taps[:, :: self.dilation_rate[1]], (batch, -1))
        kernel = ops.reshape(self._weight("horizontal_kernel"), (-1, 2 * self.filters))
        h = _gate(ops.matmul(taps, kernel) + at_position(state["for_horizontal"], 0, column))
        h = ops.matmul(h, self._weight("output_kernel")) + self._weight("output_bias")
        return h + own if self._adds else h

    def step(self, x: Any, state: Any, row: Any, column: Any) -> tuple[Any, Any]:
        """One position of the horizontal stack: `(batch, channels)` to `(batch, filters)`."""
        state = self.write(x, state, row, column)
        return self.read(state, row, column), state

    # -- parts ------------------------------------------------------------------------------------

    @property
    def _reach(self) -> tuple[int, int]:
        """How many rows and columns the kernels reach from the centre."""
        (height, width), (d_row, d_column) = self.kernel_size, self.dilation_rate
        return height // 2 * d_row, width // 2 * d_column

    def _weight(self, name: str) -> Any:
        return ops.cast(ops.convert_to_tensor(getattr(self, name)), self.compute_dtype)

    def _convolve(self, x: Any, kernel: Any) -> Any:
        return ops.conv(
            x,
            kernel,
            padding="valid",
            dilation_rate=self.dilation_rate,
            data_format="channels_last",
        )

    def _from_condition(self, condition: Any) -> Any:
        condition = ops.cast(condition, self.compute_dtype)
        return ops.split(ops.matmul(condition, self._weight("condition_kernel")), 2, axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "mask_type": self.mask_type,
            "dilation_rate": self.dilation_rate,
            "residual": self.residual,
            "dropout": self.dropout,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def _gate(x: Any) -> Any:
    a, b = ops.split(x, 2, axis=-1)
    return ops.tanh(a) * ops.sigmoid(b)


def _pair(name: str, value: Any) -> tuple[int, int]:
    first, second = value if isinstance(value, tuple | list) and len(value) == 2 else (value, value)
    return check_count(name, first), check_count(name, second)
