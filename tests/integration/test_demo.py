"""The demonstration: the whole chain, a worker killed half-way, nothing lost, nothing done twice."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from sdclient.cli.app import app
from sdclient.demo import QUEUE, RUN_SEED, run_demo
from sdclient.errors import RunError
from sdclient.images import inspect_image
from sdclient.recipes.nations import StudyPayloads, load_study, plan_nations
from sdclient.run import Run
from sdclient.schemas import Txt2Img
from tests.conftest import CommandLine


@dataclass(frozen=True)
class Demonstration:
    """One that has run: its folder, and what it said."""

    out: Path
    text: str


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Demonstration:
    """Run once for all tests here; its worker and its server are processes of their own all the same."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    ended = CliRunner().invoke(app, ["demo", "--out", str(out)], standalone_mode=False)
    assert ended.return_value == 0, ended.output
    return Demonstration(out, ended.output)


def images(out: Path, folder: str) -> list[Path]:
    return sorted((out / folder).rglob("*.png"))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_it_says_that_the_server_was_simulated_what_was_made_and_what_comes_next(demonstration: Demonstration) -> None:
    assert "The server was SIMULATED" in demonstration.text
    assert "made 8, baked 8, cut out " in demonstration.text
    assert "of 8 images (classical OpenCV segmenter, not SAM)" in demonstration.text
    assert "lost 0, done twice 0, requests sent 1" in demonstration.text
    assert "was killed on purpose (kill -9) after " in demonstration.text
    assert "sdclient nations --out STUDY --url http://127.0.0.1:7860" in demonstration.text


def test_the_run_folder_is_as_the_readme_draws_it(demonstration: Demonstration) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    drawing = readme.split("## A run folder", 1)[1].split("```", 2)[1]

    drawn = [line.split("  ")[0].removeprefix("STUDY/") for line in drawing.splitlines() if line.startswith("STUDY/")]

    assert len(drawn) == 5
    assert all(list(demonstration.out.glob(name.replace("…", "*"))) for name in drawn), drawn
    assert (demonstration.out / "attempts.csv").is_file()


def test_its_images_are_whole_and_of_the_studys_size(demonstration: Demonstration) -> None:
    sizes = [
        inspect_image(path.read_bytes()).size
        for folder in ("generated", "baked")
        for path in images(demonstration.out, folder)
    ]

    assert sizes == [(2048, 2048)] * 16


def test_its_images_are_what_the_table_says(demonstration: Demonstration) -> None:
    rows = table(demonstration.out / "images.csv")
    found = {path.relative_to(demonstration.out).as_posix() for path in demonstration.out.rglob("*.png")}

    assert {row["image"] for row in rows} == {name for name in found if not name.startswith(".sdclient")}
    for row in rows:
        assert hashlib.sha256((demonstration.out / row["image"]).read_bytes()).hexdigest() == row["sha256"]


def test_every_image_has_cutouts_on_a_canvas_of_its_size(demonstration: Demonstration) -> None:
    folders = sorted(path.parent for path in (demonstration.out / "cutouts").rglob("objects.json"))

    assert len(folders) == 8
    for folder in folders:
        cutouts = sorted(folder.glob("*.png"))
        assert len(cutouts) == len(json.loads((folder / "objects.json").read_bytes())["objects"]) > 0
        assert inspect_image(cutouts[0].read_bytes()).size == (2048, 2048)


def test_two_workers_took_part_and_no_job_is_done_twice(demonstration: Demonstration) -> None:
    rows = [row for row in table(demonstration.out / "attempts.csv") if row["status"] == "done"]

    assert len(rows) == len({row["job"] for row in rows}) == 24
    assert len({row["worker"] for row in rows}) == 2


def test_run_again_it_sends_no_request(demonstration: Demonstration, cli: CommandLine) -> None:
    ended = cli("demo", "--out", str(demonstration.out), "--json")

    assert ended.code == 0
    assert "no server is started, no request is sent" in ended.stderr
    told = json.loads(ended.stdout)
    assert (told["made"], told["baked"], told["cut_up"], told["lost"], told["done_twice"]) == (8, 8, 8, 0, 0)
    assert (told["requests"], told["killed_pid"]) == (0, None)


def test_an_image_that_is_gone_counts_as_lost(demonstration: Demonstration, cli: CommandLine) -> None:
    path = images(demonstration.out, "generated")[0]
    path.rename(path.with_suffix(".away"))

    ended = cli("demo", "--out", str(demonstration.out), "--json")

    path.with_suffix(".away").rename(path)
    assert ended.code == 1
    assert json.loads(ended.stdout)["lost"] == 1


@pytest.mark.parametrize("run_seed", [RUN_SEED, 8], ids=["other jobs", "other seed"])
def test_it_keeps_out_of_a_study_of_the_users(tmp_path: Path, run_seed: int) -> None:
    """It would draw that study's open jobs on the simulated server."""
    run = Run(tmp_path, run_seed=run_seed)
    queue = QUEUE if run_seed != RUN_SEED else [*QUEUE, *QUEUE]
    run.add_jobs(plan_nations(queue, load_study(), StudyPayloads(Txt2Img()))).save()
    said: list[str] = []

    with pytest.raises(RunError, match="holds a run that is not the demonstration's; give --out another folder"):
        run_demo(tmp_path, "drawthings", said.append)

    assert said == []


def test_the_web_uis_dialect_does_the_same(cli: CommandLine) -> None:
    ended = cli("demo", "--out", "demo", "--dialect", "a1111", "--json", timeout_s=240)

    told = json.loads(ended.stdout)
    assert ended.code == 0
    assert (told["made"], told["baked"], told["cut_up"], told["lost"], told["done_twice"]) == (8, 8, 8, 0, 0)
    # Killed, a worker loses what it executes and what it finishes: two requests at most are sent again.
    assert told["requests"] in (16, 17, 18)
    assert told["killed_pid"] is not None
