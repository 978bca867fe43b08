"""The tables of docs/reliability.md, out of results.json."""

import re
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"
DOCUMENT = HERE.parents[1] / "docs" / "reliability.md"


def with_tables(text: str, results: dict) -> str:
    """The document with each table between its two marks written anew."""
    for name, table in tables(results).items():
        start, end = (
            f"<!-- {name}: written by tests/reliability/run_all.py -->",
            f"<!-- /{name} -->",
        )
        if start not in text or end not in text:
            raise ValueError(f"the document has no place for the table of {name}")
        text = re.sub(
            f"{re.escape(start)}.*?{re.escape(end)}",
            lambda _, s=start, t=table, e=end: f"{s}\n{t}\n{e}",
            text,
            flags=re.DOTALL,
        )
    return text


def tables(results: dict) -> dict:
    """Each table by name."""
    made = {part: f"\n\n{version}." for part, version in results["versions"].items()}
    return {
        "kills": kills_table(results["kills"]) + made["kills"],
        "faults": faults_table(results["faults"]["training"]) + made["faults"],
        "files": files_table(results["faults"]["files"]),
        "fuzz": fuzz_table(results["fuzz"]) + made["fuzz"],
        "long": long_table(results["long"]) + made["long"],
    }


def kills_table(cases: list) -> str:
    """How many cases of each phase; the cases themselves are in the results."""
    phases = Counter(_phase(case) for case in cases)
    alike = Counter(_phase(case) for case in cases if not case["different"])
    rows = ["| killed while | cases | end alike to the last bit |", "|---|---|---|"]
    rows += [f"| {phase} | {count} | {alike[phase]} |" for phase, count in phases.most_common()]
    things = sorted({case["compared"] for case in cases})
    said = (
        f"{alike.total()} of {len(cases)} end alike to the last bit, in all "
        f"{' or '.join(map(str, things))} things that are compared. "
        "`tests/reliability/results.json` has each case."
    )
    return "\n".join([*rows, "", said])


def _phase(case: dict) -> str:
    """What the command did when it was killed, from the line that it had printed last."""
    line = case["killed"].partition(",")[0]
    epoch = re.match(r"Epoch (\d+)/(\d+)$", line)
    if epoch is None:
        return f"{line[:1].lower()}{line[1:]}"
    number, last = epoch.groups()
    # An epoch of the prior comes after all those of the VQ-VAE; the last one ends with all kept.
    all_of_first = re.match(rf"vqvae: {last} epochs?(;|$)", case["kept"])
    prior = "prior:" in case["kept"] or (all_of_first and number != last)
    return f"training the {'prior' if prior else 'VQ-VAE'}"


def faults_table(found: list) -> str:
    *faults, end = found
    rows = ["| fault | the one line | what is kept |", "|---|---|---|"]
    rows += [f"| {r['fault']} | {_code(r['line'])} | {r['kept']} |" for r in faults]
    different = ", ".join(end["different"]) or f"differs in none of {end['compared']}"
    said = f"{end['fault']}: compared with a run that met none, it {different}."
    return "\n".join([*rows, "", said])


def files_table(found: list) -> str:
    """Faults that have the same line share a row."""
    alike: dict[str, list[str]] = {}
    for one in found:
        name = one["fault"].replace("`", "").partition(": ")[0]
        # Each damage was done in a copy of the run that is named by it.
        line = re.sub(rf"…/{re.escape(name)} \w+/", "…/", one["line"])
        alike.setdefault(line.replace(name, "FILE"), []).append(one["fault"])
    rows = ["| file | the one line, of the first file where several share it |", "|---|---|"]
    for line, faults in alike.items():
        name = faults[0].replace("`", "").partition(": ")[0]
        rows.append(f"| {'; '.join(faults)} | {_code(line.replace('FILE', name))} |")
    return "\n".join(rows)


def fuzz_table(found: dict) -> str:
    rows = ["| mutated | what happened | how often |", "|---|---|---|"]
    for kind, outcomes in found.items():
        rows += [f"| {kind} | {what} | {count} |" for what, count in sorted(outcomes.items())]
    return "\n".join(rows)


def long_table(found: list) -> str:
    rows = ["| | " + " | ".join(f"`{one['backend']}`" for one in found) + " |"]
    rows.append("|---" * (len(found) + 1) + "|")
    lines = {
        "MiB over {steps} training steps": [_growth(one["training"]) for one in found],
        "MiB over {calls} calls of `sample`": [_growth(one["sampling"]) for one in found],
        "seconds to the first step of {images} images": [
            f"{one['start']['clock']} ({one['start']['cpu']} of CPU)" for one in found
        ],
    }
    counts = {
        name: f"{number:,}".replace(",", " ")
        for part in found[0].values()
        if isinstance(part, dict)
        for name, number in part.items()
    }
    rows += [f"| {name.format(**counts)} | {' | '.join(cells)} |" for name, cells in lines.items()]
    return "\n".join(rows)


def _growth(part: dict) -> str:
    return f"{part['before']:.0f} → {part['after']:.0f}"


def _code(line: str) -> str:
    """A span of code in a cell, where a bar needs a backslash; of two backticks around single ones.

    Words in parentheses are no line of a program.
    """
    line = line.replace("|", "\\|")
    if line.startswith("("):
        return line
    return f"`` {line} ``" if "`" in line else f"`{line}`"
