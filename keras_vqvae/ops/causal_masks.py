"""Which taps of a kernel a causal convolution may use."""

import numpy as np

__all__ = ["causal_kernel_mask"]


def causal_kernel_mask(
    kernel_size: tuple[int, int],
    channels_in: int,
    channels_out: int,
    mask_type: str,
    channel_groups: int = 1,
) -> np.ndarray:
    """1 where a tap lies before the centre in raster order, 0 where it lies behind.

    At the centre itself the channels decide. They are divided into `channel_groups` equal runs,
    which are ordered too: mask A lets an output see the groups before its own, mask B its own as
    well. With one group the centre is closed for A and open for B.

    Args:
        kernel_size: `(height, width)`, odd.
        channels_in: channels of the input, divisible by `channel_groups`.
        channels_out: channels of the output, divisible by `channel_groups`.
        mask_type: `"A"` or `"B"`.
        channel_groups: number of ordered groups. Defaults to `1`.

    Returns:
        float32 `(height, width, channels_in, channels_out)`.

    References:
        - [Pixel Recurrent Neural Networks](https://arxiv.org/abs/1601.06759), §3.4

    Example:
    >>> causal_kernel_mask((3, 3), 1, 1, "A")[..., 0, 0]
    array([[1., 1., 1.],
           [1., 0., 0.],
           [0., 0., 0.]], dtype=float32)
    """
    height, width = kernel_size
    mask = np.zeros((height, width, channels_in, channels_out), "float32")
    mask[: height // 2] = 1.0
    mask[height // 2, : width // 2] = 1.0
    group_in = np.arange(channels_in) * channel_groups // channels_in
    group_out = np.arange(channels_out) * channel_groups // channels_out
    before = group_in[:, None] < group_out[None, :]
    centre = before if mask_type == "A" else before | (group_in[:, None] == group_out[None, :])
    mask[height // 2, width // 2] = centre
    return mask
