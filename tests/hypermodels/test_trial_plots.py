"""Pictures of trials: what is drawn where."""

import itertools

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


@pytest.mark.parametrize("values", [[0.15, 0.4], [0.25, 0.25], [0.2, 0.21], [0.1, 10.0]])
def test_an_axis_has_ticks_to_read_also_within_a_decade(values):
    axes = objective_panel(trials("beta", values))
    axes.figure.draw_without_rendering()
    for axis in (axes.xaxis, axes.yaxis):
        low, high = axis.get_view_interval()
        ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        read = [t.label1.get_text() for t in ticks if low <= t.get_loc() <= high]
        assert len([text for text in read if text]) >= 2
    if values == [0.1, 10.0]:  # enough powers of ten to need no others
        assert not any(t.label1.get_text() for t in axes.yaxis.get_minor_ticks())


def test_the_colours_have_the_name_of_the_objective():
    found = trials("beta", [0.5, 2.0])
    axes = objective_panel(found)
    assert axes.figure.axes[1].get_ylabel() == "objective"
    named = [t._replace(figures={"val_mse": 0.1, "val_bits": t.score}) for t in found]
    assert objective_panel(named).figure.axes[1].get_ylabel() == "val_bits"


@pytest.mark.parametrize(
    ("worse", "names"), [(3.0, ["best trial"]), (0.5, ["front", "best trial"])]
)
def test_a_front_that_is_the_best_trial_alone_is_not_named(worse, names):
    """The second trial is worse in one cost, and in the other worse or better."""
    points = [(1.0, 1.0), (worse, 2.0)]
    found = [
        trial._replace(figures={"val_code_bits_per_dimension": x, "val_mse": y})
        for trial, (x, y) in zip(trials("beta", [0.5, 2.0]), points, strict=True)
    ]
    axes = Figure().subplots()
    trial_drawings(found)["rate and distortion"](axes)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == names


def test_the_labels_of_settings_do_not_run_into_one_another():
    names = [
        "embedding_dim",
        "residual_blocks",
        "learning_rate",
        "width",
        "decay",
        "update",
        "depth",
    ]
    found = [
        t._replace(values={**t.values, **dict.fromkeys(names, 1.5 * (i + 1))})
        for i, t in enumerate(trials("codebook_learning_rate", [0.0001, 0.0123, 0.2]))
    ]
    figure = Figure(figsize=(4.7, 4.2), layout="constrained")
    axes = figure.subplots()
    trial_drawings(found)["settings of each trial, the best in orange"](axes)
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert len(boxes) == 10
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))


@pytest.mark.parametrize("values", [[0.0, 0.25], [0.0, 0.0], [0.25, 0.25]])
def test_a_picture_of_trials_with_and_without_0_is_written(values, tmp_path):
    plot_trials(trials("beta", values), tmp_path / "trials.png")
    assert (tmp_path / "trials.png").stat().st_size > 1000
