"""The page of public names is what `docs/make_api.py` makes of the code."""

import importlib.util

import pytest
from support import ROOT

import keras_vqvae


@pytest.fixture(scope="module")
def make_api():
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.tensorflow_only
def test_the_page_is_that_of_the_code(make_api):
    page = make_api.PAGE.read_text(encoding="utf-8")
    assert page == make_api.page(), "write it anew: `python docs/make_api.py`"


def test_no_public_room_is_left_out(make_api):
    rooms = {name for name in keras_vqvae.__all__ if not name.startswith("__")}
    assert rooms | {"hypermodels", "distributions"} == set(make_api.ROOMS)
