"""How commands work on a run through a Ray cluster: ``--engine ray``."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from sdclient.batch.unbegun import take_back, written_names
from sdclient.batch.worker import WorkerResult, WorkerSettings
from sdclient.client.finding import find_server, is_word
from sdclient.engines.cluster import ClusterEngine
from sdclient.engines.keeper import Post
from sdclient.errors import ConfigurationError
from sdclient.nodes import ClusterSettings, cluster_posts, of_run, share_run
from sdclient.run import Run
from sdclient.schemas.config import ServerConfig, load_config
from sdclient.transport import parse_server_url, safe_url


def prepare_cluster(
    run: Run,
    urls: Sequence[str],
    inputs: dict[str, Path],
    cluster: ClusterSettings,
    *,
    dialect: str | None,
    allow_mixed: bool,
    strict: bool,
) -> list[Post]:
    """Return who is needed where for a run; nothing is asked of the cluster or the servers yet.

    Raises:
        ConfigurationError: If no server is named, or one by a name that nobody has.
    """
    shared = share_run(run, WorkerSettings(inputs=inputs), allow_mixed=allow_mixed, strict=strict)
    return cluster_posts(run, named_servers(urls, dialect), shared, cluster)


def named_servers(urls: Sequence[str], dialect: str | None) -> list[ServerConfig]:
    """Return the servers that are named, else that of ``SDCLIENT_URL``, else all of ``sdclient.toml``.

    Args:
        urls: Addresses or names.
        dialect: What all of them speak; None: what the file says, or what is found out.

    Raises:
        ConfigurationError: If one is named by a name that is not in the file, or its address is wrong or holds a
            password, which would travel to its node.
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
    if address.credentials is not None:
        raise ConfigurationError(
            f"server {safe_url(url)}: with --engine ray no user name or password in an address, as it would travel to "
            "another machine; name the server in sdclient.toml, with username and password_env"
        )
    return replace(server, name=f"{address.host}:{address.port}")


def run_cluster(engine: ClusterEngine, run: Run, at_start: Callable[[], None] | None) -> WorkerResult:
    """Work, and let signals through meanwhile: Ray's own waiting would keep them.

    Args:
        engine: What works.
        run: The run; written once the cluster is reached and fits, as a plan that cannot begin bars its own correction.
        at_start: Called right before that.

    Raises:
        KeyboardInterrupt: If it was told to stop before the cluster was reached.
        ConfigurationError: If no server does what is asked, so that the run could not begin: nothing is left of it.
    """
    ended: list[WorkerResult | BaseException] = []
    is_new, written = not written_names(run.folder), frozenset[str]()

    def ready() -> None:
        nonlocal written
        if at_start is not None:
            at_start()
        begun_as = run.folder.settings.run_seed
        run.save()
        if run.folder.settings.run_seed == begun_as:
            written = written_names(run.folder)
        else:
            # Somebody else began it at the same moment: it is theirs to take back, and nodes see theirs.
            engine.change_posts(partial(of_run, run))

    def work() -> None:
        try:
            ended.append(engine.run(ready))
        except BaseException as exc:  # noqa: BLE001 - raised again in the thread that waits
            ended.append(exc)

    # The program does not wait for one that Ray holds.
    thread = threading.Thread(target=work, name="sdclient-cluster", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.2)
        if engine.is_given_up:
            raise KeyboardInterrupt
    if isinstance(ended[0], BaseException):
        raise ended[0]
    result = ended[0]
    is_ours = is_new and bool(written)
    if is_ours and result.is_refusal and not result.counts.done and take_back(run.folder, written):
        why = "\n".join(f"{name}: {words}" for name, words in result.left.items())
        raise ConfigurationError(f"nothing is drawn, and the plan is not kept, so that it can be corrected\n{why}")
    return result
