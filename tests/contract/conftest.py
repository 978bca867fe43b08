"""The contract suite goes through one case after another, not one check after another.

JAX keeps some thousands of operations as it compiled them, and forgets those that are longest out
of use. All cases need more than that: by checks, every operation would be forgotten before its case
comes again.
"""

from pathlib import Path

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    places = [i for i, item in enumerate(items) if item.path.parent == HERE]
    cases = sorted((items[i] for i in places), key=lambda item: (item.path, case_of(item)))
    for i, item in zip(places, cases, strict=True):
        items[i] = item


def case_of(item):
    """The name of an item's case, or nothing."""
    case = item.callspec.params.get("case") if hasattr(item, "callspec") else None
    return getattr(case, "name", "")
