"""Servers as lanes of a worker: opened, compared, and asked what they would not do as planned."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from pydantic import JsonValue

from sdclient.batch.company import ANY, ServerKind, begin_on, begun_on
from sdclient.batch.folder import RunFolder
from sdclient.batch.lane import Lane
from sdclient.batch.plan import Job
from sdclient.client import Client, Losses
from sdclient.dialects.base import Loss
from sdclient.dialects.lora_tags import lora_tags
from sdclient.dialects.losses import refuse
from sdclient.errors import ConfigurationError, SDClientError, ServerError, TransportError
from sdclient.steps.generate import GenerateSpec, ServerLane

_HARMLESS = frozenset({"prompt", "negative_prompt", "seed"})
"""Changes of a job that no server takes or refuses by their value."""


def server_lanes(
    servers: Sequence[str | Client] | str | Client, on_missing: Callable[[str, Exception], None] | None
) -> list[Lane]:
    """Open servers as lanes of a worker, all at the same time: one that hangs keeps nobody waiting twice.

    Args:
        servers: Clients, addresses or names from ``sdclient.toml``; none means the default server.
        on_missing: Told of every server that cannot be used, where another can.

    Raises:
        TransportError: If no server can be reached.
        ServerError: If none of them is a server that can be used.
    """
    given = [servers] if isinstance(servers, str | Client) else list(servers)
    clients = [one if isinstance(one, Client) else Client(one) for one in given] or [Client()]
    with ThreadPoolExecutor(max_workers=len(clients)) as pool:
        opened = list(pool.map(_open, clients))
    lanes = [lane for lane in opened if isinstance(lane, ServerLane)]
    missing = [(client.name, lane) for client, lane in zip(clients, opened, strict=True) if isinstance(lane, Exception)]
    if not lanes:
        raise missing[0][1]
    if on_missing is not None:
        for name, error in missing:
            on_missing(name, error)
    return list(lanes)


def _open(client: Client) -> ServerLane | SDClientError:
    try:
        # It may have been another when the client last spoke to it.
        client.connection.look_again()
        return ServerLane(client)
    except (TransportError, ServerError) as exc:
        return exc


def server_kinds(
    lanes: Sequence[Lane], jobs: Sequence[Job], specs: Mapping[str, Mapping[str, JsonValue]]
) -> dict[str, ServerKind]:
    """Return the kind of every server, by its name: its dialect, and its model where a job takes what is loaded.

    Args:
        lanes: Servers, and segmenters, which are left out.
        jobs: The open jobs.
        specs: The plan's specs, by hash.
    """
    requests = [spec.request for _, spec in _requests(jobs, specs)]
    kinds: dict[str, ServerKind] = {}
    for lane in lanes:
        if isinstance(lane, ServerLane):
            names = lane.client.connection.dialect.overlay_names
            takes_loaded = any(request.for_dialect(*names).model is None for request in requests)
            kinds[lane.name] = ServerKind(lane.dialect, _loaded_model(lane.client) if takes_loaded else "")
    return kinds


def refuse_mixed(kinds: Mapping[str, ServerKind], before: ServerKind | None = None) -> None:
    """Refuse servers of different dialects or models in one run.

    Args:
        kinds: The servers, by name.
        before: The kind on which the run was begun, where it was.

    Raises:
        ConfigurationError: Naming those that differ.
    """
    listed = list(kinds.items())
    if any(kind.differs_from(listed[0][1]) for _, kind in listed):
        named = ", ".join(f"{name} ({kind})" for name, kind in listed)
        raise ConfigurationError(
            f"these servers draw differently: {named}; take servers of one program and model, name the model in the "
            "payload, or say --allow-mixed"
        )
    for name, kind in listed:
        if before is not None and kind.differs_from(before):
            raise ConfigurationError(
                f"this run was begun on {before}, and {name} is {kind}, which draws differently; "
                "take a server like the first, use another output folder, or say --allow-mixed"
            )


def settle_kind(folder: RunFolder, kinds: Mapping[str, ServerKind], *, allow_mixed: bool) -> None:
    """Write down on what kind of server a run is begun, unless it was begun before, and compare with that.

    Args:
        folder: The run.
        kinds: The servers, by name.
        allow_mixed: Take servers that draw differently, from now on.

    Raises:
        ConfigurationError: If it was begun on unlike servers, perhaps by another machine a moment ago.
        StorageError: If it cannot be written.
    """
    if not kinds:
        return
    before = begun_on(folder) or begin_on(folder, ANY if allow_mixed else next(iter(kinds.values())))
    if not allow_mixed:
        refuse_mixed(kinds, before)


@dataclass(frozen=True, slots=True)
class LaneLosses:
    """The losses of one server for one kind of job.

    Attributes:
        server: The server's name.
        kind: The kind of job.
        losses: What it does not do as asked.
    """

    server: str
    kind: str
    losses: Losses

    def to_json(self) -> list[dict[str, object]]:
        """Return one object a loss."""
        return [{"server": self.server, "job_kind": self.kind, **asdict(loss)} for loss in self.losses.items]

    def __str__(self) -> str:
        return "\n".join(f"  {line}" for line in f"{self.kind} on {self.server}, {self.losses}".splitlines())


def each_loss_once(found: Sequence[LaneLosses]) -> list[LaneLosses]:
    """Put the kinds of jobs that share a loss together, so that each loss of a server is told once."""
    servers: dict[tuple[str, str], dict[Loss, set[str]]] = {}
    for one in found:
        kinds_of = servers.setdefault((one.server, one.losses.server), {})
        for loss in one.losses.items:
            kinds_of.setdefault(loss, set()).add(one.kind)
    told: list[LaneLosses] = []
    for (server, title), kinds_of in servers.items():
        groups: dict[str, list[Loss]] = {}
        for loss, kinds in kinds_of.items():
            groups.setdefault(", ".join(sorted(kinds)), []).append(loss)
        told += [LaneLosses(server, kinds, Losses(title, tuple(losses))) for kinds, losses in groups.items()]
    return told


def check_losses(
    jobs: Sequence[Job],
    specs: Mapping[str, Mapping[str, JsonValue]],
    lanes: Sequence[Lane],
    *,
    strict: bool,
    allow_mixed: bool,
) -> list[LaneLosses]:
    """Return what each server would not do as jobs ask.

    Args:
        jobs: The open jobs.
        specs: The plan's specs, by hash.
        lanes: Where they will be done.
        strict: Refuse for any loss, not only for what a server cannot do at all.
        allow_mixed: Let servers take a model's name for different models.

    Raises:
        LossError: If one of them cannot do it, or under ``strict`` not as asked.
        ConfigurationError: If a name means one model here and another there.
    """
    servers = [lane for lane in lanes if isinstance(lane, ServerLane)]
    found: list[LaneLosses] = []
    said: set[tuple[str, str, str]] = set()
    for kind, spec in _requests(jobs, specs):
        taken_for: dict[str, str] = {}
        for lane in servers:
            # Whatever the size given beside is: the blank image that is checked has one that is right.
            size = None if spec.size is None else "source"
            losses = lane.client.check(spec.request, size=size, fit=spec.fit)
            refuse(losses.items, where=f"{losses.server} at {lane.client.url}", strict=strict)
            taken_for[lane.name] = next((one.message for one in losses.items if _is_other_model(one)), "")
            key = (lane.name, kind, str(losses))
            if losses.items and key not in said:
                said.add(key)
                found.append(LaneLosses(lane.name, kind, losses))
        if not allow_mixed:
            _refuse_two_models(taken_for)
    return found


def _is_other_model(loss: Loss) -> bool:
    return (loss.field, loss.kind) == ("model", "replaced")


def _refuse_two_models(taken_for: Mapping[str, str]) -> None:
    """Refuse a model's name that each server reads in its own way: one run would be drawn by two models."""
    if len(set(taken_for.values())) > 1:
        named = "\n".join(
            f"  {name}: {message or 'it is the name of a model there'}" for name, message in taken_for.items()
        )
        raise ConfigurationError(
            f"the payload's model is not the same on all servers:\n{named}\n"
            "name it whole, as all of them list it, or say --allow-mixed"
        )


def _requests(jobs: Sequence[Job], specs: Mapping[str, Mapping[str, JsonValue]]) -> Iterator[tuple[str, GenerateSpec]]:
    """Give every request that differs in more than its words and seed, once."""
    seen: set[str] = set()
    for job in jobs:
        if job.kind not in ServerLane.kinds:
            continue
        changes = {name: value for name, value in job.changes.items() if name not in _HARMLESS}
        # Tags name files, so they are more than words.
        tags = [tag.text for tag in lora_tags(str(job.changes.get("prompt", "")))]
        key = job.spec + json.dumps([changes, tags], sort_keys=True)
        if key not in seen:
            seen.add(key)
            spec = GenerateSpec.from_json(job.kind, specs[job.spec])
            # With the words of one of them: some servers refuse a request without any.
            request = spec.request.replace(**job.changes) if job.changes else spec.request
            yield job.kind, GenerateSpec(request, spec.size, spec.fit)


def _loaded_model(client: Client) -> str:
    options = client.facts.options or {}
    model = options.get("sd_model_checkpoint", options.get("model"))
    return model if isinstance(model, str) else ""
