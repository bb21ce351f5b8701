"""What a notebook's kernel shows of a run."""

from __future__ import annotations

import io
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from tqdm import tqdm

from sdclient import Run, Txt2Img
from sdclient.batch.events import Event
from sdclient.batch.survey import Counts
from sdclient.notebook import BAR_FORMAT, NotebookLine
from sdclient.simulator import Simulator


def executed(code: str, folder: Path) -> NotebookClient:
    """Run one cell in a kernel of its own."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    client = NotebookClient(book, timeout=120, resources={"metadata": {"path": str(folder)}})
    client.execute()
    return client


def shown(code: str, folder: Path) -> str:
    """Run one cell, and return everything that it shows as text or HTML."""
    cell = executed(code, folder).nb.cells[0]
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

    # As where ipywidgets is not installed: the bar is text, and all of it is in the cell.
    text = shown("import sys; sys.modules['ipywidgets'] = None" + code, tmp_path)

    assert "\r           0/2  finish unknown yet  0001_a_fox" in text
    assert "\r██████████ 2/2" in text
    assert "<caption>A&amp;B</caption>" in text
    assert "<th>set aside</th>" in text
    assert "<td>2</td><td>2</td><td>0</td>" in text


def test_the_bar_is_tqdms_own_where_a_notebook_can_show_it(tmp_path: Path) -> None:
    code = """
from sdclient import Run, Txt2Img
from sdclient.simulator import Simulator

run = Run("OUT").add(["a fox", "an owl"], Txt2Img(inherit=True, width=64, height=64, steps=1))
with Simulator("a1111") as server:
    run.start(server.url)
"""

    widgets = executed(code, tmp_path).widget_state.values()

    (bar,) = (state for state in widgets if state["_model_name"] == "FloatProgressModel")
    words = [state["value"] for state in widgets if state["_model_name"] == "HTMLModel"]
    assert (bar["value"], bar["max"], bar["bar_style"]) == (2.0, 2.0, "success")
    assert any(text.strip().startswith("2/2") for text in words), words


def test_a_bar_grows_with_its_run() -> None:
    with tqdm(total=1, bar_format=BAR_FORMAT, file=io.StringIO()) as bar:
        line = NotebookLine(Counts(jobs=1, waiting=1), bar)

        line(Event("done", Counts(jobs=4, done=1, waiting=3), "mini", "a/fox"))

        assert (bar.n, bar.total) == (1, 4)


def test_a_stall_is_called_one_in_a_notebook_and_said_once() -> None:
    now_s = 0.0
    screen = io.StringIO()
    bar = tqdm(total=2, bar_format=BAR_FORMAT, file=screen, ascii=".#", mininterval=0)
    line = NotebookLine(Counts(jobs=2, waiting=2), bar, lambda: now_s)
    line(Event("failed", Counts(jobs=2, failed=1, waiting=1), "mini", "a/fox"))
    now_s = 700.0

    line.tick()
    line.tick()
    line.close()

    said = [text.strip() for text in screen.getvalue().split("\r")]
    assert said.count(".......... 0/2  1 failed  finish unknown yet") == 1
    stalled = next(text for text in said if "STALLED" in text)
    assert stalled == ".......... 0/2  STALLED: nothing ended for 12 min  1 failed"


def test_a_run_outside_a_notebook_shows_nothing(
    tmp_path: Path, a1111: Simulator, capfd: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "OUT").add(["a fox"], Txt2Img(inherit=True, width=64, height=64, steps=1))

    run.start(a1111.url)

    assert "".join(capfd.readouterr()) == ""
