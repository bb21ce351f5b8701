"""Servers that draw differently do not take part in one run without consent, from whatever process they come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdclient import Run, Txt2Img
from sdclient.batch.worker import WorkerSettings
from sdclient.errors import ConfigurationError
from sdclient.nodes import ServerWork, share_run
from sdclient.schemas.config import ServerConfig
from sdclient.simulator import Simulator
from tests.conftest import CommandLine


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("a fox\na hare\na lynx\n", encoding="utf-8")
    return path


@pytest.fixture
def other() -> Iterator[Simulator]:
    with Simulator("a1111", models=["other.safetensors"]) as simulator:
        yield simulator


SMALL = ("--set", "width=128", "--set", "height=128", "--set", "steps=1", "--set", "inherit=true")


def posts(server: Simulator) -> int:
    return sum(one.method == "POST" for one in server.log)


def done(out: Path) -> int:
    return len(list(out.glob("*.png")))


def test_two_programs_in_one_process_are_refused_without_consent(
    cli: CommandLine, prompts: Path, a1111: Simulator, draw_things: Simulator
) -> None:
    command = ("generate", str(prompts), "--out", "out", "--url", a1111.url, "--url", draw_things.url, *SMALL)
    refused = cli(*command)
    allowed = cli(*command, "--allow-mixed")

    assert refused.code == 2
    assert "a1111" in refused.stderr
    assert "drawthings" in refused.stderr
    assert "--allow-mixed" in refused.stderr
    assert allowed.code == 0
    assert done(cli.folder / "out") == 3


def test_two_models_are_refused_where_the_request_names_none(
    cli: CommandLine, prompts: Path, a1111: Simulator, other: Simulator
) -> None:
    command = ("generate", str(prompts), "--out", "out", "--url", a1111.url, "--url", other.url, *SMALL)
    refused = cli(*command)
    allowed = cli(*command, "--allow-mixed")

    assert refused.code == 2
    assert "other.safetensors" in refused.stderr
    assert (posts(other) > 0, allowed.code) == (True, 0)


def test_a_part_of_a_model_s_name_that_means_two_models_is_refused_and_nothing_is_sent(
    cli: CommandLine, prompts: Path
) -> None:
    with (
        Simulator("a1111", models=["dream_8.safetensors"]) as one,
        Simulator("a1111", models=["dream_7.safetensors"]) as two,
    ):
        command = (
            "generate",
            str(prompts),
            "--out",
            "out",
            "--url",
            one.url,
            "--url",
            two.url,
            *SMALL,
            "--set",
            "model=dream",
        )
        refused = cli(*command)
        sent = posts(one) + posts(two)
        allowed = cli(*command, "--allow-mixed")

    assert (refused.code, sent) == (2, 0)
    assert "it is taken for dream_8.safetensors" in refused.stderr
    assert "it is taken for dream_7.safetensors" in refused.stderr
    assert "name it whole, as all of them list it, or say --allow-mixed" in refused.stderr
    assert allowed.code == 0
    assert done(cli.folder / "out") == 3


@pytest.mark.parametrize("how", ["join", "the command again"])
def test_another_process_with_an_unlike_server_is_refused_without_consent(
    cli: CommandLine, prompts: Path, a1111: Simulator, other: Simulator, how: str
) -> None:
    begun = ("generate", str(prompts), "--out", "out", *SMALL)
    cli(*begun, "--url", a1111.url, "--limit", "1")
    again = ("join", "out") if how == "join" else begun
    refused = cli(*again, "--url", other.url)
    sent = posts(other)
    allowed = cli(*again, "--url", other.url, "--allow-mixed")

    assert (refused.code, sent) == (2, 0)
    assert "begun on a1111" in refused.stderr
    assert "--allow-mixed" in refused.stderr
    assert allowed.code == 0
    assert done(cli.folder / "out") == 3


def test_a_node_of_a_cluster_with_an_unlike_server_is_refused_without_consent(
    tmp_path: Path, a1111: Simulator, other: Simulator
) -> None:
    request = Txt2Img(width=64, height=64, steps=1, inherit=True)
    run = Run(tmp_path / "out").add(["a fox", "a hare"], request).save()
    first, second = (ServerConfig(name, server.url) for name, server in (("one", a1111), ("two", other)))
    shared = share_run(run, WorkerSettings(limit=1))
    ServerWork(shared, first).start(lambda _: None).wait()

    with pytest.raises(ConfigurationError, match=r"begun on a1111.*and two is a1111 with other"):
        ServerWork(shared, second).start(lambda _: None)
    mixed = share_run(run, WorkerSettings(), allow_mixed=True)
    assert ServerWork(mixed, second).start(lambda _: None).wait().counts.done == 2


def test_a_run_begun_with_consent_takes_everyone_afterwards(
    cli: CommandLine, prompts: Path, a1111: Simulator, draw_things: Simulator
) -> None:
    command = ("generate", str(prompts), "--out", "out", *SMALL)
    cli(*command, "--url", a1111.url, "--limit", "1", "--allow-mixed")
    joined = cli("join", "out", "--url", draw_things.url)

    assert joined.code == 0
    assert done(cli.folder / "out") == 3


def test_a_damaged_note_of_the_first_server_stops_nobody(
    cli: CommandLine, prompts: Path, a1111: Simulator, other: Simulator
) -> None:
    command = ("generate", str(prompts), "--out", "out", *SMALL)
    cli(*command, "--url", a1111.url, "--limit", "1")
    note = cli.folder / "out" / ".sdclient" / "servers.json"
    said = json.loads(note.read_text(encoding="utf-8"))
    note.write_text("{", encoding="utf-8")
    joined = cli("join", "out", "--url", other.url)

    assert said["dialect"] == "a1111"
    assert joined.code == 0
