"""Which server is meant, and with which password."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdclient.client import Client
from sdclient.client.finding import find_address
from sdclient.errors import ConfigurationError, NotSentError
from sdclient.transport import HttpReply
from tests.stand_in import Sent, StandIn

FILE = """
[servers.mini]
url = "http://mini.local:7860"
dialect = "drawthings"
username = "anna"
password_env = "MINI_PASSWORD"

[servers.gpu]
url = "http://gpu:7860/prefix/"

[defaults]
server = "gpu"
"""


class Nobody(StandIn):
    """A network without that host."""

    def answer(self, call: Sent) -> HttpReply:
        raise NotSentError(f"{call.method} {call.url}: unknown host")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "nothing"))
    monkeypatch.delenv("SDCLIENT_URL", raising=False)
    return tmp_path


def test_an_address_is_taken_as_it_is() -> None:
    client = Client("gpu.local:7861")

    assert (client.url, client.name) == ("http://gpu.local:7861", "gpu.local:7861")
    assert client.address.credentials is None


def test_a_name_brings_address_dialect_and_password(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sdclient.toml").write_text(FILE)
    monkeypatch.setenv("MINI_PASSWORD", "hunter2")

    client = Client("mini")

    assert (client.url, client.name, client.dialect) == ("http://mini.local:7860", "mini", "drawthings")
    assert client.address.credentials is not None
    assert client.address.credentials.username == "anna"


def test_no_address_is_the_environments_then_the_files_default(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sdclient.toml").write_text(FILE)

    assert Client().url == "http://gpu:7860/prefix"
    monkeypatch.setenv("SDCLIENT_URL", "")
    assert Client().url == "http://gpu:7860/prefix"
    monkeypatch.setenv("SDCLIENT_URL", "http://other:1")
    assert Client().url == "http://other:1"


def test_without_any_address_the_message_says_the_three_ways() -> None:
    with pytest.raises(ConfigurationError, match=r"--url http.*SDCLIENT_URL.*sdclient\.toml"):
        Client()


def test_a_name_that_is_not_in_the_file_has_a_close_one(folder: Path) -> None:
    (folder / "sdclient.toml").write_text(FILE)

    with pytest.raises(ConfigurationError, match=r"'mimi'.*did you mean mini"):
        Client("mimi")


def test_a_name_with_dots_that_is_in_the_file_is_meant_and_any_other_is_a_host(folder: Path) -> None:
    (folder / "sdclient.toml").write_text('[servers."gpu.local"]\nurl = "http://10.0.0.5:7861"\n')

    found = [find_address(given, None) for given in ("gpu.local", "mini.local")]

    assert [(one.name, one.address.base_url) for one in found] == [
        ("gpu.local", "http://10.0.0.5:7861"),
        ("mini.local:80", "http://mini.local"),
    ]
    assert [one.doubt for one in found] == ["", ""]


def test_without_a_file_a_bare_word_is_a_host() -> None:
    assert Client("localhost").url == "http://localhost"


@pytest.mark.parametrize("given", ["gpu.local", "http://gpu", "127.0.0.1", "localhost"])
def test_an_address_raises_no_doubt(given: str) -> None:
    assert find_address(given, None).doubt == ""


def test_a_bare_word_that_nobody_answers_to_is_said_to_be_no_name_in_the_file() -> None:
    with pytest.raises(NotSentError, match=r"unknown host.*no server named 'mini' is in sdclient\.toml.*mini:7860"):
        Client("mini", transport=Nobody()).options()


@pytest.mark.parametrize("file", ["", FILE])
def test_a_name_of_two_words_that_is_not_in_the_file_is_said_to_be_none(folder: Path, file: str) -> None:
    (folder / "sdclient.toml").write_text(file)

    with pytest.raises(ConfigurationError, match=r"server 'big mac': not in .*sdclient\.toml; give an address such as"):
        Client("big mac")


def test_a_payload_in_place_of_a_server_is_told_as_one() -> None:
    with pytest.raises(NotSentError, match=r"unknown host.*bake is the name of a payload, and a server is needed here"):
        Client("bake", transport=Nobody()).options()


def test_given_credentials_win_over_those_of_the_address() -> None:
    client = Client("http://bob:x@gpu:7860", auth=("anna", "hunter2"))

    assert client.address.credentials is not None
    assert client.address.credentials.username == "anna"
    assert "hunter2" not in repr(client)


def test_an_unknown_dialect_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"known are a1111, drawthings"):
        Client("http://gpu:7860", dialect="a111")
