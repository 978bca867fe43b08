"""How the benchmarks are laid out, read from their sources: not all can be imported here."""

import ast

import pytest
from support import ROOT

TREES = {
    path.stem: ast.parse(path.read_text("utf-8")) for path in (ROOT / "benchmarks").glob("*.py")
}
SCRIPTS = sorted(name for name, tree in TREES.items() if "__main__" in ast.unparse(tree))


def test_every_script_has_its_results():
    results = {path.stem for path in (ROOT / "benchmarks/results").glob("*.json")}
    assert results == set(SCRIPTS)


@pytest.mark.parametrize("name", sorted(TREES))
def test_no_script_is_imported(name):
    imported = {
        name
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names)]
    }
    assert not imported & set(SCRIPTS), "what is shared lies in modules that are no scripts"


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_asks_for_the_commit_before_it_measures(name):
    """Else a full run would be refused when it is over."""
    (main,) = (
        node
        for node in TREES[name].body
        if isinstance(node, ast.FunctionDef) and node.name == "main"
    )
    called = [
        node.func.id
        for statement in main.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    first = called.index("require_commit")
    before = {"parser", "all", "print", "SystemExit", "require_tensorflow"}
    assert set(called[:first]) <= before
    assert called[-1] == "report"
