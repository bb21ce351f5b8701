"""What a notebook's kernel shows of a run."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from sdclient import Run, Txt2Img
from sdclient.simulator import Simulator


def shown(code: str, folder: Path) -> str:
    """Run one cell in a kernel of its own, and return everything that it shows as text or HTML."""
    cell = nbformat.v4.new_code_cell(code)
    book = nbformat.v4.new_notebook(cells=[cell])
    NotebookClient(book, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    parts: list[str] = []
    for output in cell.outputs:
        data = output.get("data", {})
        parts += [output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")]
    return "".join(parts)


def test_a_run_shows_a_bar_while_it_works_and_a_table_of_where_it_stands(tmp_path: Path) -> None:
    code = """
from sdclient import Run, Txt2Img
from sdclient.simulator import Simulator

request = Txt2Img(inherit=True, width=64, height=64, steps=1)
run = Run("A&B").add(["a fox", "an owl"], request)
with Simulator("a1111") as server:
    run.start(server.url)
run
"""

    text = shown(code, tmp_path)

    assert "0/2 [" in text
    assert "<caption>A&amp;B</caption>" in text
    assert "<th>set aside</th>" in text
    assert "<td>2</td><td>2</td><td>0</td>" in text


def test_a_run_outside_a_notebook_shows_nothing(
    tmp_path: Path, a1111: Simulator, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "OUT").add(["a fox"], Txt2Img(inherit=True, width=64, height=64, steps=1))

    run.start(a1111.url)

    assert "".join(capfd.readouterr()) == ""
