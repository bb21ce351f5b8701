"""The command that goes on with a run."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from sdclient import Run, Txt2Img
from sdclient.batch.identity import new_token
from sdclient.batch.log import AttemptLog
from sdclient.cli.joining import join_command, join_likewise, typed_otherwise
from sdclient.cli.running import Company, RunningOptions
from sdclient.segment import SegmentSettings
from sdclient.steps.segment import SegmenterLane
from tests.practice_lane import plan_jobs, work

PLAIN: RunningOptions = {
    "limit": None,
    "dry_run": False,
    "max_failed": 0,
    "allow_mixed": False,
    "strict": False,
    "dialect": None,
    "on_trouble": None,
    "notify": None,
    "as_json": False,
    "engine": "threads",
    "address": None,
    "segmenters": None,
    "gpu_share": None,
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SDCLIENT_URL", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))
    run = Run("OUT")
    run.add(["a fox"], Txt2Img(inherit=True))
    return run


def test_what_an_engine_and_servers_need_is_taken_along(run: Run, tmp_path: Path) -> None:
    ray: RunningOptions = {**PLAIN, "engine": "ray", "address": "head:6379", "segmenters": 2, "allow_mixed": True}

    command = join_likewise(run, Company(["mini", "http://me:secret@big:7860"], inputs={"../IN": tmp_path}), ray)

    assert command == (
        "sdclient join OUT --url mini --url http://big:7860 --engine ray --address head:6379 --segmenters 2 "
        f"--in {tmp_path} --allow-mixed"
    )


def test_what_each_machine_names_for_itself_is_taken_along(run: Run) -> None:
    strict: RunningOptions = {**PLAIN, "strict": True}

    own = join_likewise(run, Company(segmenter=SegmentSettings(model="my models/sam_b.pth", device="cpu")), strict)
    lane = join_likewise(run, Company(segmenter=SegmenterLane(SegmentSettings(device="cpu"))), PLAIN)
    planned = join_likewise(run, Company(segmenter=SegmentSettings(model="vit_b")), PLAIN)

    assert own == "sdclient join OUT --model 'my models/sam_b.pth' --device cpu --strict"
    assert (lane, planned) == ("sdclient join OUT --device cpu", "sdclient join OUT")


def test_a_password_that_is_not_shown_is_said_to_be_missing() -> None:
    assert "password" in typed_otherwise(["mini", "http://me:secret@big:7860"])
    assert typed_otherwise(["mini", "big:7860", "http://big:7860", "me@mac"]) == ""


def test_where_nothing_was_said_nothing_is_taken_along(run: Run) -> None:
    assert join_likewise(run, Company(), PLAIN) == "sdclient join OUT"
    assert join_likewise(run, Company(), {**PLAIN, "engine": "ray"}) == "sdclient join OUT --engine ray"


def test_a_folder_in_trouble_keeps_nobody_from_saying_how_a_run_goes_on(run: Run) -> None:
    run.save()
    (run.folder.state / "plan" / "torn.jsonl").write_bytes(b"half a pl")

    assert join_likewise(Run("OUT"), Company(["mini"]), PLAIN) == "sdclient join OUT --url mini"


def test_a_run_that_no_server_was_at_leaves_its_address_open(run: Run) -> None:
    assert join_command(run) == "sdclient join OUT --url URL"


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("big mac", "big mac"),
        ("mini", "URL"),
        ("a label: mine", "URL"),
        ("a:b", "URL"),
        ("mini.local:7860", "mini.local:7860"),
        ("mini:443", "https://mini:443"),
        ("::1:7860", "[::1]:7860"),
    ],
)
def test_the_server_that_was_at_a_run_last_is_named_as_it_can_be_typed(run: Run, name: str, typed: str) -> None:
    run.save()
    # No default server: then none would have to be named.
    Path("sdclient.toml").write_text('[servers."big mac"]\nurl = "http://mac:7860"\n', encoding="utf-8")
    for server, started in ((name, "2026-05-02"), ("older:7860", "2026-05-01")):
        log = AttemptLog(run.folder, new_token())
        log.write({"kind": "txt2img", "server": server, "started": started, "execute_s": "1.5"})
        log.close()

    assert shlex.split(join_command(run))[3:] == ["--url", typed]


def test_a_file_of_servers_that_is_wrong_keeps_nobody_from_saying_how_a_run_goes_on(run: Run) -> None:
    run.save()
    Path("sdclient.toml").write_text("no = [toml", encoding="utf-8")
    log = AttemptLog(run.folder, new_token())
    log.write({"kind": "txt2img", "server": "mini", "started": "2026-05-02", "execute_s": "1.5"})
    log.close()

    assert join_command(run) == "sdclient join OUT --url URL"


def test_no_server_is_named_where_none_is_needed(tmp_path: Path) -> None:
    run = Run(tmp_path / "OUT")
    run.save()
    plan_jobs(run.folder, ["a"])
    work(run.folder)

    assert join_command(run) == f"sdclient join {tmp_path / 'OUT'}"
