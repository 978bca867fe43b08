import types

import pytest

from keras_vqvae.runs.errors import NonFiniteLossError
from keras_vqvae.runs.watching import StopOnNonFiniteLoss, WarnOfCollapse


def epochs(callback, usages, name="codebook_usage"):
    for epoch, usage in enumerate(usages):
        callback.on_epoch_end(epoch, {name: usage, f"val_{name}": 0.0, "loss": 1.0})


@pytest.mark.parametrize("name", ["codebook_usage", "depth_1/codebook_usage"])
def test_a_collapse_is_told_once_with_remedies(name):
    callback = WarnOfCollapse()
    epochs(callback, [0.05, 0.05, 0.5, 0.05, 0.05], name)  # never three in a row
    with pytest.warns(UserWarning, match=rf"5\.0% of the codes.*`{name}`.*`revival`") as caught:
        epochs(callback, [0.05, 0.05, 0.05], name)
    assert len(caught) == 1


def test_a_table_larger_than_the_data_is_judged_by_what_can_be_used():
    model = types.SimpleNamespace(quantizer=types.SimpleNamespace(table_sizes=(1000,)))
    callback = WarnOfCollapse(vectors=200)  # at most a fifth of the codes: the bound is 2 %
    callback.set_model(model)
    callback.on_epoch_begin(0)
    epochs(callback, [0.03] * 9)
    with pytest.warns(UserWarning, match=r"1\.0% of the codes.*below 2\.0%"):
        epochs(callback, [0.01] * 3)


def test_a_codebook_in_use_is_no_collapse():
    epochs(WarnOfCollapse(), [0.1, 0.2, 0.9, 1.0])


def test_the_terms_that_failed_are_named():
    callback = StopOnNonFiniteLoss("VQ-VAE", lambda: "epoch 4")
    names = ("reconstruction_loss", "commitment_loss")
    callback.set_model(types.SimpleNamespace(term_metrics=dict.fromkeys(names)))
    callback.on_epoch_begin(4)
    good = {"loss": 1.0, "reconstruction_loss": 1.0, "commitment_loss": 0.0}
    callback.on_train_batch_end(6, good)
    bad = {**good, "loss": float("inf"), "commitment_loss": float("inf")}
    match = (
        r"is inf \(in `commitment_loss`\) in epoch 5, step 8\. The checkpoint of epoch 4 is kept"
    )
    with pytest.raises(NonFiniteLossError, match=match):
        callback.on_train_batch_end(7, bad)
