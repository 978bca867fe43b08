"""The convolution of a PixelCNN."""

from typing import Any

import keras
from keras import ops

from keras_vqvae.choices import PACKAGE
from keras_vqvae.layers.causal_layer import CausalLayer
from keras_vqvae.ops import causal_kernel_mask

__all__ = ["MaskedConv2D"]


@keras.saving.register_keras_serializable(PACKAGE)
class MaskedConv2D(keras.layers.Conv2D, CausalLayer):
    """A `Conv2D` that sees only what comes before a position in raster order.

    The kernel is multiplied by a mask in the computation: no weight is written, masked weights get
    no gradient, and regularizers and optimizers work as ever. Mask `"A"` closes the centre (the
    first layer of a PixelCNN: a position must not see itself), mask `"B"` opens it.

    Padding is `"same"` and strides are 1, as causality needs them.

    Step by step, `start_row` computes what the rows above contribute to the whole row, in one
    convolution; `step` adds the taps of the row itself. The state holds as many rows as the kernel
    reaches up, whatever the height of the grid.

    Args:
        filters: channels of the output.
        kernel_size: odd integer or pair of them.
        mask_type: `"A"` or `"B"`.
        dilation_rate: integer or pair. Defaults to `1`.
        channel_groups: number of ordered groups that the channels fall into, such as 3 for R, G, B:
            at the centre a group sees those before it, and with mask `"B"` itself. Defaults to `1`.
        activation: as for `Conv2D`.
        use_bias: as for `Conv2D`.
        **kwargs: the other arguments of `Conv2D`.

    Call arguments:
        inputs: `(batch, height, width, channels)`.

    Returns:
        `(batch, height, width, filters)`.

    Raises:
        ValueError: for strides, even kernels, `channels_first`, `groups`, or another mask type.

    Example:
    >>> import numpy as np
    >>> layer = MaskedConv2D(4, 3, mask_type="A")
    >>> tuple(layer(np.zeros((1, 7, 7, 2))).shape)
    (1, 7, 7, 4)

    References:
        - [Pixel Recurrent Neural Networks](https://arxiv.org/abs/1601.06759), §3.4
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        mask_type: str,
        dilation_rate: int | tuple[int, int] = 1,
        channel_groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        if mask_type not in ("A", "B"):
            raise ValueError(f"`mask_type` should be 'A' or 'B'. Received: mask_type={mask_type!r}")
        for name, only in (("padding", "same"), ("strides", 1), ("groups", 1)):
            given = kwargs.pop(name, only)
            if given != only and tuple(_pair(given)) != _pair(only):
                raise ValueError(
                    f"`{name}` of a `MaskedConv2D` is {only!r}: the causal order needs it. "
                    f"Received: {name}={given!r}"
                )
        data_format = kwargs.get("data_format")
        if (data_format or keras.config.image_data_format()) != "channels_last":
            raise ValueError(
                "`data_format` should be 'channels_last'. Received: "
                f"data_format={data_format or keras.config.image_data_format()!r}"
            )
        super().__init__(
            filters,
            kernel_size,
            padding="same",
            dilation_rate=dilation_rate,
            activation=activation,
            use_bias=use_bias,
            **kwargs,
        )
        if any(n % 2 == 0 for n in self.kernel_size):
            raise ValueError(
                "`kernel_size` should be odd, so that it has a centre. "
                f"Received: kernel_size={kernel_size}"
            )
        if channel_groups < 1 or filters % channel_groups:
            raise ValueError(
                "`channel_groups` should be a positive divisor of `filters`. "
                f"Received: channel_groups={channel_groups}, filters={filters}"
            )
        self.mask_type = mask_type
        self.channel_groups = channel_groups

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        if channels is None or channels % self.channel_groups:
            raise ValueError(
                f"Layer '{self.name}' needs input channels divisible by "
                f"channel_groups={self.channel_groups}. Received: input_shape={tuple(input_shape)}"
            )
        super().build(input_shape)
        self.mask = causal_kernel_mask(
            self.kernel_size, channels, self.filters, self.mask_type, self.channel_groups
        )

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """As `Conv2D`'s, with the kernel masked."""
        return super().convolution_op(inputs, kernel * ops.cast(self.mask, kernel.dtype))

    # -- one position at a time -------------------------------------------------------------------

    @property
    def _reach(self) -> tuple[int, int]:
        """How many rows and columns the kernel reaches from its centre."""
        return tuple(k // 2 * d for k, d in zip(self.kernel_size, self.dilation_rate, strict=True))

    def _masked_kernel(self) -> Any:
        kernel = ops.cast(ops.convert_to_tensor(self.kernel), self.compute_dtype)
        return kernel * ops.cast(self.mask, self.compute_dtype)

    def initial_state(self, batch_size: int, grid_shape: tuple[int, int]) -> dict[str, Any]:
        """Empty rows, and the taps that lie in a position's own row."""
        up, side = self._reach
        width, channels = grid_shape[1], self.mask.shape[2]
        height, kernel_width = self.kernel_size
        kernel = self._masked_kernel()
        own_row = kernel[height // 2, : kernel_width // 2 + 1]
        state = {
            "own_row_kernel": ops.reshape(own_row, (-1, self.filters)),
            "row": ops.zeros((batch_size, side + width, channels), self.compute_dtype),
        }
        if up:
            state["kernel_above"] = kernel[: height // 2]
            state["rows_above"] = ops.zeros(
                (batch_size, up, width + 2 * side, channels), self.compute_dtype
            )
            state["from_above"] = ops.zeros((batch_size, width, self.filters), self.compute_dtype)
        return state

    def start_row(self, state: dict[str, Any], row: Any) -> dict[str, Any]:
        """Moves the finished row up and computes what the rows above contribute to this one."""
        up, side = self._reach
        if not up:
            return state
        # Before the first row, the "finished" row is still zeros, as padding should be.
        finished = ops.pad(state["row"], [(0, 0), (0, side), (0, 0)])[:, None]
        rows = ops.concatenate([state["rows_above"][:, 1:], finished], axis=1)
        # With a dilated kernel the last d − 1 rows lie between taps.
        used = (self.kernel_size[0] // 2 - 1) * self.dilation_rate[0] + 1
        above = ops.conv(
            rows[:, :used],
            state["kernel_above"],
            padding="valid",
            dilation_rate=self.dilation_rate,
            data_format="channels_last",
        )
        return {**state, "rows_above": rows, "from_above": above[:, 0]}

    def write(self, x: Any, state: dict[str, Any], row: Any, column: Any) -> dict[str, Any]:
        """Stores the input `(batch, channels)` of a position."""
        x = ops.cast(x, self.compute_dtype)[:, None]
        side = self._reach[1]
        return {**state, "row": ops.slice_update(state["row"], (0, column + side, 0), x)}

    def read(self, state: dict[str, Any], row: Any, column: Any) -> Any:
        """The output `(batch, filters)` at a position, from what was written so far.

        With mask A (and one channel group) the position's own input need not be written yet: that
        is how a sampler asks for a code that is not drawn yet.
        """
        side = self._reach[1]
        batch, _, channels = state["row"].shape
        taps = ops.slice(state["row"], (0, column, 0), (batch, side + 1, channels))
        taps = ops.reshape(taps[:, :: self.dilation_rate[1]], (batch, -1))
        y = ops.matmul(taps, state["own_row_kernel"])
        if "from_above" in state:
            above = ops.slice(state["from_above"], (0, column, 0), (batch, 1, self.filters))
            y = y + above[:, 0]
        if self.use_bias:
            y = y + ops.cast(ops.convert_to_tensor(self.bias), self.compute_dtype)
        return y if self.activation is None else self.activation(y)

    def step(self, x: Any, state: Any, row: Any, column: Any) -> tuple[Any, Any]:
        """One position: its input `(batch, channels)` to its output `(batch, filters)`."""
        state = self.write(x, state, row, column)
        return self.read(state, row, column), state

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for fixed in ("padding", "strides", "groups"):
            config.pop(fixed)
        return {**config, "mask_type": self.mask_type, "channel_groups": self.channel_groups}


def _pair(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value, value)
