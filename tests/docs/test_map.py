"""The map of the house names every room."""

from __future__ import annotations

import re
import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]


def test_the_map_names_every_package_and_module() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawn = text.split("## The house", 1)[1].split("```", 2)[1]

    there = {path.stem for path in (ROOT / "sdclient").iterdir() if path.suffix == ".py" or path.is_dir()}

    assert {name for name in there if not name.startswith("_")} <= set(re.findall(r"[a-z]+", drawn))


def test_what_it_tells_to_run_comes_along_in_the_sources_that_are_published() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = {path.strip("/") for path in re.findall(r"^bash (\S+)/", text, re.MULTILINE)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    included: list[str] = project["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]

    assert named
    assert named <= {path.strip("/") for path in included}
