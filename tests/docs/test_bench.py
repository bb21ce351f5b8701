"""The bench tells every figure in one shape, and says which targets are missed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "bench"
KEYS = ["name", "value", "unit", "baseline", "ratio", "target", "reached"]

_FIGURES = """
import json
from figures import Figure, line

told = [
    Figure("a (b)", 3.0, "s", 2.0, 1.0),
    Figure("a (b)", 1.5, "s", 2.0, 1.0),
    Figure("a, at least (b)", 3.9, "1/s", 0.98, 4.0, at_least=True),
    Figure("a", 7.0, "ms", 10.0, 1000.0, by_ratio=False),
    Figure("a", 7.0, "ms"),
]
print(json.dumps([[one.to_json(), line(one.to_json())] for one in told]))
"""


def test_a_figure_is_held_against_its_baseline_where_it_has_one() -> None:
    ended = subprocess.run([sys.executable, "-c", _FIGURES], cwd=BENCH, capture_output=True, text=True, check=True)

    told = json.loads(ended.stdout)
    assert [list(figure) for figure, _ in told] == [KEYS] * 5
    assert [figure["ratio"] for figure, _ in told] == [3.0, 1.5, 0.975, 0.007, None]
    assert [figure["reached"] for figure, _ in told] == [False, True, False, True, None]
    assert ["MISSED" in line for _, line in told] == [True, False, True, False, False]


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / "run.py"), "--quick", "--json"]

    nowhere = subprocess.run([*command, str(tmp_path / "no" / "f.json")], capture_output=True, text=True, check=False)
    folder = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)

    assert (nowhere.returncode, folder.returncode) == (2, 2)
    assert "its folder is not there" in nowhere.stderr
    assert "is a folder" in folder.stderr
    assert nowhere.stdout == folder.stdout == ""


@pytest.mark.slow
def test_one_command_prints_the_table_and_writes_it(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / "run.py"), "--only", "start", "--quick", "--json", str(tmp_path / "f.json")]

    ended = subprocess.run(command, capture_output=True, text=True, check=True)

    told = json.loads((tmp_path / "f.json").read_text())
    assert [list(figure) for figure in told] == [KEYS] * len(told)
    assert all(figure["name"] in ended.stdout for figure in told)
    assert f"{len(told)} figures" in ended.stdout.splitlines()[-1]
