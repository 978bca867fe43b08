"""Search spaces, the objective, and tuners that begin with the defaults."""

import dataclasses
import json
import math

import keras
import keras_tuner
import numpy as np
import pytest
from support import grey_images, same_bits, to_numpy, values_of

from keras_vqvae.evaluation import evaluate_vqvae
from keras_vqvae.hypermodels import (
    TUNERS,
    CodeLength,
    VQVAEHyperModel,
    make_tuner,
    read_trials,
)
from keras_vqvae.runs import RunConfig, TrainingConfig, VQVAEConfig

RUN = RunConfig(
    vqvae=VQVAEConfig(likelihood="discretized_logistic", embeddings_initializer="uniform"),
    vqvae_training=TrainingConfig(batch_size=8),
)
TINY = {"width": 4, "depth": 1, "embedding_dim": 2, "residual_blocks": 0}


def tiny(**space):
    return VQVAEHyperModel((8, 8, 1), RUN, **{**TINY, **space})


def test_the_defaults_are_those_of_a_run():
    hp = keras_tuner.HyperParameters()
    hypermodel = VQVAEHyperModel((28, 28, 1))
    assert hypermodel.config(hp) == RunConfig(vqvae=VQVAEConfig(likelihood="discretized_logistic"))
    model = hypermodel.build(hp)
    assert (model.num_embeddings, model.code_shape) == (512, (7, 7))
    assert "beta" in hp
    assert hp.get("decay") == 0.99


def test_what_the_run_says_holds_where_it_is_not_searched():
    vqvae = VQVAEConfig(quantizer="lookup_free", num_embeddings=8, widths=(4, 8, 16))
    hp = keras_tuner.HyperParameters()
    found = VQVAEHyperModel((8, 8, 1), RunConfig(vqvae=vqvae)).config(hp).vqvae
    assert (found.quantizer, len(found.widths)) == ("lookup_free", 3)
    assert "update" not in hp
    given, hp = {"quantizer": "gumbel", "depth": 1}, keras_tuner.HyperParameters()
    found = VQVAEHyperModel((8, 8, 1), RunConfig(vqvae=vqvae), **given).config(hp).vqvae
    assert (found.quantizer, len(found.widths)) == ("gumbel", 1)


def test_the_runs_own_rate_of_codes_holds_for_codes_that_learn_by_gradient():
    run = RunConfig(vqvae=VQVAEConfig(update="gradient", codebook_learning_rate=0.02))
    for space, rate in (
        ({"update": "gradient"}, 0.02),
        ({"update": "gradient", "codebook_learning_rate": 0.03}, 0.03),
        ({}, None),  # moving averages, the default of the search
        ({"quantizer": "sim_vq"}, None),
    ):
        config = VQVAEHyperModel((8, 8, 1), run, **space).config(keras_tuner.HyperParameters())
        assert config.vqvae.codebook_learning_rate == rate


def test_the_runs_patience_ends_a_trial():
    # A learning rate so small that, in float32, the loss of epoch 1 stays the lowest or equal.
    training = TrainingConfig(batch_size=8, patience=2)
    run = dataclasses.replace(RUN, vqvae_training=training)
    space = {**TINY, "num_embeddings": 4, "update": "gradient", "learning_rate": 1e-12}
    hypermodel, hp = VQVAEHyperModel((8, 8, 1), run, **space), keras_tuner.HyperParameters()
    data = {"validation_data": grey_images(8, seed=1), "epochs": 9, "verbose": 0}
    seen = []
    own = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    history = hypermodel.fit(hp, hypermodel.build(hp), grey_images(8), callbacks=[own], **data)
    losses = history.history["val_loss"]
    assert len(losses) == losses.index(min(losses)) + 1 + 2 < 9
    assert seen == list(range(len(losses)))


def test_names_are_narrowed_or_fixed():
    hypermodel = tiny(num_embeddings=(16, 64), beta=[0.1, 0.5], learning_rate=(0.001, 0.002))
    hp = keras_tuner.HyperParameters()
    hypermodel.config(hp)
    spaces = {one.name: one for one in hp.space}
    size, beta, rate = (spaces[n] for n in ("num_embeddings", "beta", "learning_rate"))
    assert (size.min_value, size.max_value, size.default) == (16, 64, 64)
    assert {size.random_sample(seed) for seed in range(40)} == {16, 32, 64}
    assert beta.values == [0.1, 0.5]
    assert (rate.min_value, rate.max_value) == (0.001, 0.002)
    assert spaces["width"].value == 4  # fixed, and recorded


def test_a_list_of_whole_and_other_numbers_is_one_of_floats():
    hp = keras_tuner.HyperParameters()
    tiny(beta=[0.1, 0.25, 1]).config(hp)
    (beta,) = (one for one in hp.space if one.name == "beta")
    assert (beta.values, beta.default) == ([0.1, 0.25, 1.0], 0.25)
    assert all(type(value) is float for value in beta.values)


def test_what_depends_on_another_choice_is_searched_with_it_alone():
    hp = keras_tuner.HyperParameters()
    tiny(update="gradient").config(hp)
    assert "decay" not in hp
    hp = keras_tuner.HyperParameters()
    lookup_free = VQVAEHyperModel((8, 8, 1), RUN, quantizer="lookup_free", num_embeddings=8)
    config = lookup_free.config(hp)
    assert "update" not in hp
    assert config.vqvae.quantizer == "lookup_free"
    hp = keras_tuner.HyperParameters()
    hp.values = {"update": "gradient"}
    tiny().config(hp)
    assert "decay" not in {one.name for one in hp.space if hp.is_active(one)}
    for quantizer, missing in {
        "finite_scalar": {"beta", "embedding_dim"},
        "lookup_free": {"embedding_dim"},
        "gumbel": {"beta"},
        "sim_vq": set(),
    }.items():
        hp = keras_tuner.HyperParameters()
        VQVAEHyperModel((8, 8, 1), RUN, quantizer=quantizer, num_embeddings=8).config(hp)
        found = {one.name for one in hp.space}
        assert {"beta", "embedding_dim"} - found == missing
        assert not {"update", "decay"} & found


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"quantizer": "lookup_free", "decay": [0.5, 0.9]}, "`decay` needs quantizer in"),
        ({"quantizer": "finite_scalar", "beta": 1.0}, "`beta` needs quantizer in"),
        (
            {"quantizer": ["finite_scalar", "gumbel"], "beta": (0.1, 1.0)},
            "quantizer=finite",
        ),
        ({"update": "gradient", "decay": 0.9}, "`decay` needs update in"),
    ],
)
def test_what_no_trial_has_a_use_for_is_refused(space, message):
    with pytest.raises(ValueError, match=message):
        VQVAEHyperModel((8, 8, 1), RUN, num_embeddings=8, **space)


def test_what_is_not_searched_by_default_may_be():
    hp = keras_tuner.HyperParameters()
    space = {"quantizer": ["vector", "sim_vq"], "depth": (1, 2), "num_embeddings": 8}
    hypermodel = VQVAEHyperModel((8, 8, 1), RUN, width=4, embedding_dim=2, **space)
    assert hypermodel.config(hp).vqvae.widths == (2, 4)
    assert {one.name for one in hp.space} >= {"quantizer", "depth", "update"}
    hp = keras_tuner.HyperParameters()
    hp.values = {"quantizer": "sim_vq", "depth": 1}
    vqvae = hypermodel.config(hp).vqvae
    assert (vqvae.quantizer, vqvae.widths) == ("sim_vq", (4,))


def test_codes_that_learn_by_gradient_do_so_at_ten_times_the_rate_of_the_networks():
    trial = {"num_embeddings": 8, "beta": 0.25, "learning_rate": 0.002}
    model = tiny(**trial, update="gradient").build(keras_tuner.HyperParameters())
    rates = [float(o.learning_rate) for o in model.optimizer._inner_optimizers]
    assert sorted(rates) == pytest.approx([0.002, 0.02])
    plain = tiny(**trial, update="ema").build(keras_tuner.HyperParameters())
    assert float(plain.optimizer.learning_rate) == pytest.approx(0.002)


@pytest.mark.slow
def test_codes_have_a_learning_rate_of_their_own_if_they_learn_by_gradient(tmp_path):
    space = {"codebook_learning_rate": (0.001, 0.1), "num_embeddings": 8, "beta": 0.25}
    assert tiny(**space).config(keras_tuner.HyperParameters()).vqvae.update == "ema"
    hypermodel = tiny(**space, update="gradient", learning_rate=[0.01, 0.02])
    hp = keras_tuner.HyperParameters()
    assert hypermodel.config(hp).vqvae.codebook_learning_rate == 0.01
    hp = keras_tuner.HyperParameters()
    hp.values = {"codebook_learning_rate": 0.05}
    optimizers = hypermodel.build(hp).optimizer._inner_optimizers
    assert sorted(float(o.learning_rate) for o in optimizers) == pytest.approx([0.01, 0.05])
    tuner = make_tuner("grid", hypermodel, tmp_path / "s", trials=2)
    tuner.search(grey_images(16), validation_data=grey_images(8, seed=1), epochs=1, verbose=0)
    assert [t.status for t in read_trials(tmp_path / "s")] == ["COMPLETED"] * 2
    best = tuner.get_best_models()[0]
    assert len(best.optimizer._inner_optimizers) == 2


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"codebook_learning_rate": 0.0}, "`codebook_learning_rate`"),
        ({"num_embedings": 4}, "'num_embedings' should be one of.*num_embeddings"),
        ({"num_embeddings": (60, 128)}, "`num_embeddings`.*powers of two"),
        ({"num_embeddings": (128, 64)}, "first bound should be below"),
        ({"num_embeddings": []}, "not be empty"),
        ({"num_embeddings": 1}, "`num_embeddings` should be"),
        ({"update": ("ema", "gradient")}, "no range"),
        ({"update": ["ema", "sgd"]}, "'sgd'"),
        ({"beta": (0.0, 1.0)}, "positive"),
        ({"beta": ("a", "b")}, "`beta`: a range is two numbers, low and high"),
        ({"beta": (0.1, 0.5, 1)}, r"`beta`: a range is two numbers.*\(0.1, 0.5, 1\)"),
        ({"num_embeddings": (64, 1e3)}, "`num_embeddings`: the bounds.*64, 1000.0"),
        ({"residual_blocks": (0, 1.5)}, "`residual_blocks`: the bounds.*whole numbers.*0, 1.5"),
        ({"width": 0}, "positive integer"),
    ],
)
def test_wrong_spaces_are_refused_at_once(space, message):
    with pytest.raises(ValueError, match=message):
        VQVAEHyperModel((8, 8, 1), **space)


def test_models_over_the_budget_of_bits_are_refused_before_training():
    hypermodel = VQVAEHyperModel((8, 8, 1), RUN, **TINY, num_embeddings=64, max_bits_per_image=95)
    hp = keras_tuner.HyperParameters()
    with pytest.raises(
        keras_tuner.errors.FailedTrialError, match="take 96 bits, above max_bits_per_image=95"
    ):
        hypermodel.fit(hp, hypermodel.build(hp), grey_images(8), validation_data=grey_images(8))


def test_trials_have_the_seed_of_the_run():
    hypermodel = tiny(num_embeddings=8)
    keras.utils.set_random_seed(1)
    first = hypermodel.build(keras_tuner.HyperParameters())
    keras.utils.set_random_seed(2)
    second = hypermodel.build(keras_tuner.HyperParameters())
    assert same_bits(values_of(first), values_of(second))


def test_the_objective_is_what_images_cost():
    model = tiny(num_embeddings=8).build(keras_tuner.HyperParameters())
    images = grey_images(12)
    logs = {}
    callback = CodeLength(images)
    callback.set_model(model)
    callback.on_epoch_end(0, logs)
    codes = model.encode(images)
    p = np.bincount(codes.ravel()) / codes.size
    entropy = -sum(q * math.log2(q) for q in p if q)
    nats = -np.mean(model.reconstruction_log_prob(images), dtype="float64")
    expected = (nats / math.log(2) + codes[0].size * entropy) / 64
    assert logs["val_bits_per_dimension"] == pytest.approx(expected, rel=1e-6)
    assert logs["val_mse"] == evaluate_vqvae(model, images)["mse"]


def test_an_objective_needs_a_likelihood_of_grey_levels():
    run = RunConfig(vqvae=VQVAEConfig(likelihood="bernoulli"))
    model = VQVAEHyperModel((8, 8, 1), run, **TINY, num_embeddings=8).build(
        keras_tuner.HyperParameters()
    )
    callback = CodeLength(grey_images(4))
    callback.set_model(model)
    with pytest.raises(ValueError, match=r"Bernoulli.*'discretized_logistic'"):
        callback.on_epoch_end(0, {})


@pytest.mark.parametrize(
    "kind", [k if k == "random" else pytest.param(k, marks=pytest.mark.slow) for k in TUNERS]
)
def test_the_first_trial_has_the_defaults_and_all_are_scored(kind, tmp_path):
    hypermodel = tiny(num_embeddings=[8, 16], beta=0.25, learning_rate=0.001, update="gradient")
    tuner = make_tuner(kind, hypermodel, tmp_path / "s", trials=2, epochs=2, seed=3)
    tuner.search(grey_images(16), epochs=1, validation_data=grey_images(8, seed=1), verbose=0)
    trials = [tuner.oracle.trials[name] for name in tuner.oracle.start_order]
    assert trials[0].hyperparameters.get("num_embeddings") == 8
    assert len(trials) >= 2
    for trial in trials:
        assert trial.status == "COMPLETED", trial.message
        assert 1.0 < trial.score < 20.0
    best = tuner.get_best_hyperparameters()[0]
    assert hypermodel.config(best).vqvae.beta == 0.25
    assert json.loads((tmp_path / "s" / "oracle.json").read_text())["end_order"]


@pytest.mark.slow
def test_promoted_trials_go_on_from_their_last_epoch(tmp_path, monkeypatch):
    """With weights and optimizer; KerasTuner's own takes the best epoch's weights alone."""
    hypermodel = tiny(num_embeddings=[8, 16, 32], beta=0.25, learning_rate=0.01, update="gradient")
    starts = []
    fit = VQVAEHyperModel.fit

    def watched(self, hp, model, *args, **kwargs):
        before = [to_numpy(v).copy() for v in (*model.weights, *model.optimizer.variables)]
        result = fit(self, hp, model, *args, **kwargs)
        after = [to_numpy(v).copy() for v in (*model.weights, *model.optimizer.variables)]
        starts.append((dict(hp.values), before, after, int(model.optimizer.iterations)))
        return result

    monkeypatch.setattr(VQVAEHyperModel, "fit", watched)
    tuner = make_tuner("hyperband", hypermodel, tmp_path / "s", epochs=3, seed=3)
    tuner.search(grey_images(16), validation_data=grey_images(8, seed=1), verbose=0)
    by_trial = dict(zip(tuner.oracle.end_order, starts, strict=True))
    promoted = [s for s in starts if "tuner/trial_id" in s[0]]
    assert promoted
    for values, before, _, steps in promoted:
        _, _, after, _ = by_trial[values["tuner/trial_id"]]
        assert same_bits(before, after)
        assert steps == 2 * values["tuner/epochs"]  # 16 images by 8, all epochs together
        drawn = []
        for state in (5, 7):  # whatever the process did before
            np.random.seed(state)
            hp = keras_tuner.HyperParameters()
            hp.values = values
            tuner._build_hypermodel(hp)
            drawn.append(np.random.random())
        assert drawn[0] == drawn[1]


def test_trials_are_read_from_the_files_of_a_search(tmp_path):
    hypermodel = VQVAEHyperModel(
        (8, 8, 1),
        RUN,
        **TINY,
        num_embeddings=[8, 64],
        beta=0.25,
        update="gradient",
        learning_rate=0.001,
        max_bits_per_image=60,
    )
    tuner = make_tuner("grid", hypermodel, tmp_path / "s", trials=2)
    tuner.search(grey_images(16), validation_data=grey_images(8, seed=1), epochs=1, verbose=0)
    first, second = read_trials(tmp_path / "s")
    assert (first.status, first.values["num_embeddings"], first.message) == ("COMPLETED", 8, "")
    assert first.score == first.figures["val_bits_per_dimension"]
    assert first.figures["val_code_bits_per_dimension"] <= 16 * 3 / 64
    assert (second.status, second.score) == ("FAILED", None)
    assert "96 bits, above max_bits_per_image=60" in second.message
    file = tmp_path / "s" / f"trial_{second.name}" / "trial.json"
    file.write_text(file.read_text()[:100])
    with pytest.raises(ValueError, match=r"trial.json.*damaged"):
        read_trials(tmp_path / "s")
    with pytest.raises(FileNotFoundError, match="trial_…"):
        read_trials(tmp_path)


def test_a_search_goes_on(tmp_path):
    hypermodel = tiny(num_embeddings=[8, 16, 32], beta=0.25, learning_rate=0.001)
    data = {"validation_data": grey_images(8, seed=1), "epochs": 1, "verbose": 0}
    first = make_tuner("random", hypermodel, tmp_path / "s", trials=1)
    first.search(grey_images(16), **data)
    second = make_tuner("random", hypermodel, tmp_path / "s", trials=2)
    second.search(grey_images(16), **data)
    assert len(second.oracle.end_order) == 2
    kept, again = (t.oracle.trials[first.oracle.end_order[0]].score for t in (first, second))
    assert kept == again


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "randm"}, "`kind` should be one of random, bayesian, grid, hyperband"),
        ({"kind": "random", "trials": 0}, "`trials` should be at least 1"),
        ({"kind": "random", "direction": "up"}, "`direction` should be"),
    ],
)
def test_wrong_arguments_of_a_tuner(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        make_tuner(**{"hypermodel": tiny(), "directory": tmp_path, **arguments})


def test_a_search_without_validation_data_ends_at_once(tmp_path):
    tuner = make_tuner("random", tiny(num_embeddings=8), tmp_path / "s", trials=2)
    with pytest.raises(keras_tuner.errors.FatalValueError, match="validation_data"):
        tuner.search(grey_images(8), epochs=1, verbose=0)
