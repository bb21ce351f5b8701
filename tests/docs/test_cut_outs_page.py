"""The guide to cut-outs: its commands run as they are written, with the segmenter that needs no weights."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from sdclient.cli.app import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "examples" / "cut-outs.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
RUN = [line for line in COMMANDS if not re.search(r"--words|--watch|--prompts|--half|upscale", line)]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an image in it, where the commands are typed."""
    pixels = np.full((180, 240, 3), (205, 210, 215), np.uint8)
    pixels[40:120, 30:100], pixels[60:150, 140:210] = (150, 30, 30), (20, 60, 140)
    (tmp_path / "IN").mkdir()
    Image.fromarray(pixels).save(tmp_path / "IN" / "fox.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", RUN, ids=lambda text: text.removeprefix("sdclient segment IN "))
def test_a_command_of_the_page_cuts_both_objects_out(desk: Path, command: str) -> None:
    words = ["classical" if word == "vit_b" else word for word in shlex.split(command)[1:]]

    ended = CliRunner().invoke(app, words)

    assert ended.exit_code == 0, ended.stderr
    assert len((desk / words[2] / "objects.csv").read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize("command", [line for line in COMMANDS if line not in RUN])
def test_the_other_commands_have_options_that_exist(command: str) -> None:
    name, *words = shlex.split(command)[1:]

    found = app.get_command(click.Context(app), name)

    assert found is not None
    known = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known


def test_the_boxes_of_the_page_are_read(desk: Path) -> None:
    from sdclient.segment import read_prompts

    (text,) = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)
    (desk / "boxes.csv").write_text(text, encoding="utf-8")

    prompts = read_prompts(desk / "boxes.csv")

    assert [prompt.label for prompt in prompts["fox.png"]] == ["head", "tail"]


def test_the_python_of_the_page_writes_the_files(desk: Path) -> None:
    (text,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)

    exec(compile(text, "cut-outs.md", "exec"), {})  # noqa: S102  # our own page, as a reader types it

    assert len(list((desk / "mine").iterdir())) == 2 * 3 + 1


def test_the_page_says_what_the_segmenter_without_weights_is_poor_at() -> None:
    said = PAGE[PAGE.index("It is poor at") : PAGE.index("## Only the object")]

    assert all(word in said for word in ("fur that fills the frame", "night scenes", "grey photographs", "vit_b"))


def test_the_page_states_the_bound_of_half_precision() -> None:
    from sdclient.segment.settings import MAX_RATING_DIFFERENCE, MIN_MEAN_IOU

    said = " ".join(PAGE[PAGE.index("`--half` encodes") :].split())

    assert f"to a mean IoU of {MIN_MEAN_IOU:g}, and the model's ratings of them to {MAX_RATING_DIFFERENCE:g}" in said
    assert "off by default" in said


def test_the_plugin_and_the_image_of_the_page_are_there() -> None:
    named = re.findall(r"\]\(([^)]+)\)", PAGE)

    assert named
    assert all((ROOT / "examples" / name).is_file() for name in named)


def test_page_and_help_say_that_polygons_fill_holes() -> None:
    told = CliRunner().invoke(app, ["segment", "--help"]).output

    assert "no holes: those of an object are filled" in " ".join(told.split())
    assert "A polygon has no holes: `--polygons` fills those of an object" in " ".join(PAGE.split())
