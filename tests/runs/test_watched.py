"""`Run.train(tensorboard=True)`: what is written, and that it changes nothing."""

import pytest
from events_for_tests import pictures, scalars, tags
from runs_support import tiny_config, write_images
from support import same_bits, to_numpy

from keras_vqvae.runs import PriorConfig, Run


@pytest.mark.slow
def test_both_stages_are_shown_and_trained_as_ever(tmp_path, monkeypatch):
    folder = write_images(tmp_path / "images")
    config = tiny_config(folder, prior=PriorConfig(4, 1, 4, conditional=True))
    shown, plain = (Run.create(tmp_path / name, config) for name in ("shown", "plain"))
    shown.train(verbose=0, tensorboard=True)
    said, drawn, draw = [], [], Run.sample
    with monkeypatch.context() as patched:
        patched.setattr(Run, "sample", lambda self, n, **k: drawn.append(n) or draw(self, n, **k))
        plain.train(verbose=0, report=said.append)
    # Six rows of the two classes.
    assert drawn == [12]
    assert "Drawing 12 new images" in said
    vqvae, prior = (shown.files.tensorboard / stage for stage in ("vqvae", "prior"))
    assert {"reconstructions", "codes"} <= set(tags(vqvae))
    assert (vqvae / "projector_config.pbtxt").exists()
    assert pictures(prior, "samples")[0].ndim == 3
    (loss,) = scalars(prior / "validation", "epoch_loss").values()
    assert loss > 0
    for stage in ("vqvae", "prior"):
        ours, theirs = (getattr(run, stage)().weights for run in (shown, plain))
        # Usage is counted for the histogram; all else is the same, bit for bit.
        pairs = [
            (to_numpy(a), to_numpy(b))
            for a, b in zip(ours, theirs, strict=True)
            if "code_counts" not in a.path
        ]
        assert len(pairs) >= len(ours) - 1
        assert same_bits(*zip(*pairs, strict=True))
