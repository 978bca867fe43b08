"""The peer of `quantizers.py`: vector-quantize-pytorch's quantizers and a training step for them.

Nothing of its code is here; it is called. Neither Keras nor TensorFlow is imported, so that the
memory of a process that uses this module alone is the peer's.
"""

import os
from collections.abc import Callable
from typing import Any

import torch
import vector_quantize_pytorch as peer
from turns import normal_vectors

PACKAGES = ("torch", "vector-quantize-pytorch")

# Ours does the same: weights of the losses, decay, no smoothing of the comparison by defaults.
VQ = {"commitment_weight": 0.25, "decay": 0.99, "rotation_trick": False}
SIGNS = {"entropy_loss_weight": 0.1, "commitment_loss_weight": 0.25}
LEARNED = {"learnable_codebook": True, "ema_update": False}


def vector_quantize(dim: int, size: int, **options: Any) -> torch.nn.Module:
    """With a table of normal numbers, as ours has."""
    layer = peer.VectorQuantize(dim, size, **{**VQ, **options})
    table = torch.randn(1, size, dim, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        layer._codebook.embed.copy_(table)
        layer._codebook.embed_avg.copy_(table)
    return layer


MAKERS: dict[str, Callable[..., torch.nn.Module]] = {
    "ema": vector_quantize,
    "cosine": lambda dim, size: vector_quantize(dim, size, use_cosine_sim=True),
    "rotation": lambda dim, size: vector_quantize(dim, size, rotation_trick=True),
    "gradient": lambda dim, size: vector_quantize(dim, size, **LEARNED),
    "fsq": lambda dim, levels: peer.FSQ(list(levels)),
    "fsp": lambda dim, levels: peer.FSP(list(levels)),
    "residual_fsq": lambda dim, levels, depths: peer.ResidualFSQ(
        levels=list(levels), num_quantizers=depths, dim=dim
    ),
    "lfq": lambda dim: peer.LFQ(dim=dim, **SIGNS),
    "bsq": lambda dim: peer.LFQ(dim=dim, spherical=True, **SIGNS),
    "residual": lambda dim, size, depths: peer.ResidualVQ(
        dim=dim, codebook_size=size, num_quantizers=depths, **VQ
    ),
    "grouped": lambda dim, size, depths, groups: peer.GroupedResidualVQ(
        dim=dim, groups=groups, codebook_size=size, num_quantizers=depths, **VQ
    ),
    "implicit": lambda dim, size, depths, hidden: peer.ResidualVQ(
        dim=dim,
        codebook_size=size,
        num_quantizers=depths,
        implicit_neural_codebook=True,
        mlp_kwargs={"depth": 2, "dim_hidden": hidden},
        **{**VQ, "ema_update": False, "learnable_codebook": True},
    ),
    "sim_vq": lambda dim, size: peer.SimVQ(dim=dim, codebook_size=size, rotation_trick=False),
}


def training_step(
    kind: str, count: int, dim: int, options: dict[str, Any], seed: int
) -> Callable[[], float]:
    """A training step, forward and backward, of this quantizer on vectors `(N, D)`.

    The gradient that a decoder would hand back to the values comes in as it is, so that a step is
    the quantizer's work alone; its own losses have the gradient 1.
    """
    torch.set_num_threads(os.cpu_count() or 1)
    torch.manual_seed(seed)
    layer = MAKERS[kind](dim, **options).train()
    x, upstream = (torch.from_numpy(normal_vectors(count, dim, s)) for s in (seed, seed + 1))
    vectors, handed_back = x[None].requires_grad_(), upstream[None]

    def step() -> float:
        vectors.grad = None
        layer.zero_grad(set_to_none=True)
        values, _, *others = layer(vectors)
        losses = [part.sum() for part in others if torch.is_tensor(part)]  # FSP has statistics, too
        losses = [loss for loss in losses if loss.requires_grad]
        torch.autograd.backward([values, *losses], [handed_back, *map(torch.ones_like, losses)])
        return float(sum(loss.detach() for loss in losses))

    return step
