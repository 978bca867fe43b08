"""The figures of docs/quantizers.md are those of the results file."""

import json

from support import ROOT

SIZES = (512, 4_096, 65_536)


def test_the_table_of_large_tables_is_that_of_the_results():
    results = json.loads((ROOT / "benchmarks/results/large_tables.json").read_text("utf-8"))
    figures = {figure["name"]: figure["ours"] for figure in results["figures"]}
    text = (ROOT / "docs/quantizers.md").read_text("utf-8")
    names = dict.fromkeys(name.split(", ", 1)[1].split(":")[0] for name in figures)
    assert len(figures) == 3 * len(SIZES) * len(names)
    for name in names:
        cells = []
        for size in SIZES:
            error, usage, perplexity = (
                figures[f"K = {size}, {name}: {key}"] for key in ("MSE", "usage", "perplexity")
            )
            best = min(figures[f"K = {size}, {other}: MSE"] for other in names)
            cells += [
                f"**{error:.4f}**" if error == best else f"{error:.4f}",
                f"{usage:.1f} %" if usage < 1 else f"{usage:.0f} %",
                f"{perplexity:,.0f}".replace(",", " "),
            ]
        assert f"| {name} | {' | '.join(cells)} |" in text, name
