"""All kills and faults, long fuzzing and long jobs; the results go to results.json and the docs.

    python tests/reliability/run_all.py [kills [--go-on]] [faults] [fuzz] [long]

Without a word, all four; with `--go-on`, the kills that are not in the results yet. Tests run a
part of each: four kills, all faults, a few mutations.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "runs"), str(HERE.parent.parent)]

KILLS, MUTATIONS = 20, 500


def kills(folder: Path, before: list) -> Iterator[list]:
    """The cases done so far, after each; those that are there already are not done again."""
    from reliability.kills import Whole, run_cases

    done = {case["case"]: case for case in before}
    missing = [number for number in range(KILLS) if number not in done]
    whole = Whole.make(folder) if missing else None
    for case in run_cases(whole, missing, folder):
        done[case["case"]] = case
        yield [done[number] for number in sorted(done)]


def faults(folder: Path) -> dict:
    from runs_support import tiny_config, write_images

    from keras_vqvae.runs import Run
    from reliability.faults import damage_files, meet_faults

    met = meet_faults(folder / "faults")
    run = Run.create(folder / "run", tiny_config(write_images(folder / "images")))
    run.train(verbose=0)
    return {"training": met, "files": damage_files(run, folder / "damaged")}


def fuzz(folder: Path) -> dict:
    from reliability.fuzz import fuzz

    return {name: dict(found) for name, found in fuzz(MUTATIONS, folder).items()}


def long(_: Path) -> list:
    """On both backends, each in a process of its own."""
    found = []
    for backend in ("tensorflow", "jax"):
        command = [sys.executable, str(HERE / "long_jobs.py")]
        environment = {**os.environ, "KERAS_BACKEND": backend}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout.strip().splitlines()[-1]))
    return found


def main(parts: list) -> None:
    from reliability.tables import DOCUMENT, RESULTS, with_tables

    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}

    def keep(part: str, found: Any) -> None:
        results[part] = found
        results.setdefault("versions", {})[part] = versions()
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")

    with tempfile.TemporaryDirectory() as folder:
        if not parts or "kills" in parts:
            before = results.get("kills", []) if "--go-on" in parts else []
            for found in kills(Path(folder) / "kills", before):
                keep("kills", found)
        if not parts or "faults" in parts:
            keep("faults", faults(Path(folder) / "faults"))
        if not parts or "fuzz" in parts:
            keep("fuzz", fuzz(Path(folder) / "fuzz"))
        if not parts or "long" in parts:
            keep("long", long(Path(folder)))
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(), results))


def versions() -> str:
    packages = {"Keras": "keras", "TensorFlow": "tensorflow", "JAX": "jax"}
    found = {"Python": platform.python_version()}
    found |= {name: metadata.version(package) for name, package in packages.items()}
    return ", ".join(f"{name} {version}" for name, version in found.items())


if __name__ == "__main__":
    main(sys.argv[1:])
