"""What is said to ``--engine ray`` before any cluster is asked: servers by name, and options that would be left unheeded."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from sdclient.batch.worker import WorkerSettings
from sdclient.cli.cluster import named_servers
from sdclient.engines.keeper import NodeKeeper
from sdclient.errors import ConfigurationError
from sdclient.nodes import ClusterSettings, ServerWork, share_run
from sdclient.run import Run
from sdclient.schemas import Txt2Img
from sdclient.schemas.config import ServerConfig
from sdclient.simulator import Simulator
from tests.conftest import CommandLine

FILE = """
[servers.one]
url = "http://10.0.0.5:7860"

[servers.two]
url = "http://10.0.0.6:7860"
dialect = "forge"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two servers by name."""
    (tmp_path / "sdclient.toml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SDCLIENT_URL", raising=False)
    return tmp_path


def test_without_a_server_named_all_of_the_file_are_meant(folder: Path) -> None:
    assert folder
    assert [(one.name, one.dialect) for one in named_servers((), None)] == [("one", None), ("two", "forge")]


def test_the_server_of_the_environment_is_heeded_as_one_that_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert folder
    monkeypatch.setenv("SDCLIENT_URL", "http://10.0.0.9:7861")

    assert [one.name for one in named_servers((), None)] == ["10.0.0.9:7861"]
    assert [one.name for one in named_servers(("two",), None)] == ["two"]


def test_a_dialect_that_is_said_holds_for_every_server(folder: Path) -> None:
    assert folder
    found = named_servers(("one", "two", "10.0.0.7:7860", "localhost"), "a1111")

    assert [(one.name, one.dialect) for one in found] == [
        ("one", "a1111"),
        ("two", "a1111"),
        ("10.0.0.7:7860", "a1111"),
        ("localhost:80", "a1111"),
    ]


def test_a_mistyped_name_is_no_host_of_a_cluster(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"server 'onne': not in .*sdclient\.toml; did you mean one\?"):
        named_servers(("onne",), None)

    (folder / "sdclient.toml").unlink()
    with pytest.raises(ConfigurationError, match=r"server 'one': not in sdclient\.toml; give an address"):
        named_servers(("one",), None)


def test_a_password_in_an_address_does_not_travel_and_is_refused_without_being_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert folder
    with pytest.raises(ConfigurationError, match="no user name or password in an address") as given:
        named_servers(("http://anna:geheim@10.0.0.5:7860",), None)
    monkeypatch.setenv("SDCLIENT_URL", "http://anna:geheim@10.0.0.5:7860")
    with pytest.raises(ConfigurationError, match="with username and password_env"):
        named_servers((), None)

    assert "geheim" not in str(given.value)
    assert "anna" not in str(given.value)


@pytest.mark.parametrize(
    ("words", "option"),
    [("--address auto", "--address"), ("--segmenters 1", "--segmenters"), ("--gpu-share 0.5", "--gpu-share")],
)
def test_what_is_about_a_cluster_is_refused_without_one(cli: CommandLine, words: str, option: str) -> None:
    (cli.folder / "IN").mkdir()

    ended = cli("segment", "IN", "OUT", "--model", "classical", *words.split())

    assert ended.code == 2
    assert f"{option} is about a Ray cluster: give --engine ray, too" in ended.stderr
    assert not (cli.folder / "OUT").exists()


def test_a_folder_is_not_watched_for_a_cluster(cli: CommandLine) -> None:
    (cli.folder / "IN").mkdir()

    ended = cli("upscale", "IN", "OUT", "--payload", "bake", "--engine", "ray", "--watch", "--idle-exit", "1")

    assert ended.code == 2
    assert "--watch is done by one machine: leave it out with --engine ray" in ended.stderr
    assert not (cli.folder / "OUT").exists()


def test_a_dry_run_lists_the_servers_as_the_cluster_would_reach_them_and_opens_none(cli: CommandLine) -> None:
    (cli.folder / "sdclient.toml").write_text(FILE)
    (cli.folder / "prompts.txt").write_text("a fox\n")
    draw = ("generate", "prompts.txt", "--set", "inherit=true", "--out", "OUT", "--engine", "ray", "--dry-run")

    ended = cli(*draw)
    planned = json.loads(cli(*draw, "--json").stdout)

    assert ended.code == 0
    assert "one  http://10.0.0.5:7860 from its own node, its program is found out there  txt2img" in ended.stderr
    assert "two  http://10.0.0.6:7860 from its own node, forge" in ended.stderr
    assert "what a server would not do as asked its own node tells, before it draws" in ended.stderr
    assert planned["servers"] == [{"name": "one", "dialect": None}, {"name": "two", "dialect": "forge"}]
    assert planned["losses"] is None
    assert not (cli.folder / "OUT").exists()


def test_cut_outs_on_a_cluster_say_that_nobody_is_asked_after_the_first(cli: CommandLine) -> None:
    (cli.folder / "IN").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (64, 64), "white").save(cli.folder / "IN" / f"{name}.png")

    ended = cli("segment", "IN", "OUT", "--model", "classical", "--engine", "ray", "--segmenters", "2", "--dry-run")

    assert ended.code == 0
    assert "with --engine ray all images are begun at once: nobody is asked after the first" in ended.stderr
    assert "segmenter 2  on any node  segment" in ended.stderr


@pytest.mark.parametrize("share", ["nan", "inf", "1e-05", "2", "much"])
def test_a_share_of_a_gpu_that_ray_cannot_count_is_refused_before_anything_is_written(
    cli: CommandLine, share: str
) -> None:
    (cli.folder / "IN").mkdir()
    Image.new("RGB", (64, 64), "white").save(cli.folder / "IN" / "a.png")

    ended = cli("segment", "IN", "OUT", "--model", "classical", "--engine", "ray", "--gpu-share", share)

    assert ended.code == 2
    assert "'--gpu-share'" in ended.stderr
    assert share in ended.stderr
    assert not (cli.folder / "OUT").exists()


@pytest.mark.parametrize("share", [float("nan"), -0.5, 0.00001, 1.5])
def test_a_share_of_a_gpu_is_checked_in_python_too(share: float) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"to 1, and is {share}")):
        ClusterSettings(gpu_share=share)

    assert ClusterSettings(gpu_share=0.25).gpu_share == 0.25


def test_a_node_says_what_its_server_is_and_would_not_do(tmp_path: Path) -> None:
    run = Run(tmp_path / "OUT").add(["a fox"], Txt2Img(inherit=True, shift=3.0)).save()
    with Simulator("a1111") as server:
        url = server.url
        work = ServerWork(share_run(run, WorkerSettings()), ServerConfig("one", url))
        strict = ServerWork(share_run(run, WorkerSettings(), strict=True), ServerConfig("one", url))
        said = NodeKeeper(work).look()
        refused = NodeKeeper(strict).look()
        drawn = [one for one in server.log if one.path.endswith("txt2img")]
    away = NodeKeeper(work).look()

    assert said.said.startswith(f"AUTOMATIC1111 at {url}\n")
    assert "shift  dropped" in said.said
    assert (refused.is_refusal, "A1111 has no sigma shift" in refused.left) == (True, True)
    assert (away.is_refusal, url in away.left) == (False, True)
    assert drawn == []
