"""`__all__` and the hand-written imports agree, and what is public is documented."""

import ast
import dataclasses
import importlib
import inspect
import re

import keras
import pytest
from contract_cases import ABSTRACT
from support import ROOT

PACKAGE = ROOT / "keras_vqvae"
ROOMS = sorted(p.parent.name for p in PACKAGE.glob("*/__init__.py"))
# Rooms whose classes a user makes by hand, and copies the example of.
WITH_EXAMPLES = {"layers", "models", "metrics"}


def listed(room):
    """What a package's `__init__` imports for others (`X as X`) or defines."""
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    names, seen_inside_functions = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            seen_inside_functions |= set(ast.walk(node)) - {node}
    for node in ast.walk(tree):
        if node in seen_inside_functions:
            continue
        if isinstance(node, ast.ImportFrom) and node.module.startswith(f"keras_vqvae.{room}."):
            for alias in node.names:
                assert alias.asname == alias.name, f"{room}: write `{alias.name} as {alias.name}`"
                names.add(alias.name)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            names.add(node.name)
    return names


def public(room):
    module = importlib.import_module(f"keras_vqvae.{room}")
    return {name: getattr(module, name) for name in module.__all__}


PUBLIC = [(room, name) for room in ROOMS for name in sorted(public(room))]
CLASSES = [(r, n) for r, n in PUBLIC if inspect.isclass(public(r)[n])]


@pytest.mark.parametrize("room", ROOMS)
def test_all_is_what_is_listed_by_hand(room):
    module = importlib.import_module(f"keras_vqvae.{room}")
    assert set(module.__all__) == listed(room)
    assert len(set(module.__all__)) == len(module.__all__)
    assert module.__doc__


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_every_module_defines_what_its_all_names(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.name in ("__init__.py", "_version.py", "__main__.py"):
        return
    assert ast.get_docstring(tree), f"{path.name} has no docstring"
    found = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"
    ]
    if not found:
        assert PACKAGE in path.parents  # a room may leave `__all__` to its `__init__`
        return
    defined = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)} | {
        target.id
        for n in tree.body
        if isinstance(n, ast.Assign | ast.AnnAssign)
        for target in (n.targets if isinstance(n, ast.Assign) else [n.target])
        if isinstance(target, ast.Name)
    }
    assert set(found[0]) <= defined


def test_the_package_imports_its_rooms():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    rooms = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "keras_vqvae"
        for alias in node.names
    }
    # The command line is for the shell; `training` is what models are made of; the last two load
    # heavy libraries when they are first used.
    assert set(ROOMS) - rooms <= {"cli", "training", "hypermodels", "distributions"}


def has_arguments(cls):
    names = set(inspect.signature(cls.__init__).parameters) - {"self", "kwargs", "args"}
    return bool(names)


def from_package(function):
    """Whether it is written here, and not Keras's or Python's own."""
    return getattr(function, "__module__", "").startswith("keras_vqvae")


@pytest.mark.parametrize(("room", "name"), PUBLIC)
def test_what_is_public_has_a_docstring(room, name):
    documentation = public(room)[name].__doc__
    assert documentation, f"{room}.{name} has no docstring"
    summary = documentation.splitlines()[0]
    assert summary.strip(), f"{room}.{name}: the summary should be on the opening line"
    assert len(summary) <= 97


@pytest.mark.parametrize(("room", "name"), CLASSES)
def test_public_classes_document_their_arguments(room, name):
    cls = public(room)[name]
    if issubclass(cls, Exception | tuple) or not from_package(cls.__init__):
        return
    if dataclasses.is_dataclass(cls):  # their fields are documented where they stand
        return
    if has_arguments(cls):
        assert "Args:" in cls.__doc__, f"{room}.{name} does not say what its arguments are"
        for argument in set(inspect.signature(cls.__init__).parameters) - {"self", "args"}:
            label = f"**{argument}:" if argument == "kwargs" else f"{argument}:"
            assert label in cls.__doc__, f"{room}.{name} does not document `{argument}`"


def documented_defaults(documentation):
    """What is said to be the default of each argument, where that is a literal."""
    arguments = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", documentation, re.S | re.M)
    entries = re.split(r"^ {4}(?=\S)", arguments.group(1), flags=re.M) if arguments else []
    for entry in entries:
        said = re.search(r"Defaults\s+to\s+`([^`]+)`", entry)
        if said:
            try:
                yield entry.partition(":")[0], ast.literal_eval(said.group(1))
            except (SyntaxError, ValueError):  # `log 2`
                continue


@pytest.mark.parametrize(("room", "name"), PUBLIC)
def test_documented_defaults_are_the_defaults(room, name):
    documented = dict(documented_defaults(inspect.getdoc(public(room)[name])))
    parameters = inspect.signature(public(room)[name]).parameters if documented else {}
    assert documented == {argument: parameters[argument].default for argument in documented}


@pytest.mark.parametrize(("room", "name"), CLASSES)
def test_classes_that_users_make_show_an_example(room, name):
    cls = public(room)[name]
    kinds = keras.layers.Layer | keras.metrics.Metric
    used = room in WITH_EXAMPLES and issubclass(cls, kinds) and cls not in ABSTRACT
    if used and has_arguments(cls):
        assert "Example:" in cls.__doc__
        assert ">>>" in cls.__doc__


@pytest.mark.parametrize(("room", "name"), CLASSES)
def test_saved_classes_are_registered_under_the_package(room, name):
    """With the package's name and no module's, so that moving a file orphans no saved model."""
    cls = public(room)[name]
    saved = issubclass(cls, keras.layers.Layer | keras.metrics.Metric)
    if saved and cls not in ABSTRACT and room != "training":
        assert keras.saving.get_registered_name(cls) == f"keras_vqvae>{name}"
