"""Search spaces of priors."""

import inspect
import math

import keras_tuner
import numpy as np
import pytest
from support import same_bits, to_numpy, values_of

from keras_vqvae import models
from keras_vqvae.hypermodels import PriorHyperModel, make_tuner, read_trials
from keras_vqvae.runs import PriorConfig, RunConfig, TrainingConfig
from keras_vqvae.runs.stages import code_batches

FAMILIES = {
    "pixelcnn": models.PixelCNN,
    "gated_pixelcnn": models.GatedPixelCNN,
    "pixelsnail": models.PixelSNAIL,
    "transformer": models.TransformerPrior,
}
RUN = RunConfig(prior_training=TrainingConfig(batch_size=8))
TINY = {"filters": 4, "residual_blocks": 1, "embedding_dim": 2, "dropout": 0.0, "batch_size": 8}


def tiny(run=RUN, **space):
    return PriorHyperModel((4, 4), 8, run, **{**TINY, **space})


def codes(count=16, seed=0):
    return np.random.default_rng(seed).integers(0, 8, (count, 4, 4)).astype("int32")


@pytest.mark.parametrize("family", FAMILIES)
def test_names_and_defaults_are_those_of_the_constructor(family):
    hp = keras_tuner.HyperParameters()
    hypermodel = PriorHyperModel((4, 4), 8, family=family)
    found = hypermodel.arguments(hp)
    assert found.pop("family") == family
    assert (found.pop("learning_rate"), found.pop("batch_size")) == (1e-3, 64)
    signature = inspect.signature(FAMILIES[family].__init__).parameters
    own = {n for n, p in signature.items() if p.default is not p.empty} - {
        "num_classes",
        "activation",
    }
    assert found == {name: signature[name].default for name in own}
    model = hypermodel.build(hp)
    assert type(model) is FAMILIES[family]
    assert {name: model.get_config()[name] for name in found} == found


def test_the_defaults_are_those_of_a_run():
    hypermodel = PriorHyperModel((7, 7), 512)
    hp = keras_tuner.HyperParameters()
    assert hypermodel.config(hp) == RunConfig()
    run = RunConfig(prior=PriorConfig(filters=8), seed=3)
    config = PriorHyperModel((4, 4), 8, run, num_classes=2, learning_rate=0.01).config(
        keras_tuner.HyperParameters()
    )
    assert (config.seed, config.prior.filters, config.prior.conditional) == (3, 128, True)
    assert config.prior_training.learning_rate == 0.01
    for other in ({"family": "transformer"}, {"kernel_size": 5}):
        with pytest.raises(ValueError, match="prior of a run is a PixelCNN"):
            PriorHyperModel((4, 4), 8, **other).config(keras_tuner.HyperParameters())


def test_the_runs_batch_size_holds_where_it_is_not_searched():
    run = RunConfig(prior_training=TrainingConfig(batch_size=24))  # no power of two
    for space, size in (({}, 24), ({"batch_size": 16}, 16), ({"batch_size": [32, 16]}, 32)):
        hypermodel, hp = PriorHyperModel((4, 4), 8, run, **space), keras_tuner.HyperParameters()
        assert hypermodel.config(hp).prior_training.batch_size == size
        assert hypermodel.batch_size(hp) == size


def test_the_runs_patience_ends_a_trial():
    # A learning rate so small that, in float32, the loss of epoch 1 stays the lowest or equal.
    run = RunConfig(prior_training=TrainingConfig(batch_size=8, patience=2))
    hypermodel, hp = tiny(run, learning_rate=1e-12), keras_tuner.HyperParameters()
    data = {"validation_data": codes(seed=1), "epochs": 9, "verbose": 0}
    losses = hypermodel.fit(hp, hypermodel.build(hp), codes(8), **data).history["val_loss"]
    assert len(losses) == losses.index(min(losses)) + 1 + 2 < 9


def test_names_are_narrowed_or_fixed():
    hp = keras_tuner.HyperParameters()
    tiny(filters=(4, 16), residual_blocks=(1, 2), kernel_size=[3, 7], dropout=0.1).arguments(hp)
    spaces = {one.name: one for one in hp.space}
    assert {spaces["filters"].random_sample(seed) for seed in range(40)} == {4, 8, 16}
    assert (spaces["residual_blocks"].min_value, spaces["residual_blocks"].max_value) == (1, 2)
    assert spaces["kernel_size"].values == [3, 7]
    assert spaces["dropout"].value == 0.1


def test_families_have_their_own_arguments():
    hypermodel = PriorHyperModel((4, 4), 8, family=["gated_pixelcnn", "pixelcnn", "transformer"])
    hp = keras_tuner.HyperParameters()
    first = hypermodel.arguments(hp)
    assert first["filters"] == 64
    assert "residual_blocks" not in first
    hp = keras_tuner.HyperParameters()
    hp.values = {"family": "transformer"}
    assert set(hypermodel.arguments(hp)) == {
        "family",
        "blocks",
        "hidden_dim",
        "num_heads",
        "dropout",
        "learning_rate",
        "batch_size",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"family": "pixelrnn"}, "`family` should be one of pixelcnn, gated_pixelcnn"),
        ({"family": []}, "`family` should be"),
        ({"filter": 4}, "'filter' should be one of the hyperparameters filters"),
        ({"blocks": 2}, "'blocks' should be one of"),  # a PixelCNN has residual blocks
        ({"filters": 5}, "`filters`: .*even"),
        ({"filters": (5, 9)}, "powers of two"),
        ({"kernel_size": [3, 4]}, "`kernel_size`"),
        ({"dropout": 1.0}, "`dropout`"),
        ({"learning_rate": 0.0}, "`learning_rate`"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"family": "transformer", "num_heads": 0}, "`num_heads`"),
    ],
)
def test_wrong_spaces_are_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        PriorHyperModel((4, 4), 8, **arguments)


def test_a_cosine_schedule_needs_the_number_of_grids():
    run = RunConfig(prior_training=TrainingConfig(schedule="cosine", epochs=2))
    with pytest.raises(ValueError, match=r"`train_images`.*cosine"):
        tiny(run)
    hypermodel = PriorHyperModel((4, 4), 8, run, train_images=24, **TINY)
    schedule = hypermodel.build(keras_tuner.HyperParameters()).optimizer._learning_rate
    assert schedule.decay_steps == 6  # 2 epochs of 3 batches of 8, the hyperparameter


def test_priors_over_the_budget_of_parameters_are_refused_before_training(tmp_path):
    hypermodel = tiny(filters=[2, 64], learning_rate=0.01, max_parameters=2000)
    tuner = make_tuner("grid", hypermodel, tmp_path / "s", trials=2)
    tuner.search(codes(), validation_data=codes(seed=1), epochs=1, verbose=0)
    small, large = read_trials(tmp_path / "s")
    assert (small.status, large.status) == ("COMPLETED", "FAILED")
    hp = keras_tuner.HyperParameters()
    hp.values = {"filters": 64}
    count = hypermodel.build(hp).count_params()
    assert f"has {count} parameters, above max_parameters=2000" in large.message


def test_a_search_without_validation_data_ends_at_once(tmp_path):
    tuner = make_tuner("random", tiny(), tmp_path / "s", trials=1)
    with pytest.raises(keras_tuner.errors.FatalValueError, match="validation_data"):
        tuner.search(codes(), epochs=1, verbose=0)


def test_batches_of_codes_have_the_same_order_in_every_trial():
    batches = code_batches(codes(), None, TrainingConfig(batch_size=4), seed=0, shuffle=True)
    histories = []
    for _ in range(2):
        hp = keras_tuner.HyperParameters()
        hypermodel = tiny(learning_rate=0.01)
        model = hypermodel.build(hp)
        held_out = codes(seed=1)
        found = hypermodel.fit(hp, model, batches, validation_data=held_out, epochs=2, verbose=0)
        histories.append(found.history)
    assert histories[0] == histories[1]
    assert histories[0]["parameters"] == [model.count_params()] * 2


def test_objectives_are_what_priors_log(tmp_path):
    known = "val_bits_per_code, val_loss, .*bits_per_code"
    with pytest.raises(ValueError, match=f"should be one of {known}"):
        make_tuner("random", tiny(), tmp_path / "s", objective="val_bits_per_dimension")


@pytest.mark.parametrize(
    "policy", ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_the_score_is_the_cross_entropy_of_held_out_codes(policy, tmp_path):
    run = RunConfig(prior_training=RUN.prior_training, dtype_policy=policy)
    hypermodel = tiny(run, filters=[4, 8], learning_rate=0.01, num_classes=2)
    tuner = make_tuner("random", hypermodel, tmp_path / "s", trials=2)
    labels, held_out = np.arange(16) % 2, (codes(seed=1), np.arange(16) % 2)
    tuner.search(codes(), labels, validation_data=held_out, epochs=1, verbose=0)
    first, second = read_trials(tmp_path / "s")
    assert (first.values["filters"], second.values["filters"]) == (4, 8)
    best = tuner.get_best_models()[0]
    assert best.trunk.compute_dtype == policy.removeprefix("mixed_")
    bits = -best.log_prob(*held_out).mean() / 16 / math.log(2)
    # bfloat16 has 8 bits, and other batches other roundings.
    assert min(first.score, second.score) == pytest.approx(
        bits, rel=1e-5 if policy == "float32" else 1e-2
    )


def test_trials_have_the_seed_of_the_run():
    first, second = (tiny().build(keras_tuner.HyperParameters()) for _ in range(2))
    assert same_bits(values_of(first), values_of(second))


@pytest.mark.slow
def test_promoted_trials_go_on_from_their_last_epoch(tmp_path, monkeypatch):
    seen = []
    fit = PriorHyperModel.fit

    def watched(self, hp, model, *args, **kwargs):
        before = [to_numpy(v) for v in (*model.weights, *model.optimizer.variables)]
        result = fit(self, hp, model, *args, **kwargs)
        after = [to_numpy(v) for v in (*model.weights, *model.optimizer.variables)]
        seen.append((dict(hp.values), before, after))
        return result

    monkeypatch.setattr(PriorHyperModel, "fit", watched)
    hypermodel = tiny(filters=[4, 8, 16], learning_rate=0.01)
    tuner = make_tuner("hyperband", hypermodel, tmp_path / "s", epochs=3, seed=3)
    tuner.search(codes(), validation_data=codes(seed=1), verbose=0)
    by_trial = dict(zip(tuner.oracle.end_order, seen, strict=True))
    promoted = [one for one in seen if "tuner/trial_id" in one[0]]
    assert promoted
    for values, before, _ in promoted:
        assert same_bits(before, by_trial[values["tuner/trial_id"]][2])
