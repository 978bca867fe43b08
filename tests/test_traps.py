"""Each known trap of quantizers has a test that says its number.

A trap is something that went wrong in published implementations. A test that checks one has its
number in its name, `test_trap_3_...`, or at the start of its docstring (or its module's), `Trap 3.`
"""

import ast
import re

from support import ROOT

# What goes wrong, by number.
TRAPS = {
    1: "β weighs the codebook loss, where it should weigh the commitment loss.",
    2: "The codebook loss is taken behind the straight-through step: no gradient for the table.",
    3: "A code that nobody chooses drifts to zero, or explodes, in moving averages.",
    4: "After k-means the averages hold means, not sums, and the next step shrinks the table.",
    5: "A revived code is overwritten by the update of the same step, or by its old averages.",
    6: "A threshold of revival in absolute counts expires evenly used codes in small batches.",
    7: "Revival crashes where a batch has fewer vectors than there are dead codes, or none valid.",
    8: "The table is updated before the lookup: a training step gives codes that nobody chose.",
    9: "Training gives other codes than `decode` does for its indices; evaluation changes state.",
    10: "Without a stop-gradient on residuals, the losses of all depths but the first cancel out.",
    11: "Cosine distance with losses of unnormalised vectors lets norms grow without end.",
    12: "What padding holds, or a mask that is all true, changes a loss, a statistic or an index.",
    13: "The rotation trick fails for zero vectors, opposite vectors, or a single dimension.",
    14: "Half precision: distances overflow, averages lose counts, neighbouring indices merge.",
    15: "Indices of many bits are packed in floats, which are exact up to 2²⁴ only.",
    16: "Bounds of FSQ give fewer levels than they say, lose the middle, or NaN for two levels.",
    17: "Entropies of LFQ: their sign, NaN in half precision, replicas that are not summed.",
    18: "A latent quantizer reads indices off its first grid, after its values have been learned.",
    19: "Loading loses state (averages, whether k-means was done), or k-means runs in evaluation.",
    20: "Freezing is ignored, or a loss of a table that cannot learn is accepted without a word.",
    21: "Replicas update tables by their own vectors alone, or leave one replica's to all.",
    22: "Perplexity is averaged over batches, so that it depends on their size.",
    23: "The search, or an entropy, makes an array of all vectors by all codes.",
    24: "Under gradient accumulation the moving averages step for each batch, unsaid.",
    25: "A class or an option that cannot be constructed at all.",
    26: "DiVeQ's noise is given as a variance and used as a standard deviation.",
    27: "Keras 2 comes in through another package, and layers of two Keras versions do not mix.",
    28: "A term that is to move the table acts behind the estimator, and only scales gradients.",
}


def numbers_in(tree):
    """Numbers of traps in names of tests and in docstrings of tests and modules."""
    tests = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    for node in tests:
        named = re.match(r"test_traps?_((?:\d+_)+(?:and_(?:\d+_)+)?)", node.name)
        if named:
            yield from map(int, re.findall(r"\d+", named.group(1)))
    for node in [tree, *tests]:
        yield from map(int, re.findall(r"\bTrap (\d+)\.", ast.get_docstring(node) or ""))


def test_numbers_are_found_in_names_and_docstrings():
    source = (
        '"""Trap 21. Two."""\n'
        "def test_trap_14_half(): pass\n"
        "def test_traps_1_and_2_sides(): pass\n"
        'def test_plain():\n    """Trap 9. Exact, as trap 4 is not."""\n'
        'def helper_trap_3():\n    """Trap 5. No test."""\n'
        "def test_2_traps_8(): pass\n"
    )
    assert sorted(numbers_in(ast.parse(source))) == [1, 2, 9, 14, 21]


def test_every_trap_has_a_test():
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    found = {n for path in files for n in numbers_in(ast.parse(path.read_text(encoding="utf-8")))}
    assert found == set(TRAPS)
