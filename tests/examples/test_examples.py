"""Every example is imported and run with `--smoke`; none is forgotten."""

import ast
import importlib.util
import inspect

import pytest
from support import ROOT

FOLDER = ROOT / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))


@pytest.fixture(params=SCRIPTS, ids=lambda path: path.stem)
def script(request):
    return request.param


def test_form(script):
    text = script.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert len(text.splitlines()) <= 250
    doc = ast.get_docstring(tree)
    for part in ("arxiv.org", f"python examples/{script.name}", "easured"):
        assert part in doc
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert [a.arg for a in functions["main"].args.args] == ["argv"]
    for node in ast.walk(tree):  # the public names only
        if isinstance(node, ast.ImportFrom) and node.module.startswith("keras_vqvae"):
            assert node.module == "keras_vqvae"
    assert script.name in (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_smoke(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location(f"example_{script.stem}", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert inspect.isfunction(module.main)
    module.main(["--smoke"])
    assert list(tmp_path.rglob("*.png"))
