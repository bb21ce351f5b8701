"""How commands work on a run through a Ray cluster: ``--engine ray``."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import click

from sdclient.batch.events import Listener
from sdclient.batch.worker import WorkerResult, WorkerSettings
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
    limit: int | None,
    allow_mixed: bool,
    strict: bool,
    listener: Listener,
) -> ClusterEngine:
    """Return the engine that will work on a run, once the run is saved; nodes read it from its folder.

    Raises:
        click.UsageError: If an option makes no sense here.
        ConfigurationError: If no server is named.
        MissingExtraError: If Ray is not installed.
    """
    if limit is not None:
        raise click.UsageError("--limit counts the jobs of one machine; leave it out with --engine ray")
    shared: SharedRun = share_run(run, WorkerSettings(inputs=inputs), allow_mixed=allow_mixed, strict=strict)
    return cluster_engine(run, _servers(urls), shared, cluster, listener=listener)


def _servers(urls: Sequence[str]) -> list[ServerConfig]:
    """Return the servers that are named, or all of ``sdclient.toml``."""
    config = load_config()
    if not urls:
        return list(config.servers.values())
    return [config.servers[url] if url in config.servers else _by_address(url) for url in urls]


def _by_address(url: str) -> ServerConfig:
    address = parse_server_url(url)
    return ServerConfig(f"{address.host}:{address.port}", url)


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
