"""What a notebook's kernel shows of a run."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from sdclient import Run, Txt2Img
from sdclient.batch.events import Event
from sdclient.batch.survey import Counts
from sdclient.notebook import NotebookLine
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


def test_a_run_shows_its_line_while_it_works_and_a_table_of_where_it_stands(tmp_path: Path) -> None:
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

    assert "\r0/2  [..........]  finish unknown yet  0001_a_fox" in text
    assert "\r2/2  [##########]" in text
    assert "<caption>A&amp;B</caption>" in text
    assert "<th>set aside</th>" in text
    assert "<td>2</td><td>2</td><td>0</td>" in text


def test_a_stall_is_called_one_in_a_notebook_and_said_once() -> None:
    now_s = 0.0
    shown: list[str] = []
    line = NotebookLine(Counts(jobs=2, waiting=2), shown.append, lambda: now_s)
    line(Event("failed", Counts(jobs=2, failed=1, waiting=1), "mini", "a/fox"))
    now_s = 700.0

    line.tick()
    line.tick()

    assert [text.strip() for text in shown] == [
        "0/2  [..........]  finish unknown yet",
        "0/2  [..........]  1 failed  finish unknown yet",
        "0/2  [..........]  STALLED: nothing ended for 12 min  1 failed",
    ]


def test_a_run_outside_a_notebook_shows_nothing(
    tmp_path: Path, a1111: Simulator, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "OUT").add(["a fox"], Txt2Img(inherit=True, width=64, height=64, steps=1))

    run.start(a1111.url)

    assert "".join(capfd.readouterr()) == ""
