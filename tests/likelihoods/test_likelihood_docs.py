import re

from support import ROOT

from keras_vqvae import likelihoods


def test_every_likelihood_is_in_the_table():
    text = (ROOT / "docs" / "likelihoods.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r'^\| `"(\w+)"`, `(\w+)', text, re.MULTILINE))
    classes = set(likelihoods.__all__) - {"Likelihood", "get"}
    assert set(rows.values()) == classes
    for name, cls in rows.items():
        assert type(likelihoods.get(name)).__name__ == cls
