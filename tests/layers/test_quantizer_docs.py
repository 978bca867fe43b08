import re

import numpy as np
from support import ROOT, to_numpy

from keras_vqvae import layers


def test_the_quantizer_of_the_docs_works():
    text = (ROOT / "docs" / "quantizers.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(import keras.*?)```", text, re.DOTALL)
    names = {}
    exec(code[0], names)
    layer = names["Rounder"]()
    x = np.array([[[0.2], [0.9]]], "float32")
    layer.build(x.shape)
    out = layer.discretize(x, training=True, mask=np.array([[True, False]]))
    assert to_numpy(out.indices).tolist() == [[0, -1]]
    assert to_numpy(layer(x)).tolist() == [[[0.0], [1.0]]]
    assert to_numpy(layer.decode(layer.encode(x))).tolist() == [[[0.0], [1.0]]]
    assert to_numpy(layer.code_counts).tolist() == [1, 0]


def test_every_quantizer_is_in_the_table():
    text = (ROOT / "docs" / "quantizers.md").read_text(encoding="utf-8")
    for name in layers.__all__:
        if name.endswith("Quantizer") and name != "Quantizer":
            assert f"| `{name}` |" in text, name
