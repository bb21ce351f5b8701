"""What is said to ``--engine ray`` before any cluster is asked: servers by name, and options that would be left unheeded."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdclient.cli.cluster import named_servers
from sdclient.errors import ConfigurationError
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
    with pytest.raises(ConfigurationError, match=r"server 'oen': not in .*sdclient\.toml; did you mean one\?"):
        named_servers(("oen",), None)

    (folder / "sdclient.toml").unlink()
    with pytest.raises(ConfigurationError, match=r"server 'one': not in sdclient\.toml; give an address"):
        named_servers(("one",), None)


@pytest.mark.parametrize(
    ("words", "option"),
    [("--address auto", "--address"), ("--segmenters 1", "--segmenters"), ("--gpu-share 0", "--gpu-share")],
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
