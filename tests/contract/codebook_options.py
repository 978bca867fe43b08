"""Options of codebooks that show what they do within a few steps."""

from typing import Any

from keras_vqvae import codebooks


def revive_soon() -> Any:
    # With a decay of 0.1, a code that one batch does not choose is dead.
    return codebooks.ReplaceDead(threshold=0.5, decay=0.1)


def oldest() -> Any:
    return codebooks.ReplaceUnused(after_steps=1, noise_scale=0.01)


def anchors() -> Any:
    return codebooks.AnchorRevival(decay=0.5)


def some_frozen() -> Any:
    return codebooks.FrozenCodes([0, 3], otherwise=codebooks.EMAUpdate(0.9))


def ema() -> Any:
    return codebooks.EMAUpdate(decay=0.9)
