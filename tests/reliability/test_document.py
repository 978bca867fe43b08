"""The tables in the docs are those of the last results."""

import json

import pytest

from reliability.tables import DOCUMENT, RESULTS, with_tables

TEXT = DOCUMENT.read_text(encoding="utf-8")
FOUND = json.loads(RESULTS.read_text(encoding="utf-8"))


def test_the_document_is_up_to_date():
    assert with_tables(TEXT, FOUND) == TEXT


def test_the_last_results_are_good():
    assert len(FOUND["kills"]) == 20
    assert not any(case["different"] or case["left_over"] for case in FOUND["kills"])
    *faults, end = FOUND["faults"]["training"]
    assert not end["different"]
    for row in [*faults, *FOUND["faults"]["files"]]:
        assert row["expected"], row
        assert row["lines"] == 1, row
    assert all(sum(counts.values()) >= 500 for counts in FOUND["fuzz"].values())
    assert len(FOUND["fuzz"]) == 3
    assert [one["backend"] for one in FOUND["long"]] == ["tensorflow", "jax"]
    for one in FOUND["long"]:
        assert one["training"]["steps"] >= 2000
        assert one["sampling"]["calls"] >= 20
        assert one["start"]["images"] >= 200_000
        for part in (one["training"], one["sampling"]):
            assert part["after"] - part["before"] < 24  # MiB


def test_a_document_without_a_place_for_a_table_is_an_error():
    with pytest.raises(ValueError, match="no place for the table"):
        with_tables("nothing", FOUND)
