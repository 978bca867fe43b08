"""The tables of docs/reliability.md, out of results.json."""

import re
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
    rows = ["| killed | what was kept | differences from the run that was not |", "|---|---|---|"]
    for case in cases:
        different = ", ".join(case["different"]) or f"none of {case['compared']}"
        rows.append(f"| {case['killed']} | {case['kept']} | {different} |")
    equal = sum(not case["different"] for case in cases)
    return "\n".join([*rows, "", f"{equal} of {len(cases)} end alike to the last bit."])


def faults_table(found: list) -> str:
    *faults, end = found
    rows = ["| fault | the one line | what is kept |", "|---|---|---|"]
    rows += [f"| {r['fault']} | {_code(r['line'])} | {r['kept']} |" for r in faults]
    different = ", ".join(end["different"]) or f"differs in none of {end['compared']}"
    said = f"{end['fault']}: compared with a run that met none, it {different}."
    return "\n".join([*rows, "", said])


def files_table(found: list) -> str:
    rows = ["| file | the one line |", "|---|---|"]
    return "\n".join(rows + [f"| {r['fault']} | {_code(r['line'])} |" for r in found])


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
    return line if line.startswith("(") else f"`{line.replace('|', '¦').replace('`', '’')}`"
