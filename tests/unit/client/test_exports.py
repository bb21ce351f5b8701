"""Guards of the public face: what it exports, what importing it costs, and that its errors travel."""

from __future__ import annotations

import importlib
import pickle
import subprocess
import sys

import pytest

import sdclient
from sdclient import errors
from sdclient.errors import SDClientError, ServerError

HEAVY = ("PIL", "numpy", "cv2", "torch", "pandas", "requests", "pydantic", "psutil")


def modules_after(code: str) -> set[str]:
    """Return which of the heavy modules are loaded after running this in a fresh interpreter."""
    program = f"{code}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_exports_are_sorted_and_every_one_is_there() -> None:
    assert sdclient.__all__ == sorted(sdclient.__all__)
    for name in sdclient.__all__:
        assert getattr(sdclient, name) is not None
    assert set(sdclient.__all__) <= set(dir(sdclient))


@pytest.mark.parametrize("module", ["sdclient.client", "sdclient.errors"])
def test_exports_of_the_packages_below_are_sorted_and_there(module: str) -> None:
    loaded = importlib.import_module(module)

    assert loaded.__all__ == sorted(loaded.__all__)
    assert all(hasattr(loaded, name) for name in loaded.__all__)


@pytest.mark.parametrize("module", ["sdclient.dialects", "sdclient.schemas", "sdclient.transport"])
def test_names_that_load_late_are_all_there(module: str) -> None:
    loaded = importlib.import_module(module)

    assert all(getattr(loaded, name) is not None for name in loaded.__all__)
    assert not hasattr(loaded, "no_such_name")


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Server'"):
        _ = sdclient.Server


def test_every_error_is_exported() -> None:
    assert set(errors.__all__) <= set(sdclient.__all__)


def test_importing_loads_nothing_heavy() -> None:
    assert modules_after("import sdclient") == set()


def test_a_client_loads_neither_pillow_nor_numpy_before_the_first_image() -> None:
    code = "import sdclient\nsdclient.Client('http://127.0.0.1:9')\nsdclient.Txt2Img(prompt='a fox', steps=30)"

    assert modules_after(code) == {"requests", "pydantic"}


def test_the_parts_of_a_client_are_loaded_when_they_are_used() -> None:
    parts = ("asyncio", "sdclient.dialects.a1111", "sdclient.schemas.generation", "sdclient.schemas.config")
    program = f"from sdclient import Client\nimport sys\nprint(*[name for name in {parts!r} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_derives_from_the_base_and_survives_pickling(name: str) -> None:
    kind = getattr(errors, name)
    error = kind("what failed", 500, "body", "steps", 7.0) if issubclass(kind, ServerError) else kind("what failed")

    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert isinstance(again, SDClientError)
    assert name.endswith("Error")
    assert (type(again), str(again), again.__dict__) == (type(error), "what failed", error.__dict__)
