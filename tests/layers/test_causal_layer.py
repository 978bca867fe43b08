"""The contract of causal layers: what a subclass gets for nothing."""

import pytest

from keras_vqvae import layers


def test_defaults():
    layer = layers.CausalLayer()
    state = layer.initial_state(2, (3, 4))
    assert layer.start_row(state, 0) is state
    with pytest.raises(NotImplementedError):
        layer.step(None, state, 0, 0)
