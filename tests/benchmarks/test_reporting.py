"""The results files of benchmarks: what they hold, and which the report refuses to write."""

import importlib.util
import json
import os
import shutil
import subprocess

import pytest
from support import ROOT

RESULTS = sorted((ROOT / "benchmarks/results").glob("*.json"))


def load(path):
    spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reporting = load(ROOT / "benchmarks/reporting.py")
Figure = reporting.Figure


class Checkout:
    """A repository with the benchmarks' report, one commit, and no changes."""

    def __init__(self, root):
        self.root = root
        (root / "keras_vqvae").mkdir()
        (root / "benchmarks/results").mkdir(parents=True)
        shutil.copy(ROOT / "benchmarks/reporting.py", root / "benchmarks")
        for path in (self.package, self.results):
            path.write_text("# as committed")
        self.git("init", "--quiet")
        self.commit()

    @property
    def package(self):
        return self.root / "keras_vqvae/layers.py"

    @property
    def results(self):
        return self.root / "benchmarks/results/speed.json"

    def git(self, *words):
        options = ("-c", "user.name=a", "-c", "user.email=a@localhost")
        command = ["git", *options, *words]
        result = subprocess.run(command, cwd=self.root, check=True, capture_output=True, text=True)
        return result.stdout.strip()

    def commit(self):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "a")

    def reporting(self):
        """As a script that is started now finds it, with the package of the checkout."""
        module = load(self.root / "benchmarks/reporting.py")
        module._package = lambda: self.package.parent
        return module


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    if shutil.which("git") is None:
        pytest.skip("needs git")
    return Checkout(tmp_path)


def report(module, output=None, full=True):
    return module.report("speed", [module.Figure("step", "ms", 1.0)], {}, output, full)


def test_a_full_run_names_its_commit(checkout):
    module = checkout.reporting()
    module.require_commit(True, None)
    assert report(module) == 0
    written = json.loads(checkout.results.read_text("utf-8"))
    assert written["versions"]["commit"] == checkout.git("rev-parse", "--short=12", "HEAD")


@pytest.mark.parametrize("changed", ["keras_vqvae/layers.py", "benchmarks/reporting.py"])
def test_what_no_commit_holds_is_not_measured_for_the_usual_file(checkout, changed, tmp_path):
    with (checkout.root / changed).open("a") as file:
        file.write("\n# changed")
    module = checkout.reporting()
    with pytest.raises(SystemExit, match=r"Received: commit \w{12}\+.*\n?.*`--output FILE`"):
        module.require_commit(True, None)
    # Of a script that did not ask before.
    with pytest.raises(SystemExit, match="Commit them first"):
        report(module)
    assert checkout.results.read_text() == "# as committed"
    # Files of one's own choice say that there were changes; reduced runs write none.
    elsewhere = tmp_path / "elsewhere.json"
    module.require_commit(True, elsewhere)
    report(module, elsewhere)
    assert json.loads(elsewhere.read_text("utf-8"))["versions"]["commit"].endswith("+")
    module.require_commit(False, None)
    report(module, full=False)
    assert checkout.results.read_text() == "# as committed"


def test_neither_results_nor_unknown_files_are_changes(checkout):
    checkout.results.write_text("of the run before")
    (checkout.root / "keras_vqvae/notes.py").write_text("")
    (checkout.root / "benchmarks/new.py").write_text("")
    module = checkout.reporting()
    module.require_commit(True, None)
    assert not module.commit().endswith("+")


def test_the_commit_is_that_of_the_start(checkout):
    module = checkout.reporting()
    module.require_commit(True, None)
    at_start = module.commit()
    checkout.package.write_text("changed during the run")
    report(module)
    checkout.commit()
    assert checkout.git("rev-parse", "--short=12", "HEAD") != at_start
    assert json.loads(checkout.results.read_text("utf-8"))["versions"]["commit"] == at_start


def test_without_a_repository_there_is_no_commit_to_name(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "benchmarks").mkdir()
    copied = shutil.copy(ROOT / "benchmarks/reporting.py", tmp_path / "benchmarks/reporting.py")
    module = load(copied)
    module._package = lambda: tmp_path / "keras_vqvae"
    module.require_commit(True, None)
    assert module.commit() is None


def test_a_package_that_is_installed_elsewhere_is_not_measured(checkout):
    module = load(checkout.root / "benchmarks/reporting.py")
    with pytest.raises(SystemExit, match=r"Received: keras_vqvae from .*pip install -e \."):
        module.require_commit(True, None)
    module.require_commit(False, None)
    assert load(ROOT / "benchmarks/reporting.py")._package() == ROOT / "keras_vqvae"


@pytest.mark.parametrize(
    ("bounds", "interval", "across"),
    [
        ({"at_least": 10.0}, (9.9, 10.8), True),
        ({"at_least": 10.0}, (10.1, 10.8), False),
        ({"at_most": 1.43}, (1.24, 1.51), True),
        ({"at_most": 1.43}, None, False),
        ({}, (9.9, 10.8), False),
    ],
)
def test_an_interval_that_reaches_across_the_bound_leaves_it_open(
    bounds, interval, across, tmp_path, capsys
):
    figure = Figure("speed", "×", 10.4, interval=interval, **bounds)
    assert figure.interval_reaches_across == across
    reporting.report("speed", [figure], {}, tmp_path / "results.json", full=True)
    assert ("open" in capsys.readouterr().out) == across


def test_a_name_is_of_one_figure(tmp_path, capsys):
    figures = [Figure("step", "ms", 1), Figure("memory", "GB", 1), Figure("step", "× theirs", 2)]
    path = tmp_path / "results.json"
    with pytest.raises(ValueError, match=r"Received 2 figures that are called 'step'"):
        reporting.report("speed", figures, {}, path, full=False)
    assert "× theirs" in capsys.readouterr().out  # What was measured is not lost.
    assert not path.exists()


def test_a_reduced_run_is_not_judged(tmp_path):
    figures = [Figure("step", "ms", 2, 3, at_most=1), Figure("speed", "×", 2, at_least=1)]
    path = tmp_path / "results.json"
    assert reporting.report("speed", figures, {}, path, full=False) == 0
    assert [figure["holds"] for figure in json.loads(path.read_text())["figures"]] == [None, None]
    assert reporting.report("speed", figures, {}, path, full=True) == 1
    assert [figure["holds"] for figure in json.loads(path.read_text())["figures"]] == [False, True]


def test_pictures_lie_beside_results_that_are_written(tmp_path):
    path = tmp_path / "results.json"
    assert reporting.results_file("speed", path, full=False) == path
    assert reporting.results_file("speed", None, full=False) is None
    assert reporting.results_file("speed", None, full=True).name == "speed.json"


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_committed_results_are_as_the_report_writes_them(path):
    text = path.read_text("utf-8")
    results = json.loads(text)
    assert json.dumps(results, indent=2, ensure_ascii=False) + "\n" == text
    assert results["benchmark"] == path.stem
    assert results["full_run"]
    figures = []
    for written in results["figures"]:
        holds = written.pop("holds")
        figures.append(Figure(**written))
        assert figures[-1].holds == holds, written["name"]
        assert list(written) == [*vars(figures[-1])]
    reporting.check_names(figures)
