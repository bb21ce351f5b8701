"""Adds up a run: requests, servers, losses, failures by reason, energy. Pure, but for the saved replies it opens."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from pydantic import JsonValue

from sdclient.batch.folder import RunFolder
from sdclient.batch.plan import Plan, latest_jobs
from sdclient.batch.record import Record
from sdclient.report.gallery import shortened
from sdclient.report.history import figure, make_work_axis, read_lanes
from sdclient.report.model import Change, EnergySummary, Failure, LossCount, RequestSummary, ServerSummary
from sdclient.segment.settings import SegmentSettings

_SHOWN_PLACES = 8
_REPLY_CHARS = 1500
_TEXT_CHARS = 20_000
_PROMPTS = ("prompt", "negative_prompt", "overlays")
_VARIABLE = re.compile(r"0x[0-9a-f]+|[0-9a-f]{12,}|\d+(?:\.\d+)?")
_FAILED = frozenset({"failed", "set_aside"})
_OTHER = object()


def summarise_requests(plan: Plan) -> tuple[RequestSummary, ...]:
    """Return one summary for each spec that jobs of the plan use, in the order of their first job."""
    used = Counter((job.kind, job.spec) for job in latest_jobs(plan.jobs).values())
    return tuple(_request(kind, jobs, plan.specs.get(spec, {})) for (kind, spec), jobs in used.items())


def _request(kind: str, jobs: int, spec: Mapping[str, JsonValue]) -> RequestSummary:
    inner = spec.get("request", spec.get("segment", {}))
    inner = inner if isinstance(inner, dict) else {}
    overlays = inner.get("overlays")
    usual = SegmentSettings().to_json() if "segment" in spec else {}
    settings: dict[str, str] = {
        name: _shown(value)
        for name, value in inner.items()
        # Of many segmenter options nearly all stand at what they are anyway; the model is always worth a word.
        if name not in _PROMPTS and value is not None and (name == "model" or value != usual.get(name, _OTHER))
    }
    if spec.get("size") is not None:
        # The size of each image follows from the one it is drawn over; the payload's own is not used.
        settings = {name: value for name, value in settings.items() if name not in ("width", "height")}
    settings |= {name: str(spec[name]) for name in ("size", "fit") if spec.get(name) is not None}
    text = json.dumps(_cut(dict(spec)), ensure_ascii=False, indent=1, sort_keys=True)
    return RequestSummary(
        kind, jobs, settings, tuple(overlays) if isinstance(overlays, dict) else (), shortened(text, _TEXT_CHARS)
    )


def _shown(value: JsonValue) -> str:
    return shortened(_words(_cut(value)), 300)


def _words(value: JsonValue) -> str:
    """Write a setting as people read it: ``first_width 960, strength 0.35`` instead of braces and quotes."""
    if isinstance(value, dict):
        named = [(name, part) for name, part in value.items() if part is not None]
        return ", ".join(
            f"{name} ({_words(part)})" if _is_many(part) else f"{name} {_words(part)}" for name, part in named
        )
    if isinstance(value, list):
        return ", ".join(f"({_words(part)})" if _is_many(part) else _words(part) for part in value) or "none"
    return value if isinstance(value, str) else json.dumps(value)


def _is_many(value: JsonValue) -> bool:
    return isinstance(value, (dict, list))


def _cut(value: JsonValue) -> JsonValue:
    """Shorten every long text: a request may hold whole images as base64."""
    if isinstance(value, dict):
        return {name: _cut(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_cut(part) for part in value]
    return shortened(value, 1000) if isinstance(value, str) else value


def summarise_servers(attempts: Sequence[Mapping[str, str]]) -> tuple[ServerSummary, ...]:
    """Return what each server did, the busiest first."""
    by_server: dict[str, list[Mapping[str, str]]] = {}
    for cells in attempts:
        if cells.get("server"):
            by_server.setdefault(cells["server"], []).append(cells)
    found = [_server(name, rows) for name, rows in by_server.items()]
    return tuple(sorted(found, key=lambda one: (-one.done, one.name)))


def _server(name: str, rows: Sequence[Mapping[str, str]]) -> ServerSummary:
    done = [cells for cells in rows if cells.get("status") == "done"]
    images = sum(_image_count(cells) for cells in done)
    held = [value for cells in done if (value := figure(cells, "execute_s")) is not None]
    lanes = read_lanes(rows)
    active_s = make_work_axis(lanes).length_s
    busy_s = sum(lane.busy_s for lane in lanes)
    sizes = [value for cells in rows if (value := figure(cells, "server_rss_mb")) is not None]
    return ServerSummary(
        name=name,
        dialect=next((cells["dialect"] for cells in rows if cells.get("dialect")), ""),
        done=len(done),
        failed=sum(cells.get("status") in _FAILED for cells in rows),
        images=images,
        median_s=median(held) if held else None,
        images_per_hour=images / active_s * 3600 if lanes and images else None,
        # Workers that share a server wait for each other inside it: more than all of the time is all of it.
        busy_percent=min(100.0, 100 * busy_s / active_s) if lanes else None,
        rss_mb=max(sizes) if sizes else None,
    )


def _image_count(cells: Mapping[str, str]) -> int:
    return sum(not name.endswith(".json") for name in cells.get("files", "").split())


def count_losses(records: Iterable[Record]) -> tuple[LossCount, ...]:
    """Count what was not done as asked, the most frequent first."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    for record in records:
        losses = record.facts.get("losses")
        for loss in losses if isinstance(losses, list) else ():
            if isinstance(loss, dict):
                parts = [shortened(loss.get(name), 400) for name in ("field", "kind", "message")]
                found[parts[0], parts[1], parts[2], str(record.facts.get("server", ""))] += 1
    return tuple(LossCount(*parts, jobs) for parts, jobs in found.most_common())


def count_changes(records: Iterable[Record]) -> tuple[Change, ...]:
    """Count what servers say they applied otherwise than asked, the most frequent first."""
    found: Counter[tuple[str, str, str, str]] = Counter()
    for record in records:
        changed = record.facts.get("changed")
        for one in changed if isinstance(changed, list) else ():
            if isinstance(one, dict):
                parts = [shortened(one.get(name), 200) for name in ("field", "asked", "applied")]
                found[parts[0], parts[1], parts[2], str(record.facts.get("server", ""))] += 1
    return tuple(Change(*parts, jobs) for parts, jobs in found.most_common())


def summarise_failures(
    folder: RunFolder, attempts: Sequence[Mapping[str, str]], set_aside: Mapping[str, str]
) -> tuple[Failure, ...]:
    """Group failed tries by their reason; numbers and ids in messages make no difference.

    Args:
        folder: The run, for the replies it has kept.
        attempts: All rows.
        set_aside: Places of the jobs that are set aside now, with the reason.
    """
    groups: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    told: dict[str, Mapping[str, str]] = {}
    for cells in attempts:
        if cells.get("status") in _FAILED:
            groups.setdefault(_reason(cells.get("error", ""), cells.get("message", "")), []).append(cells)
            told[cells.get("place", "")] = cells
    for place, message in set_aside.items():
        if place not in told:
            # Set aside without a try of its own: its input was, or its worker left no row.
            told[place] = {"place": place, "message": message}
            groups.setdefault(_reason("", message), []).append(told[place])
    # A job that failed for several reasons is set aside for the last of them.
    ended = {id(told[place]) for place in set_aside}
    found = [_failure(folder, rows, sum(id(cells) in ended for cells in rows)) for rows in groups.values()]
    return tuple(sorted(found, key=lambda one: (-one.set_aside, -one.tries)))


def _reason(error: str, message: str) -> tuple[str, str]:
    return error, _VARIABLE.sub("#", message)[:200]


def _failure(folder: RunFolder, rows: Sequence[Mapping[str, str]], set_aside: int) -> Failure:
    newest = rows[-1]
    places = tuple(dict.fromkeys(cells.get("place", "") for cells in rows))
    reply, path = _saved_reply(folder, rows)
    return Failure(
        error=newest.get("error", ""),
        message=shortened(newest.get("message", ""), 600),
        tries=len(rows),
        jobs=len(places),
        set_aside=set_aside,
        servers=tuple(dict.fromkeys(cells["server"] for cells in rows if cells.get("server"))),
        places=places[:_SHOWN_PLACES],
        reply=reply,
        reply_path=path,
    )


def _saved_reply(folder: RunFolder, rows: Sequence[Mapping[str, str]]) -> tuple[str, str]:
    for cells in reversed(rows):
        job, attempt = cells.get("job", ""), cells.get("attempt", "")
        if not (job.isalnum() and attempt.isdecimal()):
            continue
        path = folder.state / "replies" / f"{job}.e{int(attempt):06d}.txt"
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                text = file.read(_REPLY_CHARS + 1)
        except OSError:
            continue
        cut = text if len(text) <= _REPLY_CHARS else text[:_REPLY_CHARS] + "…"
        return cut, path.relative_to(folder.out).as_posix()
    return "", ""


def summarise_energy(attempts: Sequence[Mapping[str, str]]) -> EnergySummary:
    """Add up the energy that was measured; what nothing measured stays unknown."""
    tried = [cells for cells in attempts if cells.get("status") != "released"]
    known = [(cells, value) for cells in tried if (value := figure(cells, "energy_wh")) is not None]
    if not known:
        return EnergySummary(None, None, 0, len(tried), (), None)
    above = [figure(cells, "energy_above_idle_wh") for cells, _ in known]
    images = sum(_image_count(cells) for cells, _ in known if cells.get("status") == "done")
    total = sum(value for _, value in known)
    return EnergySummary(
        wh=total,
        above_idle_wh=None if None in above else sum(value for value in above if value is not None),
        measured=len(known),
        unmeasured=len(tried) - len(known),
        sources=tuple(dict.fromkeys(cells["energy_source"] for cells, _ in known if cells.get("energy_source"))),
        wh_per_image=total / images if images else None,
    )
