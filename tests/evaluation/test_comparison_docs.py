"""The figures of the comparison in docs/evaluation.md and README.md are those of its results."""

import json

from support import ROOT, says

RESULTS = json.loads((ROOT / "benchmarks/results/comparison.json").read_text("utf-8"))
MODELS = RESULTS["settings"]["models"]
DIMENSIONS = 28 * 28
PAGE = (ROOT / "docs/evaluation.md").read_text("utf-8")


def bits(value):
    return "–" if value is None else f"{value:.3f}"


def check_row(name, total, model=None, latents=None, error=False, samples=False):
    """One line of the page has these figures: of what is `None` it has a dash."""
    prices = {} if model is None else model["bits_per_dimension"]
    per_image = "–" if latents is None else f"{prices[latents] * DIMENSIONS:.0f}"
    costs = [bits(x) for x in (prices.get("reconstruction"), prices.get(latents), total)]
    start = f"| {name} | {per_image} | {' | '.join(costs)} |"
    (line,) = (line for line in PAGE.replace("**", "").splitlines() if line.startswith(start))
    if error:
        assert line.startswith(f"{start} {model['mse']:.4f} |")
    if samples:
        distance, precision, recall = (
            model["samples"][key] for key in ("frechet_distance", "precision", "recall")
        )
        assert line.endswith(f"| {distance:.3g} | {precision:.2f} | {recall:.2f} |")


def test_the_table_is_that_of_the_results():
    auto, vae, ours = (MODELS[name] for name in ("autoencoder", "vae", "vqvae"))
    bounds, prices = vae["bits_per_dimension"], ours["bits_per_dimension"]
    check_row("autoencoder", None, auto, error=True, samples=True)
    check_row(
        "VAE, evidence lower bound", bounds["total"], vae, "latents", error=True, samples=True
    )
    check_row("VAE, importance-weighted bound", bounds["total_importance_weighted"])
    for name, way in (("equally likely", "uniform"), ("by their histogram", "histogram")):
        total = prices[f"total_{way}"]
        check_row(f"VQ-VAE, codes {name}", total, ours, f"codes_{way}", error=way == "uniform")
    total = prices["total_prior"]
    check_row("VQ-VAE, codes under the prior", total, ours, "codes_prior", samples=True)


def test_the_sentences_have_its_ratios():
    vae = MODELS["vae"]["bits_per_dimension"]["total"]
    ours = MODELS["vqvae"]["bits_per_dimension"]
    assert f"within {100 * (ours['total_uniform'] / vae - 1):.1f} % of the VAE" in PAGE
    assert f"with its prior it is {100 * (1 - ours['total_prior'] / vae):.1f} % below it" in PAGE
    readme = (ROOT / "README.md").read_text("utf-8")
    prior = MODELS["vqvae"]["prior_parameters"] / 1_000
    sentence = (
        "takes # bits per dimension under the VAE, and # under the VQ-VAE if all codes are equally "
        "likely. A PixelCNN that is fitted to the codes, with another # 000 parameters, lowers "
        "that to # ("
    )
    assert says(readme, sentence, vae, ours["total_uniform"], prior, ours["total_prior"])
    sentence = (
        "another # 000 parameters beside the # 000 of the VQ-VAE; the VAE has # 000, and nothing is"
    )
    parameters = [MODELS[name]["parameters"] / 1_000 for name in ("vqvae", "vae")]
    assert says(PAGE, sentence, prior, *parameters)


def test_a_row_without_a_figure_says_so():
    rows = [line for line in PAGE.splitlines() if line.startswith("| VAE, ")]
    rows += [line for line in PAGE.splitlines() if line.startswith("| VQ-VAE, codes ")]
    assert len(rows) == 5
    assert not any("| |" in row for row in rows)
