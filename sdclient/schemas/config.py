"""``sdclient.toml``: servers by name, where their passwords come from, and defaults. Never a password itself.

::

    [servers.mini]
    url = "http://mini.local:7860"
    dialect = "drawthings"            may be left out: it is found out
    username = "anna"                 with one of the three sources of a password:
    password_env = "MINI_PASSWORD"      an environment variable
    keyring = "sdclient"                the system's keyring, under this service name
    password_file = "mini.password"     a file only you can read, beside this one or absolute

    [defaults]
    server = "mini"
    payload = "bake"
    on_trouble = ["notify-send", "sdclient"]    a program and its arguments, told of trouble (JSON on its standard input)
    notify = "https://ntfy.example/my-runs"     an address that gets a POST when a run ends or is stuck
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, cast
from urllib.parse import urlsplit

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sdclient.errors import ConfigurationError, MissingExtraError
from sdclient.files import command_line
from sdclient.schemas.configtext import parse_toml
from sdclient.schemas.generation import DIALECT_NAMES
from sdclient.schemas.problems import problem_lines

CONFIG_NAME = "sdclient.toml"
"""The file's name, in the working folder or in the user's configuration folder."""

_SECRET_KEYS = ("password", "passwd", "secret", "token", "auth")
_SECRET_MAX = 4096
SourceKind = Literal["env", "keyring", "file"]


@dataclass(frozen=True, slots=True)
class CredentialSource:
    """Where a user's password comes from; never the password.

    Attributes:
        username: The user's name on the server.
        kind: ``env``, ``keyring`` or ``file``.
        place: The variable's name, the service's name, or the file's path.
    """

    username: str
    kind: SourceKind
    place: str


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """A server with a name.

    Attributes:
        name: Its name in the file.
        url: Its address, without user name or password.
        dialect: The dialect to speak; None: found out.
        credentials: Where its password comes from; None: it wants none.
    """

    name: str
    url: str
    dialect: str | None = None
    credentials: CredentialSource | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """What ``sdclient.toml`` says.

    Attributes:
        path: The file; None where there is none.
        servers: Servers by name.
        default_server: The server to use where none is named.
        default_payload: The payload to use where none is named.
        on_trouble: Program and arguments to run when a run is in trouble; empty for none.
        notify: Address to tell when a run ends or is stuck; empty for none.
    """

    path: Path | None = None
    servers: Mapping[str, ServerConfig] = field(default_factory=dict[str, ServerConfig])
    default_server: str | None = None
    default_payload: str | None = None
    on_trouble: tuple[str, ...] = ()
    notify: str = ""

    def server(self, name: str) -> ServerConfig:
        """Return the server of this name.

        Raises:
            ConfigurationError: If there is none.
        """
        if name in self.servers:
            return self.servers[name]
        close = difflib.get_close_matches(name, self.servers, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        where = self.path or CONFIG_NAME
        raise ConfigurationError(
            f"server {name[:60]!r}: not in {where}{hint}; give an address such as http://host:7860"
        )


class _Entry(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class _ServerEntry(_Entry):
    url: str
    dialect: str | None = None
    username: Annotated[str, Field(min_length=1)] | None = None
    password_env: Annotated[str, Field(min_length=1)] | None = None
    password_keyring: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, validation_alias=AliasChoices("keyring", "password_keyring")
    )
    password_file: Annotated[str, Field(min_length=1)] | None = None

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if "@" in parts.netloc:
            raise ValueError("no user name or password belongs into an address; use username and password_env")
        if parts.scheme not in ("http", "https") or not parts.hostname or any(c.isspace() for c in url):
            raise ValueError("must be an address such as http://host:7860")
        return url

    @field_validator("dialect")
    @classmethod
    def _is_dialect(cls, name: str | None) -> str | None:
        if name is not None and name not in DIALECT_NAMES:
            raise ValueError(f"no dialect has this name; known are {', '.join(DIALECT_NAMES)}")
        return name

    @model_validator(mode="after")
    def _has_one_source(self) -> _ServerEntry:
        count = sum(place is not None for place in (self.password_env, self.password_keyring, self.password_file))
        if count > 1:
            raise ValueError("more than one source of a password; keep one")
        if (self.username is None) != (count == 0):
            raise ValueError("username goes with one of password_env, keyring and password_file")
        return self

    def source(self, folder: Path) -> CredentialSource | None:
        """Return where the password comes from, a file's path made whole."""
        if self.username is None:
            return None
        if self.password_env is not None:
            return CredentialSource(self.username, "env", self.password_env)
        if self.password_keyring is not None:
            return CredentialSource(self.username, "keyring", self.password_keyring)
        return CredentialSource(self.username, "file", str(folder / Path(self.password_file or "").expanduser()))


class _Defaults(_Entry):
    server: str | None = None
    payload: str | None = None
    on_trouble: list[Annotated[str, Field(min_length=1)]] = Field(default_factory=list[str])
    notify: str = ""


class _File(_Entry):
    servers: dict[str, _ServerEntry] = Field(default_factory=dict)
    defaults: _Defaults = Field(default_factory=_Defaults)


def find_config(folder: Path | None = None) -> Path | None:
    """Return the ``sdclient.toml`` in force: of the working folder, else of the user; None where there is none.

    Args:
        folder: The working folder; the process's own by default.
    """
    from platformdirs import user_config_path

    places = (folder or _working_folder(), user_config_path("sdclient"))
    paths = (place / CONFIG_NAME for place in places)
    return next((path for path in paths if os.path.isfile(path)), None)  # noqa: PTH113 - never raises, as is_file() may


def _working_folder() -> Path:
    try:
        return Path.cwd()
    except OSError:
        # It was removed; then nothing is in it.
        return Path()


def load_config(path: Path | None = None) -> Config:
    """Read ``sdclient.toml``; where there is none, everything is empty.

    Args:
        path: The file; the one in force by default.

    Raises:
        ConfigurationError: If it cannot be read, is no TOML, or says something wrong.
    """
    path = path or find_config()
    if path is None:
        return Config()
    values = _read_toml(path)
    _refuse_secrets(values, path)
    try:
        file = _File.model_validate(values)
    except ValidationError as exc:
        raise ConfigurationError("\n".join(problem_lines(exc.errors(), _File, f"{path}: "))) from None
    folder = path.parent.absolute()
    servers = {
        name: ServerConfig(name, entry.url, entry.dialect, entry.source(folder)) for name, entry in file.servers.items()
    }
    said = file.defaults
    config = Config(path, servers, said.server, said.payload, tuple(said.on_trouble), said.notify)
    if config.default_server is not None and config.default_server not in servers:
        known = ", ".join(servers) or "none"
        raise ConfigurationError(f"{path}: defaults.server: no server has this name; known are {known}")
    return config


def read_credentials(server: ServerConfig, *, environ: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """Fetch a server's user name and password from where its entry says.

    Args:
        server: The server.
        environ: The environment variables.

    Returns:
        User name and password; None where the server wants none.

    Raises:
        ConfigurationError: If the source has none, or is a file that others can read.
        MissingExtraError: If the keyring is asked for and its package is not installed.
    """
    source = server.credentials
    if source is None:
        return None
    where = f"server {server.name!r}"
    if source.kind == "env":
        secret = environ.get(source.place, "")
    elif source.kind == "file":
        secret = _secret_in_file(Path(source.place), where)
    else:
        secret = _secret_in_keyring(source, where)
    if not secret:
        raise ConfigurationError(f"{where}: no password in {source.kind} {source.place!r}; set it there")
    return source.username, secret


def _read_toml(path: Path) -> dict[str, object]:
    try:
        return parse_toml(path.read_text(encoding="utf-8-sig"), str(path))
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}: not UTF-8 text; save it as UTF-8") from None
    except OSError as exc:
        raise ConfigurationError(f"{path}: cannot be read: {exc.strerror or exc}") from exc


def _refuse_secrets(values: Mapping[str, object], path: Path) -> None:
    servers = values.get("servers")
    entries = cast("dict[str, object]", servers) if isinstance(servers, dict) else {}
    for name, entry in entries.items():
        for key in _SECRET_KEYS:
            if isinstance(entry, dict) and key in entry:
                raise ConfigurationError(
                    f"{path}: servers.{name}.{key}: a password does not belong into this file; name where it is kept "
                    "with password_env, keyring or password_file"
                )


def _secret_in_file(path: Path, where: str) -> str:
    """Read a password file; one that others can read is refused, as ssh does."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
                raise ConfigurationError(
                    f"{where}: {path}: others can read this file; run: {command_line('chmod', '600', path)}"
                )
            # Windows' own tools begin a text with a byte order mark, which is no part of the password.
            return file.read(_SECRET_MAX).decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{where}: {path}: not UTF-8 text") from None
    except OSError as exc:
        raise ConfigurationError(f"{where}: {path}: cannot be read: {exc.strerror or exc}") from exc


def _secret_in_keyring(source: CredentialSource, where: str) -> str:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError as exc:
        raise MissingExtraError(f"{where}: the keyring needs a package: pip install 'sdclient[keyring]'") from exc
    try:
        return keyring.get_password(source.place, source.username) or ""
    except KeyringError as exc:
        raise ConfigurationError(f"{where}: the keyring cannot be read: {exc}") from exc
