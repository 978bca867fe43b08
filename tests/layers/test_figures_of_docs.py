"""Figures of the pages on quantizers are those of the results files."""

import pytest
from support import ROOT, figures_of, says

SIZES = (512, 4_096, 65_536)
TEXT = (ROOT / "docs/choosing_a_quantizer.md").read_text("utf-8")
PERFORMANCE = (ROOT / "docs/performance.md").read_text("utf-8")


def ours_of(benchmark):
    return {name: figure["ours"] for name, figure in figures_of(benchmark).items()}


def cells_of(figures, row, best):
    """Error, share of codes and perplexity as the page has them, the lowest error in bold."""
    error, usage, perplexity = (figures[f"{row}: {key}"] for key in ("MSE", "usage", "perplexity"))
    return [
        f"**{error:.4f}**" if error == best else f"{error:.4f}",
        f"{usage:.1f} %" if usage < 1 else f"{usage:.0f} %",
        f"{perplexity:,.0f}".replace(",", " "),
    ]


def lowest_error(figures, start):
    return min(v for key, v in figures.items() if key.startswith(start) and key.endswith("MSE"))


@pytest.mark.parametrize(
    ("results", "sizes"), [("large_tables", SIZES), ("codes_in_use", (16, 64))]
)
def test_the_tables_by_size_are_those_of_the_results(results, sizes):
    figures = ours_of(results)
    names = dict.fromkeys(
        key.split(", ", 1)[1].split(":")[0] for key in figures if key.startswith("K = ")
    )
    assert len(names) >= 8
    missing = 0
    for name in names:
        cells = []
        for size in sizes:
            row = f"K = {size}, {name}"
            if f"{row}: MSE" in figures:
                cells += cells_of(figures, row, lowest_error(figures, f"K = {size}, "))
            else:
                cells += ["—"] * 3
                missing += 1
        assert f"| {name} | {' | '.join(cells)} |" in TEXT, name
    # One that is not for the largest.
    assert missing == (results == "large_tables")


def test_the_sentences_have_the_ratios_of_the_results():
    """How many percent an error is above the lowest one."""
    figures = ours_of("large_tables")

    def above(name, *sizes):
        lowest = [lowest_error(figures, f"K = {size}, ") for size in sizes]
        errors = [figures[f"K = {size}, {name}: MSE"] for size in sizes]
        *first, last = [f"{100 * (e / low - 1):.0f}" for e, low in zip(errors, lowest, strict=True)]
        return f"{', '.join(first)} and {last} %"

    gradient = above("gradient, k-means, revival, 10 × rate", *SIZES)
    assert f"comes within {gradient} of it" in TEXT
    transport = above("EMA, optimal transport", 512, 4_096)
    assert f"an error {transport} above the lowest at 512 and 4 096" in TEXT
    assert f"it is {above('FSQ', *SIZES)} above the lowest" in TEXT
    sim_vq = above("SimVQ", 4_096, 65_536)
    assert f"at 4 096 and 65 536 its error is {sim_vq} above the lowest" in TEXT


def test_the_table_of_lfq_is_that_of_the_results():
    figures = ours_of("codes_in_use")
    names = dict.fromkeys(key.split(":")[0] for key in figures if key.startswith("LFQ"))
    assert len(names) == 6
    for name in names:
        cells = cells_of(figures, name, lowest_error(figures, "LFQ"))
        assert f"| {name.split(', ', 2)[2]} | {' | '.join(cells)} |" in TEXT, name


def test_the_shares_of_time_with_xla_are_those_of_the_results():
    figures = ours_of("quantizers")
    plain = [key for key in figures if key.endswith("step, TF")]
    shares = {key.split(":")[0]: figures[f"{key} XLA"] / figures[key] for key in plain}
    named = {
        "of VQ by moving averages {:.2f} at 8 192 × 64 × 512": "ema, 8192 × 64, 512",
        "QINCo's takes {:.2f}": "implicit, 1024 × 64, 128 4 128",
        "VQ at 65 536 × 64 × 8 192 {:.2f}": "ema, 65536 × 64, 8192",
        "FSP's {:.2f}": "fsp, 65536 × 4, [8,5,5,5]",
    }
    for sentence, case in named.items():
        assert sentence.format(shares[case]) in PERFORMANCE, case
    others = [share for case, share in shares.items() if case not in [*named.values()][1:]]
    assert f"XLA takes {min(others):.2f} to {max(others):.2f} of the time" in PERFORMANCE


def test_the_memory_of_a_search_is_that_of_the_results():
    figures = ours_of("quantizers")
    ways = ("TF", "TF XLA", "JAX")
    peaks = [figures[f"ema, 65536 × 64, 8192: peak memory, {way}"] for way in ways]
    sentence = "takes # GB at the most on TensorFlow, # GB with XLA and # GB on JAX"
    assert says(PERFORMANCE, sentence, *peaks)


def test_the_missed_bound_is_told_as_it_was_measured():
    page = (ROOT / "benchmarks/README.md").read_text("utf-8")
    figures = figures_of("quantizers")
    case = "ema, 8192 × 64, 512"
    (missed,) = (name for name, figure in figures.items() if figure["holds"] is False)
    assert missed == f"{case}: TF"
    ratios, product = ratios_and_product(figures, case)
    sentence = (
        "It is # × (# to #) on JAX, # × (# to #) on TensorFlow with XLA and # × (# to #) without, "
        "where the peer's step takes # of TensorFlow's matrix products of that size"
    )
    assert says(page, sentence, *ratios, product)
    assert says(page, "would have to fit into # of its time", product / 10 - 1)

    elsewhere = figures_of("other_machines/quantizers_amd_epyc")
    ratios, product = ratios_and_product(elsewhere, case)
    sentence = (
        "the peer's step takes # of them, and ours is # × (# to #) as fast on JAX, "
        "# × (# to #) with XLA and # × (# to #) without"
    )
    assert says(page, sentence, product, *ratios)


def ratios_and_product(figures, case):
    ways = [figures[f"{case}: {way}"] for way in ("JAX", "TF XLA", "TF")]
    ratios = [number for way in ways for number in (way["ours"], *way["interval"])]
    return ratios, figures[f"{case}: that product"]["ours"]
