"""Frozen layers in others: handed on to what is made later, and written down."""

from collections.abc import Iterable

import keras

__all__ = ["freeze_parts", "frozen_parts", "hand_on_frozen"]


def hand_on_frozen(layer: keras.layers.Layer) -> None:
    """Freezes the layers in a frozen one; the last thing in its `build`.

    Keras hands `trainable = False` on when it is set. As an argument, or in a loaded model, it is
    set before there are layers to hand it on to. So are the `frozen_parts` of a config.
    """
    if layer.trainable:
        freeze_parts(layer, getattr(layer, "_frozen_parts", ()))
        return
    for part in layer._flatten_layers(include_self=False):
        part.trainable = False


def frozen_parts(layer: keras.layers.Layer) -> list[str]:
    """The frozen layers in a layer that is not: their names behind those of what they are in.

    Example:
    >>> from keras_vqvae.layers import ResidualVectorQuantizer
    >>> layer = ResidualVectorQuantizer(3, 8)
    >>> layer.quantizers[0].trainable = layer.quantizers[2].codebook.trainable = False
    >>> frozen_parts(layer)
    ['depth_0', 'depth_2/codebook']
    """
    if not layer.trainable:
        return []
    found = []
    for part in layer._flatten_layers(include_self=False, recursive=False):
        if part.trainable:
            found += [f"{part.name}/{name}" for name in frozen_parts(part)]
        else:
            found.append(part.name)
    return found


def freeze_parts(layer: keras.layers.Layer, names: Iterable[str]) -> None:
    """Freezes the layers of these names that there are, as `frozen_parts` gives them."""
    parts = {p.name: p for p in layer._flatten_layers(include_self=False, recursive=False)}
    for name in names:
        first, _, rest = name.partition("/")
        if first not in parts:
            continue  # it is made by `build`
        if rest:
            freeze_parts(parts[first], [rest])
        else:
            parts[first].trainable = False
