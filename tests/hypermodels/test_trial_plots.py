"""Pictures of trials: what is drawn where."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_vqvae.hypermodels import plot_trials
from keras_vqvae.hypermodels.trial_plots import trial_drawings
from keras_vqvae.hypermodels.trials import SearchedTrial


def trials(name, values):
    """Trials of one score after another, that differ in one setting."""
    settings = [{"num_embeddings": 8 << i, "beta": 0.25, name: v} for i, v in enumerate(values)]
    return [
        SearchedTrial(str(i), "COMPLETED", one, {}, 1.0 + i, "") for i, one in enumerate(settings)
    ]


def objective_panel(found):
    axes = Figure().subplots()
    trial_drawings(found)["objective over codebook size and β"](axes)
    return axes


def columns(found, name):
    """What is drawn of the settings by name: a number for each trial, the best one first."""
    axes = Figure().subplots()
    trial_drawings(found)["settings of each trial, the best in orange"](axes)
    lines = np.array([line.get_ydata() for line in axes.get_lines()])[::-1]
    labels = [label.get_text().split("\n")[0] for label in axes.get_xticklabels()]
    return lines[:, labels.index(name)]


def test_settings_are_drawn_by_their_logarithm_from_the_least_to_the_greatest():
    # 0.5 and 2 are equal ratios apart from 1.
    np.testing.assert_allclose(columns(trials("beta", [0.5, 1.0, 2.0]), "beta"), [0, 0.5, 1])
    np.testing.assert_allclose(columns(trials("decay", [0.5, 1.0, 2.0]), "decay"), [0, 1 / 3, 1])
    words = columns(trials("update", ["ema", "gradient", "ema"]), "update")
    np.testing.assert_array_equal(words, [0, 1, 0])


def test_a_setting_of_0_has_no_logarithm_and_is_drawn_as_it_is():
    np.testing.assert_allclose(columns(trials("beta", [0.0, 0.5, 2.0]), "beta"), [0, 0.25, 1])


def test_every_trial_lies_within_the_panel_of_its_objective():
    for values, scale in (([0.5, 2.0], "log"), ([0.0, 2.0], "linear")):
        axes = objective_panel(trials("beta", values))
        low, high = axes.get_ylim()
        assert axes.get_yscale() == scale
        assert all(low < value < high for value in values)


@pytest.mark.parametrize("values", [[0.0, 0.25], [0.0, 0.0], [0.25, 0.25]])
def test_a_picture_of_trials_with_and_without_0_is_written(values, tmp_path):
    plot_trials(trials("beta", values), tmp_path / "trials.png")
    assert (tmp_path / "trials.png").stat().st_size > 1000
