"""Helpers for the tests of causal layers and priors: running them step by step, and by hand."""

import numpy as np
from keras import ops
from support import gradients, to_numpy


def random_codes(prior, count, seed=0):
    """int32 codes `(count, *code_shape)` for a prior, over the whole range of each depth."""
    high = np.broadcast_to(prior.num_embeddings, prior.code_shape[2:] or ())
    return np.random.default_rng(seed).integers(0, high, (count, *prior.code_shape)).astype("int32")


def layer_by_steps(layer, x, **state_arguments):
    """What a causal layer gives for `x` `(batch, h, w, c)`, one position at a time: NumPy."""
    x = np.asarray(x)
    batch, height, width, _ = x.shape
    state = layer.initial_state(batch, (height, width), **state_arguments)
    rows = []
    for row in range(height):
        state = layer.start_row(state, row)
        row_out = []
        for column in range(width):
            y, state = layer.step(ops.convert_to_tensor(x[:, row, column]), state, row, column)
            row_out.append(to_numpy(ops.cast(y, "float32")))
        rows.append(np.stack(row_out, axis=1))
    return np.stack(rows, axis=1)


def prior_by_steps(prior, codes, **conditions):
    """A prior's logits for `codes`, teacher-forced, one code at a time: as `call` gives them."""
    batch, height, width = codes.shape[:3]
    state = prior.initial_state(batch, **conditions)
    logits = np.zeros((*codes.shape, np.max(prior.num_embeddings)), "float32")
    for row in range(height):
        state = prior.start_row(state, row)
        for column in range(width):
            here, state = prior.step(state, row, column)
            if codes.ndim == 3:
                logits[:, row, column] = to_numpy(here)
            else:
                logits[:, row, column, 0] = to_numpy(here)
                for depth in range(1, codes.shape[3]):
                    before = ops.convert_to_tensor(codes[:, row, column, depth - 1])
                    here, state = prior.next_depth(before, state, depth)
                    logits[:, row, column, depth] = to_numpy(here)
            state = prior.write(ops.convert_to_tensor(codes[:, row, column]), state, row, column)
    return logits


def reached(function, shape, position, seed=0):
    """Which positions of an input `(1, h, w, c)` the output at `position` depends on: bool (h, w).

    By the gradient of a random projection of the output, whose exact zeros are the claim.
    """
    x = np.random.default_rng(seed).standard_normal(shape).astype("float32")

    def scalar(x):
        y = ops.cast(function(x)[:, position[0], position[1]], "float32")
        weights = np.random.default_rng(seed + 1).standard_normal(y.shape).astype("float32")
        return ops.sum(y * weights)

    return np.abs(gradients(scalar, x)[0][0]).sum(-1) > 0


def composed(kernels, grid, position):
    """The positions of the grid that a chain of masked kernels reaches from a position.

    Each kernel is a bool array `(height, width)` and a dilation; the last is nearest the input.
    """
    here = {position}
    for kernel, dilation in kernels:
        middle = (kernel.shape[0] // 2, kernel.shape[1] // 2)
        offsets = (np.argwhere(kernel) - middle) * dilation
        here = {(r + i, c + j) for r, c in here for i, j in offsets}
        here = {(r, c) for r, c in here if 0 <= r < grid[0] and 0 <= c < grid[1]}
    field = np.zeros(grid, bool)
    for r, c in here:
        field[r, c] = True
    return field


def before(grid, position, depth_open=False):
    """All positions before one in raster order, and it too if `depth_open`: bool (h, w)."""
    index = np.arange(grid[0] * grid[1]).reshape(grid)
    last = position[0] * grid[1] + position[1]
    return index <= last if depth_open else index < last


def all_grids(prior):
    """Every grid of codes there is for a prior: `(number, *code_shape)`."""
    sizes = np.broadcast_to(prior.num_embeddings, prior.code_shape).reshape(-1)
    grids = np.indices(sizes).reshape(len(sizes), -1).T
    return grids.reshape(-1, *prior.code_shape).astype("int32")


def scale_weights(model, scale, seed=0):
    """Gives all weights noise, biases too, so that nothing that is zero at the start hides."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        # Biases are small, so that what comes in matters.
        fan_in = int(np.prod(weight.shape[:-1])) if len(weight.shape) > 1 else 9
        noise = rng.standard_normal(weight.shape) * scale / np.sqrt(fan_in)
        weight.assign(noise.astype("float32"))
    return model
