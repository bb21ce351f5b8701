"""How commands work on a run through a Ray cluster: ``--engine ray``."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sdclient.batch.events import Listener
from sdclient.batch.worker import WorkerResult, WorkerSettings
from sdclient.client.finding import find_server, is_word
from sdclient.engines.cluster import ClusterEngine
from sdclient.nodes import ClusterSettings, SharedRun, cluster_engine, share_run
from sdclient.run import Run
from sdclient.schemas.config import ServerConfig, load_config
from sdclient.transport import parse_server_url


def prepare_cluster(
    run: Run,
    urls: Sequence[str],
    inputs: dict[str, Path],
    cluster: ClusterSettings,
    *,
    dialect: str | None,
    allow_mixed: bool,
    strict: bool,
    listener: Listener,
) -> ClusterEngine:
    """Return the engine that will work on a run, once the run is saved; nodes read it from its folder.

    Raises:
        ConfigurationError: If no server is named, or one by a name that nobody has.
        MissingExtraError: If Ray is not installed.
    """
    shared: SharedRun = share_run(run, WorkerSettings(inputs=inputs), allow_mixed=allow_mixed, strict=strict)
    return cluster_engine(run, named_servers(urls, dialect), shared, cluster, listener=listener)


def named_servers(urls: Sequence[str], dialect: str | None) -> list[ServerConfig]:
    """Return the servers that are named, else that of ``SDCLIENT_URL``, else all of ``sdclient.toml``.

    Args:
        urls: Addresses or names.
        dialect: What all of them speak; None: what the file says, or what is found out.

    Raises:
        ConfigurationError: If one is named by a name that is not in the file, or its address is wrong.
    """
    named = urls or [url for url in (os.environ.get("SDCLIENT_URL"),) if url]
    servers = [_server(url) for url in named] if named else list(load_config().servers.values())
    return [replace(server, dialect=dialect or server.dialect) for server in servers]


def _server(url: str) -> ServerConfig:
    # A bare word is never taken for a host here: no node could offer what is mistyped.
    server = load_config().server(url) if is_word(url) else find_server(url)
    if server.name:
        return server
    address = parse_server_url(url)
    return replace(server, name=f"{address.host}:{address.port}")


def run_cluster(engine: ClusterEngine) -> WorkerResult:
    """Work, and let Ctrl-C through meanwhile: Ray's own waiting would keep it."""
    ended: list[WorkerResult | BaseException] = []

    def work() -> None:
        try:
            ended.append(engine.run())
        except BaseException as exc:  # noqa: BLE001 - raised again in the thread that waits
            ended.append(exc)

    thread = threading.Thread(target=work, name="sdclient-cluster")
    thread.start()
    while thread.is_alive():
        thread.join(0.2)
    if isinstance(ended[0], BaseException):
        raise ended[0]
    return ended[0]
