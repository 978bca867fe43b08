"""All twenty kills, all faults, and the long fuzzing; the results go to results.json and the docs.

    python tests/reliability/run_all.py [kills] [faults] [fuzz]

Without a word, all three. Tests run a part of each: four kills, all faults, a few mutations.
"""

import json
import platform
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "runs"), str(HERE.parent.parent)]

KILLS, MUTATIONS = 20, 600


def kills(folder: Path) -> list:
    from reliability.kills import Whole, run_cases

    return run_cases(Whole.make(folder), list(range(KILLS)), folder)


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


def main(parts: list) -> None:
    from reliability.tables import DOCUMENT, RESULTS, with_tables

    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for part in parts or ["kills", "faults", "fuzz"]:
        with tempfile.TemporaryDirectory() as folder:
            results[part] = {"kills": kills, "faults": faults, "fuzz": fuzz}[part](Path(folder))
        results.setdefault("versions", {})[part] = versions()
        RESULTS.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(), results))


def versions() -> str:
    import keras
    import tensorflow

    python = platform.python_version()
    return f"Python {python}, Keras {keras.__version__}, TensorFlow {tensorflow.__version__}"


if __name__ == "__main__":
    main(sys.argv[1:])
