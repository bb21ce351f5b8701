"""``sdclient.toml``: servers by name, never a password in the file, in a repr or in an error."""

import os
import sys

import pytest

from sdclient.errors import ConfigurationError, MissingExtraError
from sdclient.schemas.config import (
    Config,
    CredentialSource,
    ServerConfig,
    find_config,
    load_config,
    read_credentials,
)


@pytest.fixture
def write(tmp_path):
    def to_file(text):
        path = tmp_path / "sdclient.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return to_file


def with_source(kind, place):
    return ServerConfig("mini", "http://mini:7860", None, CredentialSource("anna", kind, str(place)))


def test_servers_and_defaults_are_read(write, tmp_path) -> None:
    path = write(
        """
        [servers.mini]
        url = "http://mini.local:7860"
        dialect = "drawthings"
        username = "anna"
        password_env = "MINI"

        [servers.gpu]
        url = "gpu:7860"
        username = "bert"
        password_file = "gpu.password"

        [servers.open]
        url = "http://open"

        [servers.ring]
        url = "https://ring"
        username = "carl"
        keyring = "sdclient"

        [defaults]
        server = "mini"
        payload = "bake"
        """
    )

    config = load_config(path)

    assert config.default_server == "mini"
    assert config.default_payload == "bake"
    assert config.server("mini") == ServerConfig(
        "mini", "http://mini.local:7860", "drawthings", CredentialSource("anna", "env", "MINI")
    )
    assert config.server("open") == ServerConfig("open", "http://open")
    assert config.server("gpu").credentials == CredentialSource("bert", "file", str(tmp_path / "gpu.password"))
    assert config.server("ring").credentials == CredentialSource("carl", "keyring", "sdclient")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("[servers", "not TOML", id="no-toml"),
        pytest.param("[servers.m]\nurll = 1", "servers.m.urll: unknown field; did you mean url?", id="typo"),
        pytest.param("[servers.m]\ndialect = 'a1111'", "servers.m.url: missing", id="no-url"),
        pytest.param("[servers.m]\nurl = 7", "servers.m.url: Input should be a valid string", id="url-number"),
        pytest.param("[servers.m]\nurl = 'ftp://x'", "servers.m.url: must be an address", id="scheme"),
        pytest.param("[servers.m]\nurl = 'http://'", "servers.m.url: must be an address", id="no-host"),
        pytest.param("[servers.m]\nurl = 'http://a b'", "servers.m.url: must be an address", id="space"),
        pytest.param("[servers.m]\nurl = 'http://h'\ndialect = 'x'", "servers.m.dialect: no dialect", id="dialect"),
        pytest.param("[servers.m]\nurl = 'http://h'\nusername = 'a'", "servers.m: username goes with", id="no-source"),
        pytest.param("[servers.m]\nurl = 'http://h'\npassword_env = 'A'", "username goes with", id="no-user"),
        pytest.param(
            "[servers.m]\nurl='http://h'\nusername='a'\npassword_env='A'\nkeyring='b'", "more than one source", id="two"
        ),
        pytest.param("[defaults]\nserver = 'mini'", "defaults.server: no server has this name", id="default"),
        pytest.param("[default]\nserver = 'mini'", "default: unknown field; did you mean defaults?", id="table"),
        pytest.param("servers = 3", "servers: Input should be a valid dictionary", id="servers-number"),
        pytest.param("[servers]\nm = 3", "servers.m: Input should be", id="server-number"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_field(write, text: str, message: str) -> None:
    path = write(text)

    with pytest.raises(ConfigurationError) as caught:
        load_config(path)

    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("key", ["password", "token"])
def test_a_password_in_the_file_is_refused_without_repeating_it(write, key: str) -> None:
    path = write(f"[servers.m]\nurl = 'http://h'\n{key} = 'hunter2'")

    with pytest.raises(ConfigurationError, match="does not belong into this file") as caught:
        load_config(path)

    assert "hunter2" not in str(caught.value)


def test_a_password_in_an_address_is_refused_without_repeating_it(write) -> None:
    path = write("[servers.m]\nurl = 'http://anna:hunter2@h'")

    with pytest.raises(ConfigurationError, match="no user name or password belongs into an address") as caught:
        load_config(path)

    assert "hunter2" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_said(tmp_path) -> None:
    (tmp_path / "latin.toml").write_bytes("[servers.m]\nurl = 'é'".encode("latin-1"))

    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_config(tmp_path / "latin.toml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_config(tmp_path / "missing.toml")


def test_the_working_folder_comes_before_the_users_own(tmp_path, monkeypatch) -> None:
    here, home = tmp_path / "here", tmp_path / "home"
    here.mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)

    assert find_config() is None
    assert load_config() == Config()

    import platformdirs

    own = platformdirs.user_config_path("sdclient") / "sdclient.toml"
    own.parent.mkdir(parents=True)
    own.write_text("")
    assert find_config() == own

    (here / "sdclient.toml").write_text("")
    assert find_config() == here / "sdclient.toml"
    assert find_config(tmp_path) == own


@pytest.mark.skipif(os.name != "posix", reason="elsewhere the folder one is in cannot be removed")
def test_a_working_folder_that_was_removed_holds_no_file(tmp_path, monkeypatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(gone)
    gone.rmdir()

    assert find_config() is None


def test_an_unknown_server_is_said_with_a_close_name() -> None:
    config = Config(servers={"mini": ServerConfig("mini", "http://mini")})

    with pytest.raises(ConfigurationError, match=r"server 'minni': .*did you mean mini\?"):
        config.server("minni")


def test_a_server_without_credentials_wants_none() -> None:
    assert read_credentials(ServerConfig("mini", "http://mini")) is None


def test_a_password_comes_from_the_environment() -> None:
    assert read_credentials(with_source("env", "MINI"), environ={"MINI": "hunter2"}) == ("anna", "hunter2")


@pytest.mark.parametrize("environ", [{}, {"MINI": ""}])
def test_an_unset_variable_is_said(environ: dict) -> None:
    with pytest.raises(ConfigurationError, match="server 'mini': no password in env 'MINI'; set it there"):
        read_credentials(with_source("env", "MINI"), environ=environ)


def test_a_password_comes_from_a_file_that_only_its_owner_can_read(tmp_path) -> None:
    path = tmp_path / "password"
    path.write_text("hunter2\n")
    path.chmod(0o600)

    assert read_credentials(with_source("file", path)) == ("anna", "hunter2")


def test_a_byte_order_mark_belongs_neither_to_the_file_nor_to_the_password(write, tmp_path) -> None:
    path = write("\ufeff[servers.mini]\nurl = 'http://mini'\n")
    secret = tmp_path / "secret"
    secret.write_bytes(b"\xef\xbb\xbfhunter2\r\n")
    secret.chmod(0o600)

    assert load_config(path).server("mini").url == "http://mini"
    assert read_credentials(with_source("file", secret), environ={}) == ("anna", "hunter2")


@pytest.mark.skipif(os.name != "posix", reason="file modes mean something on POSIX only")
def test_a_password_file_that_others_can_read_is_refused(tmp_path) -> None:
    path = tmp_path / "password"
    path.write_text("hunter2")
    path.chmod(0o640)

    with pytest.raises(ConfigurationError, match="others can read this file; run: chmod 600") as caught:
        read_credentials(with_source("file", path))

    assert "hunter2" not in str(caught.value)


def test_a_password_file_that_is_missing_or_no_text_is_said(tmp_path) -> None:
    path = tmp_path / "password"

    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_credentials(with_source("file", path))

    path.write_bytes(b"\xff\xfe")
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        read_credentials(with_source("file", path))


@pytest.fixture
def ring():
    """A keyring of our own in place of the system's."""
    keyring = pytest.importorskip("keyring")
    from keyring.backend import KeyringBackend
    from keyring.errors import KeyringLocked

    class Ring(KeyringBackend):
        priority = 1
        kept: dict = {}  # noqa: RUF012 - one test, one ring

        def get_password(self, service, username):
            if service == "locked":
                raise KeyringLocked("locked")
            return self.kept.get((service, username))

        def set_password(self, service, username, password):
            self.kept[service, username] = password

    before = keyring.get_keyring()
    keyring.set_keyring(Ring())
    yield keyring
    keyring.set_keyring(before)


def test_a_password_comes_from_the_keyring(ring) -> None:
    ring.set_password("sdclient", "anna", "hunter2")

    assert read_credentials(with_source("keyring", "sdclient")) == ("anna", "hunter2")
    with pytest.raises(ConfigurationError, match="no password in keyring 'other'"):
        read_credentials(with_source("keyring", "other"))
    with pytest.raises(ConfigurationError, match="the keyring cannot be read: locked"):
        read_credentials(with_source("keyring", "locked"))


def test_a_missing_keyring_package_names_the_extra(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)

    with pytest.raises(MissingExtraError, match=r"pip install 'sdclient\[keyring\]'"):
        read_credentials(with_source("keyring", "sdclient"))
