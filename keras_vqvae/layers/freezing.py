"""Frozen layers in others: handed on to what is made later, and written down."""

from collections.abc import Iterable

import keras

__all__ = ["freeze_parts", "frozen_parts", "hand_on_frozen"]


def hand_on_frozen(layer: keras.layers.Layer) -> None:
    """Freezes the layers in a frozen one; the last thing in its `build`.

    Keras hands `trainable = False` on when it is set. As an argument, or in a loaded model, it is
    set before there are layers to hand it on to.
    """
    if layer.trainable:
        return
    for part in layer._flatten_layers(include_self=False):
        part.trainable = False


def frozen_parts(layer: keras.layers.Layer) -> list[str]:
    """The frozen layers in a layer that is not: their names behind those of what they are in.

    Of layers of one name in one layer the later ones are `name#1`, `name#2`, ….

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
    for name, part in _parts(layer).items():
        if part.trainable:
            found += [f"{name}/{inner}" for inner in frozen_parts(part)]
        else:
            found.append(name)
    return found


def freeze_parts(layer: keras.layers.Layer, names: Iterable[str]) -> list[str]:
    """Freezes the layers of these names, and gives the names of those that there are not yet."""
    parts, missing = _parts(layer), []
    for name in names:
        first, _, rest = name.partition("/")
        if first not in parts:
            missing.append(name)
        elif rest:
            missing += [f"{first}/{inner}" for inner in freeze_parts(parts[first], [rest])]
        else:
            parts[first].trainable = False
    return missing


def _parts(layer: keras.layers.Layer) -> dict[str, keras.layers.Layer]:
    """The layers directly in another one, each by a name of its own."""
    found: dict[str, keras.layers.Layer] = {}
    for part in layer._flatten_layers(include_self=False, recursive=False):
        same = sum(name.partition("#")[0] == part.name for name in found)
        found[f"{part.name}#{same}" if same else part.name] = part
    return found
