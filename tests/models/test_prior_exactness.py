"""Priors are what they say: causal, normalised, and the same by steps as at once."""

import numpy as np
import pytest
from causal_support import (
    all_grids,
    before,
    composed,
    prior_by_steps,
    random_codes,
    reached,
)
from keras import ops
from prior_cases import KINDS, each_case, each_kind
from scipy import stats
from support import to_numpy

from keras_vqvae import models
from keras_vqvae.ops import causal_kernel_mask


def tensors(conditions):
    return {key: ops.convert_to_tensor(value) for key, value in conditions.items()}


@each_case
def test_steps_equal_the_call(case):
    prior = case.make()
    codes = random_codes(prior, 3)
    conditions = tensors(case.conditions(prior, 3))
    logits = to_numpy(prior(ops.convert_to_tensor(codes), **conditions))
    steps = prior_by_steps(prior, codes, **conditions)
    assert logits.dtype == "float32"
    assert np.ptp(logits[..., :2]) > 0.1  # the weights do something
    np.testing.assert_allclose(steps, logits, rtol=1e-5, atol=1e-5)


@each_case
def test_conditions_matter_at_every_position(case):
    prior = case.make()
    codes = ops.convert_to_tensor(random_codes(prior, 3))
    conditions = case.conditions(prior, 3)
    logits = to_numpy(prior(codes, **tensors(conditions)))
    for key, value in conditions.items():
        other = {**conditions, key: (value + 1) % 3 if key == "labels" else value + 1}
        difference = np.abs(to_numpy(prior(codes, **tensors(other))) - logits)
        assert (difference.max(axis=-1) > 1e-5).all()


@each_kind
@pytest.mark.parametrize("position", [(0, 0), (0, 4), (2, 1), (3, 4)])
def test_no_gradient_from_later_positions(case, position):
    prior = case.make()
    codes = ops.convert_to_tensor(random_codes(prior, 1))
    field = reached(
        lambda x: prior.head(prior.trunk(x), codes), (1, 4, 5, prior.embedding.dim), position
    )
    assert not (field & ~before((4, 5), position)).any()


@each_case
def test_a_code_changes_no_logits_up_to_its_own(case):
    """And it does change those of the next code.

    Only to rounding: the rows of a matrix product differ in their last bits with their place in a
    batch. That the gradient is exactly zero is the test above.
    """
    prior = case.make()
    codes = random_codes(prior, 1)
    conditions = tensors(case.conditions(prior, 1))
    flat = codes.reshape(-1)
    sizes = np.broadcast_to(prior.num_embeddings, codes.shape).reshape(-1)
    changed = np.repeat(flat[None], len(flat), axis=0)
    changed[np.arange(len(flat)), np.arange(len(flat))] = (flat + 1) % sizes
    alike = np.concatenate([flat[None], changed]).reshape(-1, *codes.shape[1:])
    repeated = {k: ops.repeat(v, len(alike), axis=0) for k, v in conditions.items()}
    logits = to_numpy(prior(ops.convert_to_tensor(alike), **repeated))
    logits = logits.reshape(len(alike), len(flat), -1)
    for i in range(len(flat)):
        np.testing.assert_allclose(logits[1 + i, : i + 1], logits[0, : i + 1], atol=1e-5)
        if i + 1 < len(flat):
            # The next code in order is next in depth, to the right, or at the start of a row.
            depth = codes.shape[3] if codes.ndim == 4 else 1
            if (i + 1) % (depth * codes.shape[2]):
                assert np.abs(logits[1 + i, i + 1] - logits[0, i + 1]).max() > 1e-3


def test_pixelcnn_sees_what_its_masks_compose_to_blind_spot_included():
    # A smooth activation: a relu could close a way by chance.
    prior = models.PixelCNN(
        (6, 7), 5, filters=8, residual_blocks=2, embedding_dim=4, kernel_size=3, activation="gelu"
    )
    codes = ops.convert_to_tensor(random_codes(prior, 1))
    a, b = (causal_kernel_mask((3, 3), 1, 1, m)[..., 0, 0] > 0 for m in "AB")
    chain = [(b, 1), (b, 1), (a, 1)]
    for position in [(0, 0), (3, 3), (5, 6), (5, 2), (4, 0)]:
        field = reached(lambda x: prior.head(prior.trunk(x), codes), (1, 6, 7, 4), position)
        np.testing.assert_array_equal(field, composed(chain, (6, 7), position))
    # From (5, 2): three steps up and right reach (2, 5), but never (4, 6): column 2 + 3 is the
    # farthest, and in row 4 only column 3 can be reached at once, 4 and 5 by no path at all.
    field = reached(lambda x: prior.head(prior.trunk(x), codes), (1, 6, 7, 4), (5, 2))
    assert field[4, 3]
    assert not field[4, 4:].any()


SEE_ALL = {
    "gated": lambda: models.GatedPixelCNN((5, 6), 5, filters=8, blocks=5, first_kernel_size=3),
    "transformer": lambda: models.TransformerPrior((5, 6), 5, hidden_dim=8, blocks=1),
}


@pytest.mark.parametrize("make", SEE_ALL.values(), ids=SEE_ALL)
def test_there_is_no_blind_spot(make):
    prior = make()
    codes = ops.convert_to_tensor(random_codes(prior, 1))
    for position in [(0, 0), (2, 0), (3, 2), (4, 5)]:
        shape = (1, 5, 6, prior.embedding.dim)
        field = reached(lambda x: prior.head(prior.trunk(x), codes), shape, position)
        np.testing.assert_array_equal(field, before((5, 6), position))


def test_pixelsnail_sees_by_attention_what_its_convolutions_do_not():
    """All codes before, but one: the last of the row above, where convolutions do not reach it.

    Attention sees a code in the features of a later position, and after that one there is none.
    """
    prior = models.PixelSNAIL((5, 6), 5, filters=8, blocks=1, first_kernel_size=3)
    codes = ops.convert_to_tensor(random_codes(prior, 1))
    shape = (1, 5, 6, prior.embedding.dim)
    for row, column in [(0, 0), (2, 0), (3, 2), (4, 5)]:
        expected = before((5, 6), (row, column))
        if row and column + 2 < 5:  # two layers reach two columns to the right
            expected[row - 1, 5] = False
        field = reached(lambda x: prior.head(prior.trunk(x), codes), shape, (row, column))
        np.testing.assert_array_equal(field, expected)


TINY = {
    "one": {"code_shape": (2, 2), "num_embeddings": 3},
    "depths": {"code_shape": (1, 2), "num_embeddings": 3, "depth": 2},
    "sizes": {"code_shape": (2, 1), "num_embeddings": (3, 2), "depth": 2, "num_classes": 2},
    "vector": {"code_shape": (1, 3), "num_embeddings": 4, "condition_shape": (2,)},
}
TINY_CASES = {
    f"{kind}-{name}": (case, options)
    for kind, case in KINDS.items()
    for name, options in TINY.items()
    if kind == "gated" or name == "sizes"
}


@pytest.mark.parametrize(("case", "options"), TINY_CASES.values(), ids=TINY_CASES)
def test_probabilities_of_all_grids_add_up_to_one(case, options):
    prior = case.make(**options)
    grids = all_grids(prior)
    conditions = {k: np.repeat(v, len(grids), 0) for k, v in case.conditions(prior, 1).items()}
    p = np.exp(prior.log_prob(grids, **conditions).astype("float64"))
    assert p.max() > 2 * p.min()
    assert p.sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("case", "options"),
    [
        # That of several sizes, with labels, has all that the others have.
        pytest.param(*c, id=name, marks=[] if name.endswith("sizes") else [pytest.mark.slow])
        for name, c in TINY_CASES.items()
    ],
)
def test_samples_match_the_likelihood(case, options):
    """χ² of 50 000 samples against `exp(log_prob)` of every grid there is."""
    prior = case.make(**options, scale=1.0)
    grids, n = all_grids(prior), 50_000
    conditions = {k: v[0] for k, v in case.conditions(prior, 1).items()}
    repeated = {k: np.repeat(np.asarray(v)[None], len(grids), 0) for k, v in conditions.items()}
    p = np.exp(prior.log_prob(grids, **repeated).astype("float64"))
    if "labels" in conditions:
        conditions["labels"] = int(conditions["labels"])
    samples = prior.sample(n, seed=1, batch_size=n, **conditions)
    index = {grid.tobytes(): i for i, grid in enumerate(grids)}
    counts = np.bincount([index[s.tobytes()] for s in samples], minlength=len(grids))
    expected = n * p / p.sum()
    # χ² needs more than a few in each cell: those of less make one.
    rare = expected < 20
    assert rare.mean() < 0.5
    counts, expected = (
        np.append(x[~rare], x[rare].sum()) if rare.any() else x for x in (counts, expected)
    )
    # One seed, so the figure is fixed; a wrong distribution gives 1e-10 and less.
    assert stats.chisquare(counts, expected).pvalue > 0.01
