"""Servers as lanes of a worker: opened, and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sdclient.batch.lane import Lane
from sdclient.client import Client
from sdclient.errors import ConfigurationError, NotSentError
from sdclient.steps.generate import ServerLane


def server_lanes(
    servers: Sequence[str | Client] | str | Client, on_missing: Callable[[str, Exception], None] | None
) -> list[Lane]:
    """Open servers as lanes of a worker.

    Args:
        servers: Clients, addresses or names from ``sdclient.toml``; none means the default server.
        on_missing: Told of every server that cannot be reached, while another can.

    Raises:
        NotSentError: If no server can be reached.
    """
    given = [servers] if isinstance(servers, str | Client) else list(servers)
    clients = [one if isinstance(one, Client) else Client(one) for one in given] or [Client()]
    lanes: list[Lane] = []
    missing: NotSentError | None = None
    for client in clients:
        try:
            lanes.append(ServerLane(client))
        except NotSentError as exc:  # noqa: PERF203 - a handful of servers
            missing = exc
            if on_missing is not None:
                on_missing(client.name, exc)
    if not lanes and missing is not None:
        raise missing
    return lanes


def refuse_mixed(lanes: Sequence[Lane], *, allow_mixed: bool) -> None:
    """Refuse servers of different dialects in one run.

    Raises:
        ConfigurationError: If there are such, and they were not allowed.
    """
    dialects = {lane.dialect: lane.name for lane in lanes}
    if len(dialects) > 1 and not allow_mixed:
        named = ", ".join(f"{name} ({dialect})" for dialect, name in dialects.items())
        raise ConfigurationError(
            f"these servers are different programs and draw differently: {named}; "
            "take servers of one kind, or say --allow-mixed"
        )
