import dataclasses
import json

import pytest

from keras_vqvae import likelihoods
from keras_vqvae.runs import (
    DataConfig,
    PriorConfig,
    RunConfig,
    TrainingConfig,
    VQVAEConfig,
    demo_config,
)
from keras_vqvae.runs.building import build_quantizer


@pytest.mark.parametrize(
    "config",
    [
        RunConfig(),
        demo_config(),
        demo_config(smoke=True),
        RunConfig(
            data=DataConfig("x", image_size=(8, 16), value_range=(0, 1), color="rgb"),
            vqvae=VQVAEConfig(widths=(4, 8, 16), update="gradient"),
            prior=PriorConfig(conditional=True),
            vqvae_training=TrainingConfig(clip_norm=1.0, patience=3),
            seed=3,
        ),
    ],
)
def test_round_trip_through_json(config):
    assert RunConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert hash(config) == hash(RunConfig.from_dict(config.to_dict()))


def test_short_forms():
    assert DataConfig(image_size=8).image_size == (8, 8)
    assert VQVAEConfig(widths=8).widths == (8,)


def test_what_is_left_out_has_its_default():
    config = RunConfig.from_dict({"vqvae": {"num_embeddings": 7}})
    assert config == RunConfig(vqvae=VQVAEConfig(num_embeddings=7))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"vqvae": {"embedings": 3}}, "unknown settings: vqvae.embedings"),
        ({"sed": 3}, "unknown settings: sed"),
        ({"vqvae": 3}, "group of settings"),
        ({"format": "other"}, "no configuration"),
        ({"version": 99}, "version 99"),
        ({"vqvae": {"num_embeddings": 0}}, "num_embeddings=0"),
    ],
)
def test_unknown_content_is_named(values, text):
    with pytest.raises(ValueError, match=text):
        RunConfig.from_dict(values)


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        (VQVAEConfig, "num_embeddings", 0),
        (VQVAEConfig, "num_embeddings", 2.5),
        (VQVAEConfig, "num_embeddings", True),
        (VQVAEConfig, "widths", (0,)),
        (VQVAEConfig, "widths", ()),
        (VQVAEConfig, "beta", -1.0),
        (VQVAEConfig, "decay", 1.0),
        (VQVAEConfig, "codebook_learning_rate", 0.0),
        (VQVAEConfig, "codebook_learning_rate", 0.1),  # of codes that follow moving averages
        (PriorConfig, "filters", 5),
        (PriorConfig, "dropout", 1.0),
        (TrainingConfig, "epochs", 0),
        (TrainingConfig, "learning_rate", float("nan")),
        (TrainingConfig, "clip_norm", 0.0),
        (TrainingConfig, "patience", 0),
        (DataConfig, "image_size", (8, 0)),
        (DataConfig, "image_size", (8, 8, 3)),
        (DataConfig, "value_range", "01"),
        (DataConfig, "value_range", (0, 0)),
        (DataConfig, "value_range", (1, 0)),
        (DataConfig, "value_range", (0, float("nan"))),
        (DataConfig, "validation_fraction", 1.0),
        (DataConfig, "max_images", 1),
        (DataConfig, "source", ""),
    ],
)
def test_values_out_of_range_are_named(group, name, value):
    with pytest.raises(ValueError, match=name):
        group(**{name: value})


@pytest.mark.parametrize(
    "changes",
    [
        {"vqvae": VQVAEConfig(update="sgd")},
        {"data": DataConfig(color="blue")},
        {"vqvae_training": TrainingConfig(schedule="step")},
        {"dtype_policy": "float8"},
        {"jit_compile": "yes"},
        {"seed": -1},
        {"seed": 2**31},
        {"seed": 1.0},
    ],
)
def test_unknown_choices_are_refused(changes):
    with pytest.raises(ValueError, match="should be"):
        RunConfig(**changes)


def test_differences_are_named():
    a = RunConfig()
    b = dataclasses.replace(a, seed=1, vqvae=VQVAEConfig(beta=1.0))
    assert a.differences(b) == ["vqvae.beta: 0.25 -> 1.0", "seed: 0 -> 1"]
    assert a.differences(a) == []


def test_the_likelihoods_of_the_settings_are_those_of_the_package():
    field = next(f for f in dataclasses.fields(VQVAEConfig) if f.name == "likelihood")
    with pytest.raises(ValueError, match="`likelihood` should be one of") as error:
        likelihoods.get("none of them")
    assert repr(sorted(field.metadata["choices"])) in str(error.value)


def test_settings_without_a_use_are_named():
    assert VQVAEConfig(beta=0.5, decay=0.9, revival=False).without_use() == []
    assert VQVAEConfig(update="gradient", decay=0.9).without_use() == ["decay"]
    for quantizer, beta in {"lookup_free": [], "sim_vq": [], "gumbel": ["beta"]}.items():
        config = VQVAEConfig(quantizer=quantizer, beta=0.5, update="gradient", embedding_dim=4)
        assert config.without_use() == [*beta, "update"]


@pytest.mark.parametrize(
    "quantizer", ["vector", "lookup_free", "binary_spherical", "sim_vq", "index_backprop"]
)
def test_beta_reaches_every_quantizer_that_has_one(quantizer):
    layer = build_quantizer(VQVAEConfig(quantizer=quantizer, num_embeddings=8, beta=0.5))
    assert layer.beta == 0.5
