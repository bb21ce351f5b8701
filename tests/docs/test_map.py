"""The map of the house names every room."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_map_names_every_package_and_module() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    drawn = text.split("## The house", 1)[1].split("```", 2)[1]

    there = {path.stem for path in (ROOT / "sdclient").iterdir() if path.suffix == ".py" or path.is_dir()}

    assert {name for name in there if not name.startswith("_")} <= set(re.findall(r"[a-z]+", drawn))
