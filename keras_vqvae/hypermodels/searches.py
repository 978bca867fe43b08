"""What makes a search this one and no other, kept in its directory."""

import json
import math
import os
from pathlib import Path
from typing import Any

from keras_vqvae.hypermodels.state_files import mend_state, write_state
from keras_vqvae.runs import RunConfig, RunExistsError

__all__ = ["check_directory", "check_objective", "search_settings", "write_settings"]

_FILE = "search.json"


def search_settings(hypermodel: Any, hp: Any, **asked: Any) -> dict[str, Any]:
    """What all trials of a search have in common, as plain data.

    Args:
        hypermodel: of the search.
        hp: hyperparameters that it has declared.
        **asked: what else decides the search.
    """
    space: dict[str, list[Any]] = {}
    for one in hp.get_config()["space"]:
        config = dict(one["config"])
        space.setdefault(config.pop("name"), []).append({"kind": one["class_name"], **config})
    common = hypermodel.settings() if hasattr(hypermodel, "settings") else {}
    found = {**asked, "hyperparameter": space, "setting": common}
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain


def check_directory(directory: str | os.PathLike[str], settings: dict[str, Any]) -> None:
    """Refuses the directory of another search.

    Raises:
        RunExistsError: saying in what that one differs.
    """
    folder = Path(directory)
    file = folder / _FILE
    mend_state(file)
    if not file.exists():
        if (folder / "oracle.json").exists():
            raise RunExistsError(
                f"the directory {str(folder)!r} holds a search that this package has not begun. "
                "Give another directory"
            )
        return
    before = json.loads(file.read_text(encoding="utf-8"))
    _fill_in(before.get("setting", {}), settings["setting"], RunConfig().to_dict())
    differences = list(_differences(before, settings, ""))
    if differences:
        more = len(differences) - 3
        differences[3:] = [f"and {more} more"] if more > 0 else []
        raise RunExistsError(
            f"the directory {str(folder)!r} holds another search ({'; '.join(differences)}). Give "
            "another directory, or go on with the settings of that one"
        )


def write_settings(directory: str | os.PathLike[str], settings: dict[str, Any]) -> None:
    """Keeps the settings in the directory of the search."""
    write_state(Path(directory) / _FILE, settings)


def check_objective(hypermodel: Any, model: Any, objective: str) -> None:
    """Refuses an objective that no trial will have.

    Raises:
        ValueError: listing those that there are.
    """
    if not hasattr(hypermodel, "objectives"):
        return  # of a user: nobody knows what its `fit` adds to the logs
    known = hypermodel.objectives(model)
    if objective not in known:
        raise ValueError(
            f"`objective` should be one of {', '.join(known)}. Received: objective={objective!r}"
        )


def _fill_in(before: dict[str, Any], now: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Gives settings that another version of the package did not have their defaults."""
    for name in now.keys() & defaults.keys():
        if name not in before:
            before[name] = defaults[name]
        elif all(isinstance(one[name], dict) for one in (before, now, defaults)):
            _fill_in(before[name], now[name], defaults[name])


def _differences(before: Any, now: Any, name: str) -> Any:
    """As `name: before -> now`."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            yield from _differences(before.get(key), now.get(key), f"{name} {key}".strip())
    elif before != now and not (name.endswith(" variance") and _alike(before, now)):
        yield f"{name}: {_shown(before)} -> {_shown(now)}"


def _alike(before: Any, now: Any) -> bool:
    """Whether numbers differ by no more than what two versions of a JPEG decoder make of images."""
    numbers = isinstance(before, int | float) and isinstance(now, int | float)
    return numbers and math.isclose(before, now, rel_tol=1e-3)


def _shown(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return "none" if value is None else str(value)
    kept = {k: v for k, v in value.items() if v not in (None, []) and k != "conditions"}
    return " ".join(f"{k}={v}" for k, v in kept.items())
