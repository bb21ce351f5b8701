"""A seventh server program takes one file and one table: a copy of the package gets both, and nothing else is changed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sdclient

CLASS = '''
"""Invented: speaks like stable-diffusion.cpp, with a knob of its own."""

from __future__ import annotations

from sdclient.dialects.sdcpp import SdCpp


class Invented(SdCpp):
    """The dialect of a program that does not exist."""

    name = "invented"
    title = "Invented"
    table = "invented"
    overlay_names = ("invented",)
    ignored = {**SdCpp.ignored, "clip_skip": "has no layers to skip"}

    def recognises(self, options):
        """Tell whether the knob is there."""
        return "knob" in options
'''
TABLE = {
    "class": "sdclient.dialects.invented.Invented",
    "rank": 5,
    "key_sets": [{"version": "1", "source": "made up"}],
    "samplers": ["euler", "invented_one"],
    "request_fields": [
        *({"name": name, "type": "int"} for name in ("width", "height", "steps", "seed")),
        {"name": "prompt", "type": "string"},
        {"name": "knob", "type": "float 0..1"},
    ],
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the two files of another dialect."""
    folder = tmp_path_factory.mktemp("house")
    source = Path(str(sdclient.__file__)).parent
    shutil.copytree(source, folder / "sdclient", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "sdclient" / "dialects" / "invented.py").write_text(CLASS)
    (folder / "sdclient" / "facts" / "dialects" / "invented.json").write_text(json.dumps(TABLE))
    payload = {
        "kind": "txt2img",
        "request": {"prompt": "a fox", "steps": 9, "clip_skip": 2},
        "invented": {"sampler_name": "invented_one", "native": {"knob": 0.5}},
    }
    (folder / "fox.json").write_text(json.dumps(payload))
    return folder


def run(house: Path, *args: str) -> subprocess.CompletedProcess[str]:
    path = [str(house), *(entry for entry in sys.path if entry)]
    program = f"import sys; sys.path[:0] = {path!r}; sys.argv[0] = 'sdclient'; "
    code = args[1] if args[0] == "-c" else "from sdclient.cli.app import run_app; run_app()"
    more = () if args[0] == "-c" else args
    return subprocess.run(
        [sys.executable, "-c", program + code, *more],
        cwd=house,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_its_payloads_are_checked_and_shown(house: Path) -> None:
    checked = run(house, "payload", "check", "fox.json", "--dialect", "invented", "--json")
    shown = run(house, "payload", "show", "fox.json", "--dialect", "invented", "--json", "--set", "seed=7")

    told = json.loads(checked.stdout)
    [call] = json.loads(shown.stdout)
    assert (checked.returncode, told["keys"]) == (0, "invented-1")
    assert ("clip_skip", "dropped") in {(loss["field"], loss["kind"]) for loss in told["losses"]}
    assert {name: call["body"][name] for name in ("sampler_name", "knob", "seed")} == {
        "sampler_name": "invented_one", "knob": 0.5, "seed": 7,
    }  # fmt: skip


def test_its_native_keys_are_held_against_its_table(house: Path) -> None:
    wrong = run(house, "payload", "check", "fox.json", "--dialect", "invented", "--set", "native.invented.knob=2")
    unknown = run(house, "payload", "check", "fox.json", "--dialect", "invented", "--set", "native.invented.nob=1")

    assert (wrong.returncode, unknown.returncode) == (2, 2)
    assert "native.invented.knob: must be between 0 and 1, not 2" in wrong.stderr
    assert "did you mean knob" in unknown.stderr


def test_it_is_found_out_named_in_the_schema_and_has_a_column_in_the_matrix(house: Path) -> None:
    code = (
        "import json; from sdclient.dialects.detect import detect; from sdclient.dialects.matrix import matrix_rows; "
        "from sdclient.dialects.jsonschema import payload_schema; from sdclient.schemas import DIALECT_NAMES; "
        "cells = dict(matrix_rows()); "
        "print(json.dumps([detect({'knob': 1}).name, 'invented' in payload_schema()['properties'], "
        "cells['clip_skip']['invented'].how, len(DIALECT_NAMES)]))"
    )

    told = run(house, "-c", code)

    assert json.loads(told.stdout) == ["invented", True, "dropped", 7], told.stderr
