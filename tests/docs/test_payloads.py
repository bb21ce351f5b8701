"""Every payload that ships loads, and says what it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sdclient.schemas.payload import load_request, payload_names

FOLDER = Path(__file__).parents[2] / "payloads"


def test_the_names_are_the_files_of_the_folder() -> None:
    assert set(payload_names()) == {path.stem for path in FOLDER.glob("*.json")}


@pytest.mark.parametrize("name", payload_names())
def test_every_payload_loads_and_describes_itself(name: str) -> None:
    value = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))

    request = load_request(name)

    assert value["kind"] == request.kind
    assert value["about"]
