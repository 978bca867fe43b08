"""Layers that are frozen before they have the layers in them."""

import keras

__all__ = ["hand_on_frozen"]


def hand_on_frozen(layer: keras.layers.Layer) -> None:
    """Freezes the layers in a frozen one; the last thing in its `build`.

    Keras hands `trainable = False` on when it is set. As an argument, or in a loaded model, it is
    set before there are layers to hand it on to.
    """
    if layer.trainable:
        return
    for part in layer._flatten_layers(include_self=False):
        part.trainable = False
