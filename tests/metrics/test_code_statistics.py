import numpy as np
import pytest
import scipy.stats
from support import to_numpy

from keras_vqvae.metrics import CodeStatistics


def results(metric):
    return {key: float(value) for key, value in metric.result().items()}


def test_is_scipys_entropy_of_all_codes_seen():
    indices = np.random.default_rng(0).integers(0, 6, (3, 50))
    metric = CodeStatistics(8)
    for batch in indices:
        metric.update_state(batch)
    counts = np.bincount(indices.ravel(), minlength=8)
    assert results(metric)["perplexity"] == pytest.approx(
        np.exp(scipy.stats.entropy(counts)),
        rel=1e-5,  # float32
    )
    assert results(metric)["codebook_usage"] == 6 / 8


def test_trap_22_perplexity_does_not_depend_on_the_batch_size():
    """One vector a batch has perplexity 1 each; together they are all codes."""
    indices = np.arange(16) % 8
    for size in (1, 4, 16):
        metric = CodeStatistics(8)
        for batch in indices.reshape(-1, size):
            metric.update_state(batch)
        assert results(metric) == pytest.approx(
            {"perplexity": 8.0, "codebook_usage": 1.0}, rel=1e-6
        )


def test_trap_22_usage_is_exact_over_many_batches():
    metric = CodeStatistics(512)
    for batch in np.arange(512).reshape(-1, 8):
        metric.update_state(batch)
    assert results(metric)["codebook_usage"] == 1.0
    assert results(metric)["perplexity"] == pytest.approx(512, rel=1e-5)


def test_counts_stay_exact_and_the_result_finite_for_large_epochs():
    metric = CodeStatistics(2)
    metric.counts.assign([2.0**24 - 1, 0.0])
    metric.update_state(np.array([0]))
    assert to_numpy(metric.counts)[0] == 2.0**24
    assert results(metric)["perplexity"] == 1.0


def test_masked_positions_are_not_counted():
    metric = CodeStatistics(4)
    metric.update_state(np.array([[0, -1], [-1, 1]]))
    assert to_numpy(metric.counts).tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("indices", [[0, 4], [-2, 0]])
def test_indices_of_another_table_are_refused(indices):
    metric = CodeStatistics(4, name="codes")
    with pytest.raises(
        ValueError, match=r"'codes'.*\[-1, 4\).*" + str(indices).replace("[", r"\[")
    ):
        metric.update_state(np.array([indices]))


@pytest.mark.parametrize("wrong", [0, 2.5])
def test_the_number_of_codes_is_a_positive_integer(wrong):
    with pytest.raises(ValueError, match=r"`num_embeddings`.*positive integer"):
        CodeStatistics(wrong)


def test_the_prefix_is_put_before_the_names():
    assert set(CodeStatistics(4, prefix="top/").result()) == {
        "top/perplexity",
        "top/codebook_usage",
    }


def test_before_any_update_perplexity_is_one_and_usage_none():
    assert results(CodeStatistics(4)) == {"perplexity": 1.0, "codebook_usage": 0.0}
