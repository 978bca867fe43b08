"""Imports point one way, and backends are imported in the files that are named for it.

The rules are those of docs/architecture.md; this reads the source, so it finds imports inside
functions and under `TYPE_CHECKING` too.
"""

import ast
import fnmatch
import importlib

import keras
import pytest
from support import ROOT, run_python

PACKAGE = ROOT / "keras_vqvae"

# What every room but `data` may see; of these a later one may see those before it.
FOUNDATION = (
    "choices",
    "checks",
    "seeds",
    "compilation",
    "kept_assignments",
    "saved_generator",
    "_version",
)
LEARNING = {"ops", "codebooks", "layers", "likelihoods", "metrics", "sampling", "training"}
OF_MODELS = LEARNING | {"models", "data", "distributions"}
ABOVE_MODELS = OF_MODELS | {"evaluation", "callbacks"}
MAY_SEE = {
    "ops": set(),
    "codebooks": {"ops"},
    "layers": {"ops", "codebooks"},
    "likelihoods": {"ops"},
    "metrics": {"ops"},
    "sampling": {"ops"},
    "training": {"ops"},
    "models": LEARNING,
    "data": set(),
    "distributions": LEARNING | {"models"},
    "evaluation": OF_MODELS,
    # They meet the model as `self.model`, and draw the pictures of `evaluation`.
    "callbacks": {"ops", "metrics", "data", "evaluation"},
    "runs": ABOVE_MODELS,
    "hypermodels": ABOVE_MODELS | {"runs"},
    "cli": ABOVE_MODELS | {"runs", "hypermodels"},
    "__main__": {"cli"},
}
# These see of other rooms only what is public.
PUBLIC_ONLY = {"cli", "hypermodels"}

BACKENDS = {
    "tensorflow": [
        "training/tensorflow_step.py",
        "compilation.py",
        "ops/nearest_code.py",
        "ops/row_chunks.py",
        "ops/highest_score.py",
        "ops/histogram.py",
        "ops/random_numbers.py",
        "ops/with_value.py",
        "ops/collectives.py",
        "data/tf_data.py",
        "distributions/*.py",
    ],
    "jax": [
        "training/jax_step.py",
        "compilation.py",
        "ops/nearest_code.py",
        "ops/row_chunks.py",
        "ops/highest_score.py",
        "ops/take_rows.py",
        "ops/with_value.py",
        "ops/collectives.py",
    ],
    "torch": ["compilation.py"],
    "tensorflow_probability": ["distributions/*.py"],
    "tf_keras": [],
    "keras_tuner": ["hypermodels/*.py"],
    "tensorboard": ["callbacks/*.py"],
}

FILES = sorted(PACKAGE.rglob("*.py"))


def imports(path):
    """(module, name or None) for each import of a file, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import; write the whole name"
            yield from ((node.module, alias.name) for alias in node.names)


def ours(path):
    """(room, module, name) for each import of something of this package."""
    for module, name in imports(path):
        parts = module.split(".")
        if parts[0] != "keras_vqvae":
            continue
        if len(parts) > 1:
            yield parts[1], module, name
        elif name is not None:
            yield name, f"keras_vqvae.{name}", None


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def relative(path):
    return path.relative_to(PACKAGE).as_posix()


def test_every_room_has_its_rule():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms <= set(MAY_SEE), "say in `MAY_SEE` what the new room may see"
    assert {"ops", "layers", "models"} <= rooms


def test_the_rules_themselves_point_one_way():
    order = list(MAY_SEE)
    for room, seen in MAY_SEE.items():
        assert all(room not in MAY_SEE[other] for other in seen), room
        assert seen <= set(order)


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_imports_point_one_way(path):
    room = room_of(path)
    if room == "__init__":
        return
    if room in FOUNDATION:
        allowed = set(FOUNDATION[: FOUNDATION.index(room)])
    elif room == "data":
        allowed = {"data"}
    else:
        allowed = {*FOUNDATION, *MAY_SEE[room], room}
    seen = {other for other, _, _ in ours(path)}
    assert seen <= allowed, f"{relative(path)} may not import {sorted(seen - allowed)}"


@pytest.mark.parametrize("path", [p for p in FILES if room_of(p) in PUBLIC_ONLY], ids=relative)
def test_the_outer_rooms_see_only_what_is_public(path):
    room = room_of(path)
    for other, module, name in ours(path):
        if other == room or other in FOUNDATION or name is None:
            continue
        public = importlib.import_module(f"keras_vqvae.{other}").__all__
        assert name in public, f"{relative(path)} imports {name} from {module}, which is not public"


@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_are_imported_in_the_files_named_for_it(backend):
    """Trap 27. Nowhere Keras 2, and probability only in the room of distributions."""
    users = {
        relative(path)
        for path in FILES
        if any(module.split(".")[0] == backend for module, _ in imports(path))
    }
    strays = [p for p in users if not any(fnmatch.fnmatch(p, a) for a in BACKENDS[backend])]
    assert not strays, f"{backend} is imported in {strays}"
    if backend in ("tensorflow", "jax"):
        assert f"training/{backend}_step.py" in users


def test_scripts_see_only_the_public_package():
    scripts = [p for d in ("examples", "tuning", "benchmarks") for p in (ROOT / d).rglob("*.py")]
    for path in scripts:
        for module, name in imports(path):
            parts = module.split(".")
            if parts[0] != "keras_vqvae":
                continue
            assert len(parts) <= 2, f"{path.name} imports {module}: not public"
            if len(parts) == 2 and name is not None:
                assert name in importlib.import_module(module).__all__, f"{path.name}: {name}"


LOADED = """
import sys, keras_vqvae, keras
names = ["tensorflow", "tensorflow_probability", "tf_keras", "keras_tuner", "tensorboard", "torch"]
print(keras.backend.backend(), *(name for name in names if name in sys.modules))
"""


def test_import_on_jax_loads_no_tensorflow():
    pytest.importorskip("jax")
    assert run_python(LOADED, "jax").split() == ["jax"]


@pytest.mark.tensorflow_only
def test_import_on_tensorflow_loads_neither_probability_nor_tuner():
    """Trap 27. All rests on Keras 3: no model needs probability, which pulls Keras 2 in."""
    loaded = run_python(LOADED, "tensorflow").split()
    assert loaded[:2] == ["tensorflow", "tensorflow"]
    assert not {"tensorflow_probability", "keras_tuner", "torch", "tf_keras"} & set(loaded)
    assert int(keras.__version__.split(".")[0]) >= 3
    reached = set().union(*(MAY_SEE[room] for room in LEARNING | {"models"}))
    assert "distributions" not in reached  # the one room that probability is imported in


def test_another_backend_is_refused_with_a_remedy():
    pytest.importorskip("torch")
    with pytest.raises(RuntimeError, match="Set KERAS_BACKEND to 'tensorflow' or 'jax'"):
        run_python("import keras_vqvae.models", "torch")
