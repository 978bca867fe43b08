"""Each known trap of quantizers has a test that says its number.

A trap is something that went wrong in published implementations. A test that checks one has its
number in its name, `test_trap_3_...`, or at the start of its docstring (or its module's), `Trap 3.`
"""

import ast
import re

from support import ROOT

# 1 β on the wrong term. 2 Codebook loss behind the straight-through. 3 Unused codes in an EMA.
# 4 Sums of k-means. 5 Revival overwritten. 6 Absolute thresholds. 7 Fewer vectors than dead codes.
# 8 EMA before the lookup. 9 Output of training, evaluation that changes. 10 Residuals without a
# gradient. 11 Cosine and norms. 12 Masks. 13 Rotation at its edges. 14 Mixed precision. 15 Indices
# packed in floats. 16 Bounds of FSQ. 17 Entropies of LFQ. 18 Indices of learned values. 19 Resume.
# 20 Losses of frozen tables. 21 Replicas. 22 Perplexity by batch. 23 Memory. 24 Accumulated
# gradients. 25 Options that cannot be made. 26 A variance taken for a deviation. 27 Keras 3.
# 28 A codebook without its gradient.
TRAPS = range(1, 29)


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
