"""The code in docs/priors.md does what the page says."""

import numpy as np
import pytest
from support import block_with, made_small

from keras_vqvae import models


def test_sequences_are_grids_of_one_row():
    # The shape is in a comment of the block, too.
    small = {
        "Prior((1, 32, 4)": "Prior((1, 3, 2)",
        "num_embeddings=512": "5, hidden_dim=4, blocks=1",
    }
    code = made_small(block_with("docs/priors.md", "sequences"), small)
    names = {"models": models, "sequences": np.arange(24).reshape(4, 3, 2) % 5}
    exec(code, names)
    assert names["drawn"].shape == (16, 3, 2)
    with pytest.raises(ValueError, match=r"`codes` should be in \[0, 5\)"):
        names["prior"].fit(names["sequences"][:, None] - 1)
