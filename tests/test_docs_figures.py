"""Figures in the docs and the changelog are those of the results files.

Those of the comparison are checked in `evaluation/`, those of the quantizers in `layers/`.
"""

import json

import pytest
from support import ROOT, figures_of, says


def page(name):
    return (ROOT / name).read_text("utf-8")


def ours(figures, *names):
    return [figures[name]["ours"] for name in names]


def test_the_search_and_its_product_are_in_the_changelog():
    search = figures_of("quantizers")["search alone: TF"]
    sentence = "takes # times its matrix product (95 % interval # to #) at 65 536 × 64 × 8 192"
    assert says(page("CHANGELOG.md"), sentence, search["ours"], *search["interval"])


def test_bits_against_the_recipe():
    parts = ("images given codes", "codes under the prior", "both")
    image, codes, both = (figures_of("bits_per_dimension")[name] for name in parts)
    text = page("docs/evaluation.md")
    mine = "# bits per dimension for ours (# for the image, # for its codes)"
    assert says(text, mine, both["ours"], image["ours"], codes["ours"])
    recipe = "# for the recipe (#, #)"
    assert says(text, recipe, both["peer"], image["peer"], codes["peer"])


def test_what_tensorboard_costs():
    figures = figures_of("tensorboard_callbacks")
    text = page("docs/tensorboard.md")
    always, first = ours(figures, "inside the callbacks", "inside the callbacks, first training")
    sentence = (
        "add # % to the time of trainings of 10 epochs on the bundled images, and # % to the first"
    )
    assert says(text, sentence, 100 * (always - 1), 100 * (first - 1))
    whole = figures["ratio of trainings of 10 epochs"]
    assert whole["unit"] == "× without"
    sentence = "came out at # times those without (95 % interval # to #)"
    assert says(text, sentence, whole["ours"], *whole["interval"])


def test_what_a_search_gains():
    found = json.loads(page("tuning/results/fashion_mnist_mini.json"))
    scores = {trial["name"]: trial["score"] for trial in found["trials"]}
    first, best = scores[found["defaults"]], scores[found["best"]]
    assert len(scores) == 9
    assert found["gain"] == first - best
    sentence = "found # bits per dimension against # by the defaults, # % better"
    gain = 100 * found["gain"] / first
    assert says(page("docs/tuning.md"), sentence, best, first, gain)


# -- priors ---------------------------------------------------------------------------------------

PRIORS = page("docs/priors.md")


def test_the_table_of_priors_is_that_of_the_results():
    figures = figures_of("priors")
    rows = {
        "`PixelCNN`, 128 filters, 5 blocks": "PixelCNN",
        "`PixelSNAIL`, 64 filters, 2 blocks": "PixelSNAIL",
        "`GatedPixelCNN`, 64 filters, 3 blocks": "GatedPixelCNN",
        "`GatedPixelCNN`, 32 filters, 2 blocks": "GatedPixelCNN, small",
        "`TransformerPrior`, as it is by default": "TransformerPrior",
    }
    for row, name in rows.items():
        *bits, step = ours(figures, f"{name}: test", f"{name}: fewer bits", f"{name}: step")
        assert says(PRIORS, f"| {row} | # | # % | # | 32 |", *bits, step / 32), row
    bits, step = ours(figures, "keras.io PixelCNN: test", "keras.io PixelCNN: step")
    expected = bits, step / 128
    assert says(PRIORS, "| PixelCNN of the keras.io example | # | | # | 128 |", *expected)
    cost = ours(figures, "GatedPixelCNN, small: training on a grid")
    assert says(PRIORS, "at # of the recipe's cost of a grid", *cost)


def test_what_sampling_costs():
    figures = figures_of("sampling")
    passes, kept = (
        [
            figures[f"{prior} 32×32: {what}"]["ours"]
            for prior in ("PixelCNN", "GatedPixelCNN", "PixelSNAIL", "TransformerPrior")
        ]
        for what in ("samples", "kept between positions")
    )
    (naive,) = ours(figures, "PixelCNN 32×32: against the compiled naive loop")
    sentence = "takes # times one forward pass over the whole grids, and a #th of the loop"
    assert says(PRIORS, sentence, passes[0], round(naive, -2))
    assert says(PRIORS, "a `GatedPixelCNN` # forward passes", passes[1])
    assert says(
        PRIORS, "`PixelSNAIL` # and `TransformerPrior` # forward passes", passes[2], passes[3]
    )
    assert says(PRIORS, "slower: #, #, # and # MiB an image", *(kib / 1024 for kib in kept))


def test_how_often_labels_are_seen_in_samples():
    figures = figures_of("labels")
    sentence = (
        "names # % of 200 samples a class as they were asked for, # % of the real test images as "
        "they are and # % of their reconstructions"
    )
    expected = ours(
        figures,
        "samples named as they were asked for",
        "real test images named as they are",
        "their reconstructions",
    )
    assert says(PRIORS, sentence, *expected)
    classes = {
        name.removeprefix("samples: "): figure["ours"]
        for name, figure in figures.items()
        if name.startswith("samples: ")
    }
    shirts = classes.pop("shirt")
    assert len(classes) == 9
    sentence = "Of shirts it names # %, of the other classes # to # %"
    assert says(PRIORS, sentence, shirts, min(classes.values()), max(classes.values()))


# -- the bounds of benchmarks ---------------------------------------------------------------------

BOUNDS = {
    "fashion_mnist": ("#; # %", ["test MSE", "codes in use, test images"]),
    "training_step": ("# × (# to #)", ["ratio of median steps"]),
    "sampling_vs_recipe": ("# ×", ["speed of sampling"]),
    "quantizers": ("Search # × (# to #)", ["search alone: TF"]),
    "sampling": (
        "# ×; #; #",
        [
            "PixelCNN 32×32: against the compiled naive loop",
            "PixelCNN 32×32: samples",
            "GatedPixelCNN 32×32: samples",
        ],
    ),
    "priors": (
        "# % and # of the cost do not; # % does",
        [
            "GatedPixelCNN: fewer bits",
            "GatedPixelCNN, small: training on a grid",
            "GatedPixelCNN, small: fewer bits",
        ],
    ),
    "bits_per_dimension": ("# against", ["both"]),
    "comparison": (
        "# and # against",
        ["codes equally likely", "codes under the prior"],
    ),
    "tensorboard_callbacks": (
        "# × (# to #), a bias of the measurement; # ×; # ×",
        [
            "ratio of trainings of 10 epochs",
            "inside the callbacks",
            "inside the callbacks, first training",
        ],
    ),
    "labels": ("# %", ["samples named as they were asked for"]),
}
WITHOUT = {"large_tables", "codes_in_use"}


def rows_of_benchmarks(column=-1):
    rows = {}
    for line in page("benchmarks/README.md").splitlines():
        if line.startswith("| `python benchmarks/"):
            name = line.removeprefix("| `python benchmarks/").partition(".py")[0]
            rows[name] = line.split(" | ")[column]
    return rows


def test_every_benchmark_has_a_row():
    scripts = {
        path.stem
        for path in (ROOT / "benchmarks").glob("*.py")
        if "__main__" in path.read_text("utf-8")
    }
    assert set(rows_of_benchmarks()) == scripts == set(BOUNDS) | WITHOUT


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_the_result_of_a_benchmark_is_that_of_its_file(name):
    cell = rows_of_benchmarks()[name]
    figures = figures_of(name)
    judged = [figure["holds"] for figure in figures.values() if figure["holds"] is not None]
    held = f"{sum(judged)} of {len(judged)} hold"
    assert cell.startswith((f"{held}:", f"{held}s:", f"{held};"))
    pattern, names = BOUNDS[name]
    values = [v for n in names for v in (figures[n]["ours"], *(figures[n]["interval"] or ()))]
    assert says(cell, pattern, *values)


def test_what_images_cost_beside_the_recipe():
    figures = figures_of("bits_per_dimension")
    both, given, codes = (
        figures[name] for name in ("both", "images given codes", "codes under the prior")
    )
    sentence = (
        "# bits per dimension for ours (# for the image, # for its codes), # for the recipe (#, #)"
    )
    expected = [one[who] for who in ("ours", "peer") for one in (both, given, codes)]
    assert says(page("docs/evaluation.md"), sentence, *expected)


@pytest.mark.parametrize("name", sorted([*BOUNDS, *WITHOUT]))
def test_a_row_says_when_and_where_it_was_measured(name):
    results = json.loads((ROOT / "benchmarks/results" / f"{name}.json").read_text("utf-8"))
    day, _, processor = rows_of_benchmarks(column=-2)[name].partition(", ")
    assert len(day) == len("2026-01-01")
    assert results["date"].startswith(day)
    assert len(processor) > 5
    assert processor in results["machine"]["processor"].replace("(R)", "")


def test_the_step_within_fit_is_told_too():
    step = figures_of("fashion_mnist")["median training step"]
    sentence = "input and callbacks included: # ms against # ms"
    assert says(page("benchmarks/README.md"), sentence, step["ours"], step["peer"])


@pytest.mark.parametrize("name", sorted(WITHOUT))
def test_benchmarks_without_a_bound_judge_nothing(name):
    assert {figure["holds"] for figure in figures_of(name).values()} == {None}


def test_what_results_are_against():
    rows = rows_of_benchmarks()
    recipe = figures_of("bits_per_dimension")["both"]["peer"]
    assert says(rows["bits_per_dimension"], "against #", recipe)
    vae = figures_of("comparison")
    distance = vae["Fréchet distance of samples"]
    expected = (vae["codes under the prior"]["peer"], distance["ours"], distance["peer"])
    assert says(rows["comparison"], "against #; # against #", *expected)
    missed = figures_of("quantizers")["ema, 8192 × 64, 512: TF"]
    assert says(rows["quantizers"], "on TensorFlow without XLA, # ×", missed["ours"])
