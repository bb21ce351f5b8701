"""A run on a cluster: what a worker does on its node, and who is needed where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sdclient.batch.events import Listener
from sdclient.batch.lane import Lane
from sdclient.batch.worker import WorkerSettings
from sdclient.client import Client
from sdclient.engines.cluster import RESOURCE
from sdclient.engines.keeper import Post
from sdclient.errors import ConfigurationError, RunFolderError, StorageError
from sdclient.lanes import each_loss_once, server_lanes
from sdclient.run import Run
from sdclient.schemas.config import ServerConfig, read_credentials
from sdclient.segment import SegmentSettings
from sdclient.steps.generate import ServerLane
from sdclient.steps.segment import SegmenterLane
from sdclient.transport import safe_url

_LEAST_GPU_SHARE = 0.0001


@dataclass(frozen=True, slots=True)
class SharedRun:
    """The run that nodes work on.

    Attributes:
        out: Its output folder, absolute; the same path on every node.
        run_seed: The seed written in it, by which a node knows that it sees the same folder.
        settings: How a worker takes part.
        allow_mixed: Take servers that draw differently.
        strict: Refuse a server for any loss.
    """

    out: str
    run_seed: int
    settings: WorkerSettings = field(default_factory=WorkerSettings)
    allow_mixed: bool = False
    strict: bool = False

    def refusal(self) -> str:
        """Say why a node does not see this run; empty where it does."""
        try:
            found = Run.open(self.out).folder.settings.run_seed
        except (RunFolderError, StorageError):
            return f"it does not see the run in {self.out}; OUT must lie on a folder that all nodes share, at one path"
        if found != self.run_seed:
            return f"what it sees at {self.out} is another run; OUT must lie on a folder that all nodes share"
        return ""


@dataclass(frozen=True, slots=True)
class ServerWork:
    """Draws with one server from the node it lives on.

    Attributes:
        shared: The run.
        server: The server; its password is read on the node, from the source that is named.
    """

    shared: SharedRun
    server: ServerConfig

    def refusal(self) -> str:
        """Say why this node cannot take part; empty where it can."""
        return self.shared.refusal()

    def look(self) -> str:
        """Say what the server is, and what it would not do as planned.

        Raises:
            SDClientError: If it cannot be reached, or cannot do what is planned.
        """
        client, lanes = self._open()
        losses = Run.open(self.shared.out).losses(lanes, strict=self.shared.strict)
        return "\n".join([f"{client.title} at {client.url}", *map(str, each_loss_once(losses))])

    def start(self, listener: Listener) -> Run:
        """Start working.

        Raises:
            SDClientError: If the server cannot be reached, or cannot do what is planned.
        """
        run = Run.open(self.shared.out)
        _, lanes = self._open()
        # Asked again: whoever died since is started anew, perhaps beside another server.
        run.losses(lanes, strict=self.shared.strict)
        run.begin(lanes, settings=self.shared.settings, listener=listener, allow_mixed=self.shared.allow_mixed)
        return run

    def _open(self) -> tuple[Client, list[Lane]]:
        client = Client(self.server.url, auth=read_credentials(self.server), dialect=self.server.dialect)
        client.name = self.server.name or client.name
        return client, server_lanes(client, None)


@dataclass(frozen=True, slots=True)
class SegmentWork:
    """Cuts out on a node.

    Attributes:
        shared: The run.
        settings: How.
    """

    shared: SharedRun
    settings: SegmentSettings

    def refusal(self) -> str:
        """Say why this node cannot take part; empty where it can."""
        return self.shared.refusal()

    def look(self) -> str:
        """Say nothing: a segmenter does what the plan says, or is not there."""
        return ""

    def start(self, listener: Listener) -> Run:
        """Start working.

        Raises:
            SDClientError: If the model cannot be loaded here.
        """
        run = Run.open(self.shared.out)
        run.begin([SegmenterLane(self.settings)], settings=self.shared.settings, listener=listener)
        return run


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """How a run uses a cluster.

    Attributes:
        segmenters: Workers that cut out, where the plan cuts.
        gpu_share: Share of a GPU that each of them takes, 0.0001 to 1; 0: they work on CPUs.

    Raises:
        ConfigurationError: If the share is another.
    """

    segmenters: int = 1
    gpu_share: float = 0.0

    def __post_init__(self) -> None:
        if self.gpu_share != 0 and not _LEAST_GPU_SHARE <= self.gpu_share <= 1:
            raise ConfigurationError(
                f"gpu_share: must be 0, or from {_LEAST_GPU_SHARE} (Ray counts no finer) to 1, and is {self.gpu_share}"
            )


def cluster_posts(run: Run, servers: Sequence[ServerConfig], shared: SharedRun, cluster: ClusterSettings) -> list[Post]:
    """Say who is needed where for a run.

    Args:
        run: The run, planned.
        servers: Its servers.
        shared: The run as nodes see it.
        cluster: How to use the cluster.

    Raises:
        ConfigurationError: If the plan needs servers and none is named, or two have one name.
    """
    needed = run.open_kinds()
    posts: list[Post] = []
    if needed & ServerLane.kinds:
        posts += _server_posts(servers, shared)
    settings = run.segment_settings()
    if needed & SegmenterLane.kinds and settings is not None:
        cpus = 0.0 if cluster.gpu_share else 1.0
        posts += [
            Post(
                f"segmenter {number}",
                SegmentWork(shared, settings),
                cpus=cpus,
                gpus=cluster.gpu_share,
                kinds=SegmenterLane.kinds,
                title="on any node that has a GPU" if cluster.gpu_share else "on any node",
            )
            for number in range(1, max(1, cluster.segmenters) + 1)
        ]
    return posts


def _server_posts(servers: Sequence[ServerConfig], shared: SharedRun) -> list[Post]:
    if not servers:
        raise ConfigurationError("no server is named: list them in sdclient.toml, or give --url for each")
    names = [server.name for server in servers]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConfigurationError(f"two servers are called {twice!r}; a name stands for one server")
    return [_server_post(server, shared) for server in servers]


def _server_post(server: ServerConfig, shared: SharedRun) -> Post:
    what = server.dialect or "its program is found out there"
    return Post(
        server.name,
        ServerWork(shared, server),
        resource=RESOURCE + server.name,
        kinds=ServerLane.kinds,
        dialect=server.dialect,
        title=f"{safe_url(server.url)} from its own node, {what}",
    )


def of_run(run: Run, post: Post) -> Post:
    """Return a post of a run whose seed another machine chose in the meantime."""
    work = post.work
    if not isinstance(work, ServerWork | SegmentWork):
        return post
    return replace(post, work=replace(work, shared=replace(work.shared, run_seed=run.folder.settings.run_seed)))


def share_run(run: Run, settings: WorkerSettings, *, allow_mixed: bool = False, strict: bool = False) -> SharedRun:
    """Return a planned run as nodes see it."""
    absolute = {name: path.absolute() for name, path in settings.inputs.items()}
    out = Path(run.out).absolute()
    return SharedRun(str(out), run.folder.settings.run_seed, replace(settings, inputs=absolute), allow_mixed, strict)
