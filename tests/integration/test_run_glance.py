"""A cheap look at the images of a run that is entered again: what is gone or has another length is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sdclient.batch.glance import Glance, glance
from sdclient.batch.log import image_rows
from sdclient.batch.otherwise import Otherwise
from sdclient.run import Run
from sdclient.simulator import Simulator
from tests.conftest import CommandLine
from tests.practice_lane import plan_jobs, work

COME_AND_GO = """
import pathlib, sys
names = [pathlib.Path(sys.argv[1]) / f".tmp-{number}" for number in range(20)]
print("ready", flush=True)
while True:
    for name in names:
        name.touch()
        name.unlink()
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with six images, all there."""
    run = Run(tmp_path / "out", run_seed=1, lease_s=0.5, beat_s=0.1).save()
    plan_jobs(run.folder, [f"gen/{name}" for name in "abcdef"])
    work(run.folder)
    return run


def test_images_that_are_all_there_are_worth_no_word(run: Run) -> None:
    seen = run.glance()

    assert seen == Glance(6)
    assert seen.words(run.out) == ""


def test_what_is_gone_or_longer_is_named_with_what_to_do(run: Run) -> None:
    (run.out / "gen/a_1.png").unlink()
    (run.out / "gen/b_1.png").write_bytes(b"something else, and longer than it was")

    seen = run.glance()

    assert (seen.missing, seen.changed) == (("gen/a_1.png",), ("gen/b_1.png",))
    assert seen.words(run.out).startswith("2 of 6 images are missing or changed (gen/a_1.png, …): sdclient verify ")


def test_commands_to_type_name_a_folder_with_a_space_as_a_shell_takes_it() -> None:
    out = Path("NAS/my run")

    assert "sdclient verify 'NAS/my run' lists them" in Glance(6, missing=("gen/a_1.png",)).words(out)
    assert Glance(6, is_whole=False).words(out).endswith("sdclient verify 'NAS/my run'")
    assert "sdclient report 'NAS/my run' shows how" in Otherwise(2).words(out)


def test_a_folder_that_is_gone_is_as_many_images(run: Run) -> None:
    (run.out / "gen").rename(run.out / "moved")

    assert len(run.glance().missing) == 6


def test_files_that_come_and_go_beside_the_images_do_not_make_them_missing(run: Run) -> None:
    rows = image_rows(run.folder)[1]
    with subprocess.Popen([sys.executable, "-c", COME_AND_GO, run.out / "gen"], stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None
        busy.stdout.readline()
        seen = {glance(run.folder, rows) for _ in range(2000)}
        busy.kill()

    assert seen == {Glance(6)}


def test_an_image_that_stands_beside_one_of_the_users_is_found(run: Run) -> None:
    job = run.jobs()[0]
    (run.out / "gen/a_1.png").rename(run.out / f"gen/a_1~{job.id[:8]}.png")
    (run.out / "gen/a_1.png").write_bytes(b"a file of the user's own")

    assert run.glance() == Glance(6)


def test_an_image_that_is_redone_is_held_against_its_last_record(run: Run) -> None:
    run.redo("gen/a", new_seed=True)
    work(run.folder)

    assert run.glance() == Glance(6)


def test_an_image_on_its_way_to_its_place_is_not_missing(run: Run) -> None:
    (job, *_) = run.jobs()
    (run.out / "gen/a_1.png").rename(run.folder.done_folder(job.id) / "a_1.png")

    assert run.glance().missing == ()


def test_too_many_images_are_not_looked_at_and_it_is_said(run: Run) -> None:
    seen = glance(run.folder, [{"image": "x", "size_bytes": "1", "job": "0" * 32}] * 3, most=2)

    assert seen.words(run.out).startswith("3 images are too many")
    assert seen.to_json() == {"images": 3, "missing_images": None, "changed_images": None}


def test_the_same_command_and_status_say_what_is_missing(cli: CommandLine, a1111: Simulator) -> None:
    out = cli.folder / "out"
    (cli.folder / "prompts.txt").write_text("a fox\na hare\n")
    again = ("generate", "prompts.txt", "--out", str(out), "--url", a1111.url, "--set", "steps=1", "--set", "width=64",
             "--set", "height=64", "--set", "inherit=true")  # fmt: skip
    assert cli(*again).code == 0
    whole = cli(*again)
    next(iter(out.rglob("*.png"))).unlink()

    second = cli(*again)
    status = cli("status", str(out))
    told = json.loads(cli("status", str(out), "--json").stdout)

    assert "missing" not in whole.stderr
    assert "1 of 2 images is missing or changed" in second.stderr
    assert "1 of 2 images is missing or changed" in status.stderr
    assert (told["images"], len(told["missing_images"]), told["changed_images"]) == (2, 1, [])
