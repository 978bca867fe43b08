"""The tables in the docs are those of the last results."""

import json

import pytest

from reliability import tables
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


def test_kills_are_counted_by_what_they_met():
    def case(killed, kept, different=()):
        return {"killed": killed, "kept": kept, "different": list(different), "compared": 19}

    table = tables.kills_table(
        [
            case("Epoch 1/5, 9% of the time", "nothing"),
            case("Epoch 5/5, 9% of the time", "vqvae: 5 epochs"),
            case("Epoch 1/5, 9% of the time", "vqvae: 5 epochs", ["samples.png: pixels"]),
            case("Epoch 2/5, 9% of the time", "vqvae: 5 epochs; prior: 1 epoch"),
            case("Evaluating, 9% of the time", "vqvae: 5 epochs"),
        ]
    )
    for row in ("training the VQ-VAE | 2 | 2", "training the prior | 2 | 1", "evaluating | 1 | 1"):
        assert f"| {row} |" in table
    assert "4 of 5 end alike" in table


def test_files_that_share_a_line_share_a_row():
    found = [
        {
            "fault": f"`{name}`: {damage}",
            "line": f"error: `…/{name} {damage}/{name}` | {damage[:3]}",
        }
        for name in ("a.keras", "b.keras")
        for damage in ("cut", "cute", "empty")
    ]
    rows = tables.files_table(found).splitlines()[2:]
    shared = "`a.keras`: cut; `a.keras`: cute; `b.keras`: cut; `b.keras`: cute"
    assert rows[0] == f"| {shared} | `` error: `…/a.keras` \\| cut `` |"
    assert len(rows) == 2


def test_a_document_without_a_place_for_a_table_is_an_error():
    with pytest.raises(ValueError, match="no place for the table"):
        with_tables("nothing", FOUND)
