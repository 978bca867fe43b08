"""The code in docs/priors.md does what the page says."""

import re

import numpy as np
import pytest
from support import ROOT

from keras_vqvae import models

TEXT = (ROOT / "docs" / "priors.md").read_text(encoding="utf-8")


def block_with(text):
    """The one block of Python on the page that holds this text."""
    (found,) = [b for b in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if text in b]
    return found


def test_sequences_are_grids_of_one_row():
    code = block_with("sequences")
    small = {"(1, 32, 4)": "(1, 3, 2)", "num_embeddings=512": "5, hidden_dim=4, blocks=1"}
    for text, other in small.items():
        assert text in code
        code = code.replace(text, other, 1)
    names = {"models": models, "sequences": np.arange(24).reshape(4, 3, 2) % 5}
    exec(code, names)
    assert names["drawn"].shape == (16, 3, 2)
    with pytest.raises(ValueError, match=r"`codes` should be in \[0, 5\)"):
        names["prior"].fit(names["sequences"][:, None] - 1)
