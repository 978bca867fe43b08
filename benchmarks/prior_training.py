"""Priors that are trained for a time, and what they make of the codes of test images."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import keras
import numpy as np

from keras_vqvae import models


@dataclass
class Contestant:
    """A prior in training.

    Attributes:
        name: as in the table.
        model: compiled.
        batch_size: of its training.
        peak: highest learning rate of the cosine; `None` leaves the rate alone.
        at_least: the bound on how much fewer bits per code than the recipe it needs, in percent.
    """

    name: str
    model: keras.Model
    batch_size: int
    peak: float | None = None
    at_least: float | None = None
    seconds: float = 0.0
    steps: list[float] = field(default_factory=list)
    curve: list[tuple[float, float]] = field(default_factory=list)

    def train(self, batches: Iterator[np.ndarray], until: float, total: float) -> None:
        """Trains until its clock shows `until`."""
        while self.seconds < until:
            if self.peak is not None:
                done = self.seconds / total
                warm = min(1.0, done / 0.02)
                rate = self.peak * warm * 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
                self.model.optimizer.learning_rate = max(rate, 1e-6)
            codes = next(batches)
            start = time.perf_counter()
            if self.peak is None:
                self.model.train_on_batch(codes, codes)
            else:
                self.model.train_on_batch(codes)
            self.steps.append(time.perf_counter() - start)
            self.seconds += self.steps[-1]


def ours(
    name: str, prior: models.CodePrior, peak: float, at_least: float | None = None
) -> Contestant:
    prior.compile(keras.optimizers.AdamW(peak, weight_decay=0.01, clipnorm=1.0))
    return Contestant(name, prior, batch_size=32, peak=peak, at_least=at_least)


def endless(codes: np.ndarray, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Shuffled batches, epoch after epoch."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(codes))
        for first in range(0, len(codes) - batch_size + 1, batch_size):
            yield codes[order[first : first + batch_size]]


def bits_per_code(model: keras.Model, codes: np.ndarray) -> float:
    """Mean of −log2 p over all codes, from the logits of either kind of model."""
    total = 0.0
    for first in range(0, len(codes), 500):
        batch = codes[first : first + 500]
        logits = model.predict_on_batch(batch).astype("float64")
        logits -= logits.max(axis=-1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        total -= np.take_along_axis(log_p, batch[..., None], axis=-1).sum()
    return total / codes.size / math.log(2.0)
