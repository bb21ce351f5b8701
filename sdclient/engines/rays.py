"""The few calls to Ray itself: reaching a cluster, refusing one that is open to the world, and what its nodes offer."""

# Ray leaves the types of many results and arguments open; mypy checks what it has.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import ipaddress
import json
import logging
import os
import socket

from sdclient.errors import ConfigurationError, MissingExtraError, NotSentError
from sdclient.files import command_line

_ANSWER_S = 5.0
_MOST_PORTS = 65535
_CLIENT = "ray://"
_FOUND_HERE = (
    "; that is the cluster that RAY_ADDRESS names, or the last ray start on this machine: give another --address (the "
    "head's host and port; local: this machine alone), or stop all of Ray here with: ray stop"
)


def need_ray() -> None:
    """Refuse in words where Ray is not installed.

    Raises:
        MissingExtraError: If it is not.
    """
    # Ray prints what its nodes say to standard output, where commands give data; read when it is imported.
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
    # At SIGTERM Ray's own handler prints stacks, and aborts a program that is not at its end three seconds later.
    os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")
    try:
        import ray  # noqa: F401 # pyright: ignore[reportUnusedImport] - whether it is there is all that is asked
    except ImportError as exc:
        raise MissingExtraError("--engine ray needs Ray: pip install 'sdclient[ray]'") from exc


def connect(address: str | None) -> None:
    """Join a cluster as its driver, without dashboard and usage statistics.

    Args:
        address: Its address, ``auto`` for the one this machine belongs to; None starts Ray here, unless it belongs to
            one.

    Raises:
        NotSentError: If there is none, or the one that this machine belongs to does not answer.
        ConfigurationError: If the address is none, or one of its nodes has a public address.
    """
    _refuse_silence(address)
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        if address is None:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as exc:
        raise NotSentError(_no_cluster(address, first_line(exc))) from exc
    open_to_all = [name for name in node_addresses() if not _is_private(name)]
    if open_to_all:
        ray.shutdown()
        raise ConfigurationError(
            f"a node of this Ray cluster has the public address {open_to_all[0]}: whoever reaches Ray's ports may run "
            "programs there; start Ray on private addresses (ray start --node-ip-address …)"
        )


def _refuse_silence(address: str | None) -> None:
    """Try the head's port first: where nobody listens, Ray waits for minutes, and no signal ends that."""
    if address in (None, "auto"):
        address = _found(address)
        hint = _FOUND_HERE
    else:
        hint = ""
    if address in (None, "local"):
        return
    host, _, port = address.removeprefix(_CLIENT).rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) <= _MOST_PORTS):
        raise ConfigurationError(
            f"address {address:.80}: no address of a Ray cluster; give auto, or the head's host and port, such as "
            "10.0.0.1:6379"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S).close()
    except OSError as exc:
        raise NotSentError(_no_cluster(address, exc.strerror or first_line(exc)) + hint) from exc
    except UnicodeError as exc:
        raise NotSentError(_no_cluster(address, "no host can be called so") + hint) from exc


def _found(address: str | None) -> str | None:
    """Return the cluster that ``auto``, or no address, stands for on this machine; None where there is none.

    Raises:
        NotSentError: If ``auto`` stands for nothing.
    """
    named = os.environ.get("RAY_ADDRESS", "")
    if named not in ("", "auto"):
        return named
    try:
        # Ray has no public name for how it finds one: by its running processes, and what the last `ray start` wrote.
        from ray._private.services import canonicalize_bootstrap_address
    except ImportError:
        return None
    try:
        return canonicalize_bootstrap_address(address)  # type: ignore[arg-type]  # None is documented
    except (OSError, ValueError) as exc:
        raise NotSentError(_no_cluster(address, first_line(exc))) from exc


def _no_cluster(address: str | None, why: str) -> str:
    if (address or "").startswith(_CLIENT):
        hint = "give the head's own host and port, without ray://, on a machine of the cluster"
    else:
        hint = "start one with: ray start --head"
    return f"no Ray cluster at {address or 'this machine'}: {why}; {hint}"


def node_addresses() -> list[str]:
    """Return the addresses of the nodes that live."""
    import ray

    nodes: list[dict[str, object]] = ray.nodes()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
    return [str(node["NodeManagerAddress"]) for node in nodes if node["Alive"]]


def _is_private(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_private
    except ValueError:
        return False


def offered_resources() -> frozenset[str]:
    """Return the names of all that nodes offer now."""
    import ray

    return frozenset(ray.cluster_resources())  # type: ignore[no-untyped-call]  # Ray leaves it untyped


def _head_address() -> str:
    """Return the address by which machines join the cluster that this one belongs to: its head's host and port."""
    import ray

    return str(ray.get_runtime_context().gcs_address)


def how_to_offer(resource: str) -> str:
    """Say how a node comes to offer a resource."""
    command = command_line("ray", "start", "--address", _head_address(), "--resources", json.dumps({resource: 1}))
    return f"no node of the cluster offers {resource}; start Ray on a machine that reaches that server with: {command}"


def how_to_offer_gpu() -> str:
    """Say how a node comes to offer a GPU."""
    command = command_line("ray", "start", "--address", _head_address(), "--num-gpus", "1")
    return f"no node of the cluster has a GPU; start Ray on a machine that has one with: {command}"


def first_line(exc: BaseException) -> str:
    """Return the words of an error that fit a line; Ray's have pages."""
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:200]
