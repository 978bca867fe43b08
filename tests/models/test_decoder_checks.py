"""What is said of decoders that cannot give what the likelihood takes."""

import warnings

import keras
import pytest
from models_for_tests import encoder
from support import grey_images

from keras_vqvae import likelihoods, models
from keras_vqvae.models.decoder_checks import warn_of_activation

LIKELIHOODS = [getattr(likelihoods, n) for n in likelihoods.__all__ if n[0].isupper()]
LIKELIHOODS.remove(likelihoods.Likelihood)


def up(activation=None, **kwargs):
    return keras.layers.Conv2DTranspose(1, 4, 4, activation=activation, name="last", **kwargs)


def functional(*layers):
    x = inputs = keras.Input((2, 2, 3))
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


class Subclassed(keras.Model):
    """Its activation is not its last layer's."""

    def __init__(self):
        super().__init__()
        self.activation, self.up = keras.activations.relu, up()

    def call(self, x):
        return self.up(self.activation(x))


def said_of(network, likelihood="gaussian"):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_activation(network, likelihoods.get(likelihood), "vqvae")
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("activation", ["sigmoid", "hard_sigmoid", "relu", "softmax"])
def test_a_decoder_that_is_never_negative_is_named_with_the_remedy(activation):
    (said,) = said_of(up(activation))
    assert "Layer 'last', the last of the decoder of model 'vqvae'" in said
    assert f"`activation='{activation}'`" in said
    assert "Gaussian(" in said
    assert "Leave the `activation` of that layer out" in said


@pytest.mark.parametrize(
    "network",
    [
        functional(up("sigmoid")),
        functional(up(), keras.layers.Activation("sigmoid")),
        functional(keras.Sequential([up("sigmoid")])),
        keras.Sequential([keras.layers.Dense(3), functional(up("sigmoid"))]),
        keras.Sequential([up("sigmoid")]),  # not built
    ],
    ids=["functional", "activation", "nested", "nested_in_sequential", "sequential"],
)
def test_the_last_layer_is_found(network):
    assert len(said_of(network)) == 1


@pytest.mark.parametrize(
    "network",
    [
        up(),
        up("tanh"),  # [-1, 1] holds all grey levels, -1/2 to 1/2
        functional(keras.layers.Dense(3, "relu"), up()),
        functional(up("sigmoid"), keras.ops.log),
        functional(up("sigmoid"), keras.layers.Rescaling(1.0, -0.5)),
        keras.Sequential(),
        Subclassed(),
        models.convolutional_decoder((8, 8, 1), residual_blocks=1),
    ],
    ids=["none", "tanh", "inside", "operation", "rescaled", "empty", "subclassed", "ours"],
)
def test_nothing_is_said_of_others(network):
    assert said_of(network) == []


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_every_likelihood_here_takes_any_numbers(likelihood):
    assert len(said_of(up("sigmoid"), likelihood())) == 1


def test_nothing_is_said_with_a_likelihood_of_other_parameters():
    class Own(likelihoods.Likelihood):
        pass

    assert said_of(up("sigmoid"), Own()) == []


def test_a_model_warns_when_it_is_built_and_then_no_more():
    model = models.Autoencoder(encoder(), functional(up("sigmoid")))
    with pytest.warns(UserWarning, match="Layer 'last', the last of the decoder"):
        model.compile("adam", run_eagerly=True)
    model.fit(grey_images(2), verbose=0)  # warnings are errors here
