"""Which server is meant: by address, by name, or by what this machine has by default; and its credentials."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdclient.errors import ConfigurationError
from sdclient.transport import Credentials, ServerAddress, parse_server_url

if TYPE_CHECKING:
    from sdclient.schemas.config import ServerConfig


@dataclass(frozen=True, slots=True)
class FoundServer:
    """The server that is meant.

    Attributes:
        address: Where it is, with its credentials.
        name: What it is called in logs.
        dialect: Its dialect where ``sdclient.toml`` names one.
        doubt: What may be wrong with the address, for the case that nobody can be reached there; mostly empty.
    """

    address: ServerAddress
    name: str
    dialect: str | None = None
    doubt: str = ""


def find_address(url: str | None, auth: tuple[str, str] | None) -> FoundServer:
    """Find a server by its address, its name in ``sdclient.toml``, or by what this machine has by default.

    Args:
        url: Address or name; None reads ``SDCLIENT_URL`` or the default server of ``sdclient.toml``.
        auth: User and password, in place of those that the file names.

    Raises:
        ConfigurationError: If no server is named, or its address or credentials are wrong.
    """
    from sdclient.schemas.config import read_credentials

    given = url or os.environ.get("SDCLIENT_URL") or None
    server = find_server(given)
    address = parse_server_url(server.url)
    secret = auth or read_credentials(server)
    if secret is not None:
        address = address.with_credentials(Credentials(*secret))
    doubt = "" if server.name or given is None or not is_word(given) or address.is_loopback else _doubt(given)
    return FoundServer(address, server.name or f"{address.host}:{address.port}", server.dialect, doubt)


def is_word(given: str) -> bool:
    """Tell whether a server is named by a bare word, which is a name in ``sdclient.toml`` before it is a host."""
    return given != "localhost" and not any(mark in given for mark in ":/.")


def _doubt(word: str) -> str:
    from sdclient.schemas.config import CONFIG_NAME
    from sdclient.schemas.payload import payload_names

    if word in payload_names():
        return (
            f"{word} is the name of a payload, and a server is needed here: its address, or its name in {CONFIG_NAME}"
        )
    return (
        f"no server named {word[:60]!r} is in {CONFIG_NAME}, so it was taken for a host: "
        f"name it there, or give an address such as http://{word[:60]}:7860"
    )


def find_server(given: str | None) -> ServerConfig:
    """Find a server in ``sdclient.toml``, or take what is given for its address.

    Args:
        given: Address or name; None means the default server of the file.

    Returns:
        The server; its name is empty where the file does not name it.

    Raises:
        ConfigurationError: If no server is named, or one by a name that is not in the file.
    """
    from sdclient.schemas.config import ServerConfig, load_config

    if given is not None and any(mark in given for mark in ":/"):
        return ServerConfig("", given)
    config = load_config()
    if given is not None:
        # A bare word is a name in the file; where it is none there, it may still be a host, as may one with dots.
        # Two words are none.
        is_name = given in config.servers or len(given.split()) > 1 or (config.servers and is_word(given))
        return config.server(given) if is_name else ServerConfig("", given)
    if config.default_server is None:
        raise ConfigurationError(
            "no server is named: give --url http://127.0.0.1:7860, set SDCLIENT_URL, or write one into sdclient.toml"
        )
    return config.server(config.default_server)
