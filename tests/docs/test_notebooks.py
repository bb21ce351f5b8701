"""The notebooks as they are committed; `pytest --nbmake notebooks` runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def code_cells(path: Path) -> list[dict[str, object]]:
    return [cell for cell in json.loads(path.read_bytes())["cells"] if cell["cell_type"] == "code"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path: Path) -> None:
    assert all((cell["outputs"], cell["execution_count"]) == ([], None) for cell in code_cells(path))


def test_a_recipe_of_ones_own_takes_30_lines_at_most() -> None:
    (path,) = (path for path in NOTEBOOKS if "your_own" in path.stem)

    lines = "".join(code_cells(path)[0]["source"]).splitlines()

    assert len([line for line in lines if line.strip()]) <= 30
