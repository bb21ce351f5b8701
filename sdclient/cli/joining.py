"""The command that goes on with a run, as it works when it is typed here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sdclient.batch.log import last_server
from sdclient.cli.talk import plural
from sdclient.client.finding import find_server
from sdclient.errors import ConfigurationError
from sdclient.files import command_line
from sdclient.run import Run
from sdclient.schemas.config import load_config
from sdclient.steps.generate import ServerLane
from sdclient.steps.segment import SegmenterLane
from sdclient.transport import parse_server_url, safe_url

if TYPE_CHECKING:
    from sdclient.cli.running import Company, RunningOptions

_HTTPS = ":443"


def join_command(run: Run, *, urls: Sequence[str] | None = None, more: Sequence[str | Path] = ()) -> str:
    """Return the command line that goes on with a run.

    Args:
        run: The run.
        urls: Servers as they were named; None looks into the run: where jobs are left that need a server, and this
            machine has none of its own, it is the one that was at the run last.
        more: Further options.
    """
    # A password that stood in an address is nothing for a screen.
    named = [word for url in (_last(run) if urls is None else urls) for word in ("--url", safe_url(url))]
    return command_line("sdclient", "join", run.out, *named, *more)


def join_likewise(run: Run, company: Company, options: RunningOptions) -> str:
    """Return the command line that goes on with a run on the servers and by the engine that this one was worked on.

    Args:
        run: The run.
        company: With whom it was worked on.
        options: What the user said.
    """
    model, device = _segmenter(company)
    said: dict[str, str | Path | float | None] = {
        "--engine": "ray" if options["engine"] == "ray" else None,
        "--address": options["address"],
        "--segmenters": options["segmenters"],
        "--gpu-share": options["gpu_share"],
        "--dialect": options["dialect"],
        "--model": model,
        "--device": device,
        "--in": next(iter(company.inputs.values()), None),
    }
    more = [word for name, value in said.items() if value is not None for word in (name, _word(value))]
    flags = {"--allow-mixed": options["allow_mixed"], "--strict": options["strict"]}
    return join_command(run, urls=company.urls, more=[*more, *(name for name, is_set in flags.items() if is_set)])


def typed_otherwise(urls: Sequence[str]) -> str:
    """Say what has to be done to a command with these servers before it works; mostly nothing."""
    is_short = any(parse_server_url(url).credentials is not None for url in urls if "@" in url and ":" in url)
    return ", with the password put into its address" if is_short else ""


def _segmenter(company: Company) -> tuple[str | None, str | None]:
    """Return checkpoint and device where each machine names its own."""
    if company.segmenter is None:
        return None, None
    one = company.segmenter
    settings = one.settings if isinstance(one, SegmenterLane) else one
    # A plan names a checkpoint by its file's name, and knows the others.
    is_planned = settings.model == settings.to_json()["model"]
    return None if is_planned else settings.model, settings.device


def _word(value: str | Path | float) -> str | Path:
    return value if isinstance(value, Path) else str(value)


def planned_again(run: Run, number: int) -> str:
    """Say how many jobs were planned once more, and what makes them."""
    if not number:
        return f"nothing is planned once more in {run.out}"
    return f"{plural(number, 'job')} planned once more; to make {'it' if number == 1 else 'them'}: {join_command(run)}"


def _last(run: Run) -> list[str]:
    if _has_default() or not run.open_kinds() & ServerLane.kinds:
        return []
    return [_as_typed(last_server(run.folder, ServerLane.kinds)) or "URL"]


def _as_typed(name: str) -> str:
    """Return what means the server of this name on this machine; nothing where that is not known."""
    host, _, port = name.rpartition(":")
    # What has no name of its own is called by host and port.
    address = f"[{host}]:{port}" if ":" in host else name
    try:
        if not host:
            # The name is of the sdclient.toml where it was worked, which may be another machine's.
            return name if name in load_config().servers else ""
        parse_server_url(address)
    except ConfigurationError:
        return ""
    return f"https://{address}" if address.endswith(_HTTPS) else address


def _has_default() -> bool:
    try:
        find_server(os.environ.get("SDCLIENT_URL") or None)
    except ConfigurationError:
        return False
    return True
