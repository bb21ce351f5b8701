"""Which server is meant: by address, by name, or by what this machine has by default; and its credentials."""

from __future__ import annotations

import os

from sdclient.errors import ConfigurationError
from sdclient.schemas.config import ServerConfig, load_config, read_credentials
from sdclient.transport import Credentials, ServerAddress, parse_server_url


def find_address(url: str | None, auth: tuple[str, str] | None) -> tuple[ServerAddress, str, str | None]:
    """Find a server by its address, its name in ``sdclient.toml``, or by what this machine has by default.

    Args:
        url: Address or name; None reads ``SDCLIENT_URL`` or the default server of ``sdclient.toml``.
        auth: User and password, in place of those that the file names.

    Returns:
        The address with its credentials, its name for logs, and its dialect where the file names one.

    Raises:
        ConfigurationError: If no server is named, or its address or credentials are wrong.
    """
    server = _find_server(url or os.environ.get("SDCLIENT_URL"))
    address = parse_server_url(server.url)
    secret = auth or read_credentials(server)
    if secret is not None:
        address = address.with_credentials(Credentials(*secret))
    return address, server.name or f"{address.host}:{address.port}", server.dialect


def _find_server(given: str | None) -> ServerConfig:
    if given is not None and any(mark in given for mark in ":/."):
        return ServerConfig("", given)
    config = load_config()
    if given is not None:
        # A bare word is a name in the file; where it is none there, it may still be a host.
        return config.server(given) if config.servers else ServerConfig("", given)
    if config.default_server is None:
        raise ConfigurationError(
            "no server is named: give --url http://127.0.0.1:7860, set SDCLIENT_URL, or write one into sdclient.toml"
        )
    return config.server(config.default_server)
