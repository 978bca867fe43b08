"""What vector-quantize-pytorch computes, kept for tests that run without it.

    python -m pip install -e '.[oracle]'
    python tests/golden/make_goldens.py

writes `vector_quantize_pytorch.npz`: inputs and results, float32 and integers, from fixed seeds.
Names are `<subject>/<what>`; `versions` says what it was made with. Each function says under which
settings their mathematics is that of this package, and keeps beside it what theirs gives where the
two differ.
"""

import importlib.metadata
from functools import partial

import numpy as np
import torch
from goldens import FILE
from vector_quantize_pytorch import (
    FSP,
    FSQ,
    LFQ,
    BinaryMapper,
    ResidualLFQ,
    ResidualVQ,
    VectorQuantize,
    lookup_free_quantization,
)
from vector_quantize_pytorch.vector_quantize_pytorch import rotate_to

STEPS = 10
DECAY = 0.9
BETA = 0.25


def normal(shape, seed, scale=1.0):
    noise = scale * np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(noise.astype("float32"))


def arrays(prefix, **values):
    return {
        f"{prefix}/{name}": value.detach().numpy() if torch.is_tensor(value) else np.asarray(value)
        for name, value in values.items()
    }


def quantizer(table, eps=0.0, decay=DECAY, **options):
    """Theirs with this table, counts of 1 and sums that fit.

    `eps=0` leaves out the smoothing of counts; ours has none, as it needs none.
    """
    count, dim = table.shape
    layer = VectorQuantize(
        dim, count, decay=decay, eps=eps, commitment_weight=BETA, rotation_trick=False, **options
    )
    set_table(layer, table, torch.ones(count))
    return layer.train()


def set_table(layer, table, counts):
    book = layer._codebook
    book.embed.copy_(table[None])
    book.cluster_size.copy_(counts[None])
    book.embed_avg.copy_((counts[:, None] * table)[None])


def training(layer, batches, after_step=lambda: None):
    """Indices, losses, gradients of the loss, tables and counts of one call for each batch."""
    rows = []
    for x in batches:
        x = x.clone()[None].requires_grad_()
        _, indices, loss = layer(x)
        (gradient,) = torch.autograd.grad(loss.sum(), x)
        after_step()
        book = layer._codebook
        found = (indices[0], loss.sum(), gradient[0], book.embed[0], book.cluster_size[0])
        rows.append([part.detach().clone() for part in found])
    names = ("indices", "losses", "gradients", "tables", "counts")
    return dict(zip(names, map(torch.stack, zip(*rows, strict=True)), strict=True))


def euclidean():
    """Ten training steps, and what their defaults do to a code that nothing chooses."""
    table = normal((8, 4), 1)
    table[7] = 50.0  # never chosen
    batches = normal((STEPS, 40, 4), 2, scale=1.5)
    found = training(quantizer(table), batches)
    smoothed = quantizer(table, eps=1e-5, decay=0.8)
    drifted = training(smoothed, [batches[0]] * 60)["tables"]
    return {
        **arrays("ema", table=table, batches=batches, **found),
        **arrays("ema_defaults", first=drifted[0], last=drifted[-1]),
    }


def cosine():
    """Ten training steps with `embed_avg = N · embed` before each: equal state, as ours keeps none.

    Left alone, their sums keep the length that was lost when the code was scaled to 1.
    """
    table = torch.nn.functional.normalize(normal((8, 4), 3), dim=-1)
    batches = normal((STEPS, 40, 4), 4, scale=3.0)
    layer = quantizer(table, use_cosine_sim=True)
    book = layer._codebook
    found = training(
        layer,
        batches,
        after_step=lambda: set_table(layer, book.embed[0].clone(), book.cluster_size[0].clone()),
    )
    alone = training(quantizer(table, use_cosine_sim=True), batches)
    x = batches[0][None]
    plain = quantizer(table, use_cosine_sim=True)(x)[2]
    masked = quantizer(table, use_cosine_sim=True)(x, mask=torch.ones(1, 40, dtype=torch.bool))[2]
    return {
        **arrays("cosine", table=table, batches=batches, **found, tables_alone=alone["tables"]),
        **arrays("cosine_mask", loss=plain.sum(), loss_all_valid=masked.sum()),
    }


def rotation():
    """Values and gradients; the last rows are a zero vector and a nearly opposite one."""
    x, q, upstream = normal((26, 5), 5), normal((26, 5), 6), normal((26, 5), 7)
    x[24] = 0.0
    x[25] = -q[25] * (1.0 + 1e-4 * normal((5,), 8))
    x.requires_grad_()
    values = rotate_to(x, q)
    values.backward(upstream)
    return arrays("rotation", x=x, q=q, upstream=upstream, values=values, gradients=x.grad)


def finite_scalar():
    """With ε = −10⁻³, which makes their bound (L − 1)(1 + ε) / 2 ours; and with their own."""
    result = {}
    for name, levels, symmetric in (
        ("paper", (8, 6, 5), False),
        ("odd", (7, 5, 3), False),
        ("symmetric", (8, 5, 2), True),
    ):
        layer = FSQ(list(levels), preserve_symmetry=symmetric).train()
        x, upstream = normal((64, 3), 9, scale=1.5), normal((64, 3), 10)
        own = through(layer, x, upstream)
        if not symmetric:
            layer.bound = partial(FSQ.bound, layer, eps=-1e-3)
        found = through(layer, x, upstream)
        result |= arrays(
            f"fsq_{name}", levels=levels, x=x, upstream=upstream, **found, own=own["gradients"]
        )
    levels = (8,) * 9  # 2²⁷ codes
    layer = FSQ(list(levels), return_indices=False)
    digits = torch.from_numpy(np.random.default_rng(11).integers(0, 8, (40, 9)))
    indices = layer.codes_to_indices((digits.float() - 4.0) / 4.0)
    return {**result, **arrays("fsq_packing", levels=levels, digits=digits, indices=indices)}


def through(layer, x, upstream):
    x = x.clone()[None].requires_grad_()
    values, indices = layer(x)
    (gradients,) = torch.autograd.grad((values * upstream).sum(), x)
    return {"values": values[0], "indices": indices[0], "gradients": gradients[0]}


def lookup_free():
    """The losses with logarithms cut off at 10⁻²⁰, and the entropies with their own cut of 10⁻⁵."""
    own_log = lookup_free_quantization.log
    result = {}
    for name, spherical in (("lfq", False), ("bsq", True)):
        layer = LFQ(
            dim=6, entropy_loss_weight=0.1, commitment_loss_weight=BETA, spherical=spherical
        ).train()
        x = normal((48, 6), 12, scale=0.3)
        lookup_free_quantization.log = partial(own_log, eps=1e-20)
        try:
            leaf = x.clone()[None].requires_grad_()
            out, parts = layer(leaf, inv_temperature=4.0, return_loss_breakdown=True)
            (gradients,) = torch.autograd.grad(out.entropy_aux_loss, leaf)
        finally:
            lookup_free_quantization.log = own_log
        _, own = layer(x[None], inv_temperature=4.0, return_loss_breakdown=True)
        result |= arrays(
            name,
            x=x,
            values=out.quantized[0],
            indices=out.indices[0],
            entropy=parts.per_sample_entropy,
            mean_entropy=parts.batch_entropy,
            commitment=parts.commitment,
            loss=out.entropy_aux_loss,
            gradients=gradients[0],
            entropy_own=own.per_sample_entropy,
        )
    return result


def residual():
    """Three depths: five training steps with every depth's state as in `euclidean`."""
    tables = [normal((8, 4), 20 + i, scale=1.0 / (i + 1)) for i in range(3)]
    batches, upstream = normal((5, 40, 4), 23, scale=1.5), normal((40, 4), 24)
    layer = ResidualVQ(
        dim=4,
        num_quantizers=3,
        codebook_size=8,
        decay=DECAY,
        eps=0.0,
        commitment_weight=BETA,
        rotation_trick=False,
    ).train()
    for part, table in zip(layer.layers, tables, strict=True):
        set_table(part, table, torch.ones(8))
    rows = []
    for x in batches:
        x = x.clone()[None].requires_grad_()
        values, indices, losses = layer(x)
        (by_losses,) = torch.autograd.grad(losses.sum(), x, retain_graph=True)
        (by_values,) = torch.autograd.grad((values * upstream).sum(), x)
        found = (values[0], indices[0], losses.flatten(), by_losses[0], by_values[0])
        rows.append([part.detach().clone() for part in (*found, layer.codebooks)])
    names = ("values", "indices", "losses", "by_losses", "by_values", "tables_after")
    found = dict(zip(names, map(torch.stack, zip(*rows, strict=True)), strict=True))
    return arrays(
        "residual", tables=torch.stack(tables), batches=batches, upstream=upstream, **found
    )


def perturbed():
    """In evaluation, which rounds; the loss of the moments is the same in training."""
    levels = [4, 3, 8]
    layer = FSP(levels, act_name="tanh", vector_norm="var_tanh").eval()
    x, upstream = normal((60, 3), 27, scale=2.0), normal((60, 3), 28)
    leaf = x.clone().requires_grad_()
    values, indices, loss, _ = layer(leaf)
    (gradients,) = torch.autograd.grad((values * upstream).sum(), leaf, retain_graph=True)
    (by_loss,) = torch.autograd.grad(loss, leaf)
    found = {"values": values, "indices": indices, "gradients": gradients}
    found |= {"loss": loss, "by_loss": by_loss}
    return arrays("fsp", levels=np.array(levels), x=x, upstream=upstream, **found)


def residual_lookup_free():
    """Three depths of signs, each of half the size; the gradient is of the values alone."""
    layer = ResidualLFQ(dim=4, codebook_size=16, num_quantizers=3).train()
    x, upstream = normal((40, 4), 25), normal((40, 4), 26)
    leaf = x.clone()[None].requires_grad_()
    values, indices, _ = layer(leaf)
    (gradients,) = torch.autograd.grad((values * upstream).sum(), leaf)
    found = {"values": values[0], "indices": indices[0], "gradients": gradients[0]}
    return arrays("residual_lfq", x=x, upstream=upstream, **found)


def binary_mapper():
    """Without draws; a linear layer with the rows of a table behind it, as in the paper."""
    layer = BinaryMapper(bits=4, kl_loss_threshold=0.5)
    x, table, upstream = normal((40, 4), 29, scale=1.5), normal((16, 4), 30), normal((40, 4), 31)
    leaf, rows = x.clone().requires_grad_(), table.clone().requires_grad_()
    one_hot, indices, loss = layer(
        leaf, straight_through=True, calc_aux_loss=True, deterministic=True, return_indices=True
    )
    values = one_hot @ rows
    gradients, by_table = torch.autograd.grad(
        (values * upstream).sum(), (leaf, rows), retain_graph=True
    )
    (by_loss,) = torch.autograd.grad(loss, leaf)
    found = {"values": values, "indices": indices, "gradients": gradients, "by_table": by_table}
    found |= {"loss": loss, "by_loss": by_loss}
    return arrays("binary_mapper", x=x, table=table, upstream=upstream, **found)


def make():
    """All goldens by name."""
    torch.manual_seed(0)  # constructors draw; nothing that is kept depends on it
    result = {"decay": np.float32(DECAY), "beta": np.float32(BETA)}
    for part in (
        euclidean,
        cosine,
        rotation,
        finite_scalar,
        perturbed,
        lookup_free,
        residual,
        residual_lookup_free,
        binary_mapper,
    ):
        result |= part()
    return result


def main():
    packages = ("vector-quantize-pytorch", "torch", "numpy")
    versions = np.array([f"{name} {importlib.metadata.version(name)}" for name in packages])
    np.savez_compressed(FILE, allow_pickle=False, versions=versions, **make())
    print(f"{FILE.name}: {FILE.stat().st_size / 1024:.0f} KiB, {', '.join(versions)}")


if __name__ == "__main__":
    main()
