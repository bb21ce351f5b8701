"""The engine of many machines, on real Ray: three nodes on loopback, simulated servers, and kills."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from sdclient.run import Run
from tests.conftest import CommandLine

ROOT = Path(__file__).parents[2]
JOBS, PICTURES = 24, 12
TIMEOUT_S = 300


def _is_allowed() -> bool:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode == 0


pytest.importorskip("ray", reason="Ray is not installed: pip install 'sdclient[ray]'")
in_a_namespace = pytest.mark.skipif(
    not _is_allowed(), reason="this machine allows no network namespace (unshare -n), and Ray on loopback needs one"
)


def play(scenario: str, folder: Path) -> Mapping[str, object]:
    """Play a scenario in a network of its own and return what came of it."""
    script = f'ip link set lo up && exec {sys.executable} -m tests.integration.ray_cluster "$@"'
    env = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    ended = subprocess.run(
        ["unshare", "-n", "sh", "-c", script, "sh", scenario, str(folder)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    came: Mapping[str, object] = json.loads(ended.stdout.splitlines()[-1])
    return came


def assert_whole(folder: Path, came: Mapping[str, object]) -> None:
    """Every job once, every hash right, nothing left lying about."""
    run = Run.open(folder / "OUT")
    said = str(came["said"])
    assert came["code"] == 0, said
    assert run.status().counts.done == JOBS, said
    assert run.verify() == []
    assert len(list((folder / "OUT").glob("*.png"))) == JOBS
    run.clean()
    assert list((folder / "OUT" / ".sdclient" / "parts").iterdir()) == []


@pytest.mark.slow
@in_a_namespace
@pytest.mark.parametrize("scenario", ["actor_killed", "node_killed", "driver_killed"])
def test_after_a_kill_every_job_is_done_once(tmp_path: Path, scenario: str) -> None:
    came = play(scenario, tmp_path)

    assert_whole(tmp_path, came)
    if scenario != "driver_killed":
        assert "its worker died, or its machine; another starts as soon as a machine that offers" in str(came["said"])
    posts = came["posts"]
    assert isinstance(posts, list)
    # Only what was under way when the axe fell is asked for again: two jobs a server at most.
    assert JOBS <= sum(posts) <= JOBS + 6


@pytest.mark.slow
@in_a_namespace
def test_a_node_that_joins_during_the_run_takes_part(tmp_path: Path) -> None:
    came = play("node_added", tmp_path)

    assert_whole(tmp_path, came)
    posts = came["posts"]
    assert isinstance(posts, list)
    assert sum(posts) == JOBS
    assert all(posts)


@pytest.mark.slow
@in_a_namespace
def test_two_that_begin_one_run_at_once_share_it_and_a_late_stop_starts_nothing(tmp_path: Path) -> None:
    came = play("two_drivers", tmp_path)

    assert_whole(tmp_path, came)
    second = came["second"]
    assert isinstance(second, dict)
    assert second["code"] == 0, second
    assert "another run" not in f"{came['said']}{second['said']}"
    posts = came["posts"]
    assert isinstance(posts, list)
    assert (sum(posts), posts[1]) == (JOBS, 0)
    assert came["is_connected"] is False


@pytest.mark.slow
@in_a_namespace
def test_of_two_that_begin_one_run_at_once_with_different_settings_one_is_told_what_to_type(tmp_path: Path) -> None:
    came = play("two_at_odds", tmp_path)

    assert_whole(tmp_path, came)
    second = came["second"]
    assert isinstance(second, dict)
    assert second["code"] == 2
    assert "somebody else planned here at the same moment, and may be at work on it" in second["said"]
    assert "--redo-changed" in second["said"]
    assert "remove" not in second["said"]


@pytest.mark.slow
@in_a_namespace
def test_a_server_that_leaves_during_the_run_is_not_waited_for(tmp_path: Path) -> None:
    came = play("server_gone", tmp_path)

    assert_whole(tmp_path, came)
    # What it was asked for when it went is asked of the others.
    assert re.search(r'"failed": 1,[^}]*"lane": "three"', str(came["said"]))


@pytest.mark.slow
@in_a_namespace
def test_every_server_says_what_it_would_not_do_before_it_draws_and_the_leader_hears_of_every_job(
    tmp_path: Path,
) -> None:
    came = play("losses_told", tmp_path)

    assert_whole(tmp_path, came)
    events = [json.loads(line) for line in str(came["said"]).splitlines() if line.startswith("{")]
    told = {name: _positions(events, "remark", name) for name in ("one", "two", "three")}
    begun = {name: _positions(events, "begun", name) for name in told}
    assert events[0]["losses"] is None
    assert all(len(places) == 1 for places in told.values())
    assert all(told[name] < places[:1] for name, places in begun.items() if places)
    assert "AUTOMATIC1111 at http" in str(events[told["one"][0]]["message"])
    assert "A1111 has no sigma shift" in str(events[told["one"][0]]["message"])
    assert sum(event["event"] == "done" for event in events) == JOBS


@pytest.mark.slow
@in_a_namespace
def test_a_plan_that_every_server_refuses_is_taken_back_and_does_not_bar_its_correction(tmp_path: Path) -> None:
    came = play("refused_then_corrected", tmp_path)

    refused = came["refused"]
    assert isinstance(refused, dict)
    assert refused["code"] == 2
    assert "nothing is drawn, and the plan is not kept" in str(refused["said"])
    assert "A1111 has no sigma shift" in str(refused["said"])
    assert came["is_left"] is False
    assert_whole(tmp_path, came)


def _positions(events: list[dict[str, object]], name: str, lane: str) -> list[int]:
    return [at for at, event in enumerate(events) if (event["event"], event.get("lane")) == (name, lane)]


@pytest.mark.slow
@in_a_namespace
def test_segmenters_share_a_gpu_and_wait_for_one(tmp_path: Path) -> None:
    came = play("cut_on_a_gpu", tmp_path)

    run = Run.open(tmp_path / "OUT")
    said = str(came["said"])
    assert came["code"] == 0, said
    assert came["without_gpu"] == 0
    assert (run.status().counts.done, run.verify()) == (PICTURES, [])
    assert "no node of the cluster has a GPU; start Ray on a machine that has one with: ray start" in said
    assert {row["server"] for row in run.attempts().to_dict("records")} == {"classical"}
    assert run.attempts()["worker"].nunique() == 2


@pytest.mark.slow
@in_a_namespace
def test_what_is_drawn_is_cut_out_though_the_segmenter_was_there_before_anybody_drew(tmp_path: Path) -> None:
    came = play("drawn_then_cut", tmp_path)

    run = Run.open(tmp_path / "OUT")
    said = str(came["said"])
    assert came["code"] == 0, said
    assert (run.status().counts.done, run.verify()) == (2 * PICTURES, [])
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert max(event["done"] for event in events if "done" in event) == 2 * PICTURES
    assert (events[-1]["event"], events[-1]["made"]) == ("ended", 2 * PICTURES)


@pytest.mark.slow
@in_a_namespace
@pytest.mark.parametrize(
    ("scenario", "why"),
    [
        ("folder_moved", "it is not there; how many are done is what was last heard of it"),
        ("folder_replaced", "another run lies there now, and the one of before is gone"),
    ],
)
def test_where_the_folder_is_away_at_the_end_what_is_done_is_what_was_last_heard(
    tmp_path: Path, scenario: str, why: str
) -> None:
    came = play(scenario, tmp_path)

    said = str(came["said"])
    ended = re.search(r'"event": "ended"[^}]*"done": (\d+)[^}]*"made": (\d+)', said)
    assert ended is not None, said
    assert int(ended[1]) == int(ended[2]) > 0
    assert "*** SIGTERM" not in said
    assert f"OUT: {why}" in said
    assert '"set_aside": 0' in said[ended.start() :]


@pytest.mark.slow
@in_a_namespace
def test_a_cluster_with_a_public_address_is_refused(tmp_path: Path) -> None:
    came = play("public_address", tmp_path)

    assert came["code"] == 2
    assert "has the public address 9.9.9.9" in str(came["said"])
    assert came["posts"] == [0, 0, 0]


@pytest.mark.slow
@in_a_namespace
@pytest.mark.parametrize(
    ("scenario", "code", "words"),
    [
        ("folder_not_shared", 2, "OUT must lie on a folder that all nodes share"),
        ("nobody_offers", 2, "ray start --address {address} --resources '{{\"sdapi:one\": 1}}'"),
    ],
)
def test_a_folder_nodes_do_not_see_and_a_server_none_reaches_are_refused_with_what_to_do(
    tmp_path: Path, scenario: str, code: int, words: str
) -> None:
    came = play(scenario, tmp_path)

    assert came["code"] == code
    assert words.format(**came) in str(came["said"])
    # A plan that never began must not bar the one that is meant.
    assert not (tmp_path / "OUT").exists()


def test_a_limit_is_refused_because_it_counts_on_one_machine(cli: CommandLine) -> None:
    (cli.folder / "prompts.txt").write_text("a fox\n")

    ended = cli("generate", "prompts.txt", "--set", "inherit=true", "--out", "OUT", "--engine", "ray", "--limit", "1")

    assert ended.code == 2
    assert "--limit counts the jobs of one machine" in ended.stderr
    assert not (cli.folder / "OUT").exists()


def test_without_servers_the_cluster_has_nothing_to_do(cli: CommandLine) -> None:
    (cli.folder / "prompts.txt").write_text("a fox\n")

    ended = cli("generate", "prompts.txt", "--set", "inherit=true", "--out", "OUT", "--engine", "ray")

    assert ended.code == 2
    assert "list them in sdclient.toml" in ended.stderr
    assert not (cli.folder / "OUT").exists()


def test_where_no_cluster_answers_nothing_is_written_and_nobody_waits(cli: CommandLine) -> None:
    (cli.folder / "prompts.txt").write_text("a fox\n")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    draw = ("generate", "prompts.txt", "--set", "inherit=true", "--out", "OUT", "--url", "10.0.0.5:7860")

    nobody = cli(*draw, "--engine", "ray", "--address", f"127.0.0.1:{port}")
    nowhere = cli(*draw, "--engine", "ray", "--address", "lab")
    client = cli(*draw, "--engine", "ray", "--address", f"ray://127.0.0.1:{port}")

    assert nobody.code == 3
    assert f"no Ray cluster at 127.0.0.1:{port}: Connection refused; start one with: ray start --head" in nobody.stderr
    assert nowhere.code == 2
    assert "address lab: no address of a Ray cluster" in nowhere.stderr
    assert client.code == 3
    assert "Connection refused; give the head's own host and port, without ray://" in client.stderr
    assert not (cli.folder / "OUT").exists()


@pytest.mark.parametrize("options", [["--address", "auto"], []])
def test_the_cluster_a_machine_belonged_to_is_named_and_not_waited_for_once_its_head_is_gone(
    cli: CommandLine, options: list[str]
) -> None:
    (cli.folder / "prompts.txt").write_text("a fox\n")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    # What the last `ray start` on a machine leaves behind; with the first, what its user says.
    (cli.folder / "ray").mkdir()
    (cli.folder / "ray" / "ray_current_cluster").write_text(f"127.0.0.1:{port}")
    cli.env.update({"RAY_ADDRESS": f"127.0.0.1:{port}"} if options else {"RAY_TMPDIR": str(cli.folder)})
    draw = ("generate", "prompts.txt", "--set", "inherit=true", "--out", "OUT", "--url", "10.0.0.5:7860")

    ended = cli(*draw, "--engine", "ray", *options)

    assert ended.code == 3
    assert re.search(rf"no Ray cluster at [0-9.]+:{port}: Connection refused", ended.stderr)
    assert "stop all of Ray here with: ray stop" in ended.stderr
    assert not (cli.folder / "OUT").exists()


def test_a_cluster_that_says_nothing_is_not_waited_for_when_told_to_stop(cli: CommandLine) -> None:
    (cli.folder / "prompts.txt").write_text("a fox\n")
    draw = ("generate", "prompts.txt", "--set", "inherit=true", "--out", "OUT", "--url", "10.0.0.5:7860")
    # Ray takes the machine's own address instead of 127.0.0.1.
    with socket.create_server(("", 0)) as silent:
        silent.settimeout(60)
        with cli.start(*draw, "--engine", "ray", "--address", f"127.0.0.1:{silent.getsockname()[1]}") as started:
            try:
                # The first is our own try, the second is Ray.
                held = [silent.accept()[0] for _ in range(2)]
                started.terminate()
                _, said = started.communicate(timeout=60)
            finally:
                started.kill()
    for one in held:
        one.close()

    assert started.returncode == 130
    assert "ending what runs" in said
    assert not (cli.folder / "OUT").exists()
