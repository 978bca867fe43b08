"""The figures of docs/quantizers.md are those of the results file."""

import json

from support import ROOT

SIZES = (512, 4_096, 65_536)


def test_the_table_of_large_tables_is_that_of_the_results():
    results = json.loads((ROOT / "benchmarks/results/large_tables.json").read_text("utf-8"))
    figures = {figure["name"]: figure["ours"] for figure in results["figures"]}
    text = (ROOT / "docs/quantizers.md").read_text("utf-8")
    names = dict.fromkeys(name.split(", ", 1)[1].split(":")[0] for name in figures)
    # Each has three figures for each size, but for the one that is not for the largest.
    assert len(figures) == 3 * (len(SIZES) * len(names) - 1)
    for name in names:
        cells = []
        for size in SIZES:
            if f"K = {size}, {name}: MSE" not in figures:
                cells += ["—"] * 3
                continue
            error, usage, perplexity = (
                figures[f"K = {size}, {name}: {key}"] for key in ("MSE", "usage", "perplexity")
            )
            of_size = [key for key in figures if key.startswith(f"K = {size}, ")]
            best = min(figures[key] for key in of_size if key.endswith("MSE"))
            cells += [
                f"**{error:.4f}**" if error == best else f"{error:.4f}",
                f"{usage:.1f} %" if usage < 1 else f"{usage:.0f} %",
                f"{perplexity:,.0f}".replace(",", " "),
            ]
        assert f"| {name} | {' | '.join(cells)} |" in text, name
