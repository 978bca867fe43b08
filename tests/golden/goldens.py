"""Reads the goldens; how they were made: `make_goldens.py`."""

from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("vector_quantize_pytorch.npz")


class Goldens:
    """The arrays of one subject as attributes: `Goldens("ema").tables`."""

    def __init__(self, subject):
        with np.load(FILE, allow_pickle=False) as stored:
            self.decay, self.beta = float(stored["decay"]), float(stored["beta"])
            for name in stored.files:
                if name.startswith(subject + "/"):
                    setattr(self, name.split("/")[1], stored[name])


def assert_close(ours, theirs, rtol=1e-5, atol=1e-6):
    """Equal up to float32 sums taken in another order."""
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)
