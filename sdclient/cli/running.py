"""What every command that works on a run does: look ahead, work, stop on request, sum up."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypedDict

import click

from sdclient.batch.events import Event, Listener
from sdclient.batch.lane import Lane
from sdclient.batch.survey import Counts
from sdclient.batch.worker import WorkerResult, WorkerSettings
from sdclient.cli.announcing import announce, announce_cluster, aside
from sdclient.cli.app import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_NO_SERVER, EXIT_REFUSED
from sdclient.cli.joining import join_likewise, typed_otherwise
from sdclient.cli.options import told
from sdclient.cli.stopping import ending, finishing, signals
from sdclient.cli.talk import Progress, emit, plural, remark, say, server_steps
from sdclient.client import Client
from sdclient.engines.hooks import HookSettings, told_by
from sdclient.files import command_line
from sdclient.run import Run
from sdclient.segment import SegmentSettings
from sdclient.steps.generate import ServerLane
from sdclient.steps.segment import SegmenterLane

_SHOWN_REASONS = 5
_MOST_GLANCED_AT = 20_000
"""Done jobs whose records are read, each some 50 µs, before work goes on."""


class RunningOptions(TypedDict):
    """The options of `options.running`, as click hands them over."""

    limit: int | None
    dry_run: bool
    max_failed: int
    allow_mixed: bool
    strict: bool
    dialect: str | None
    on_trouble: str | None
    notify: str | None
    as_json: bool
    engine: Literal["threads", "ray"]
    address: str | None
    segmenters: int | None
    gpu_share: float | None


@dataclass(frozen=True, slots=True)
class Company:
    """With whom to work.

    Attributes:
        urls: Servers, by address or name.
        segmenter: The segmenter to cut with, open or to be opened; None opens the plan's.
        inputs: Where input roots lie on this machine.
    """

    urls: Sequence[str] = ()
    segmenter: SegmentSettings | SegmenterLane | None = None
    inputs: dict[str, Path] = field(default_factory=dict[str, Path])


def work(
    run: Run,
    company: Company,
    options: RunningOptions,
    *,
    also: Listener | None = None,
    after_first: Callable[[], bool] | None = None,
    at_start: Callable[[], None] | None = None,
) -> int:
    """Work on a run and return the exit code.

    Args:
        run: The run.
        company: With whom.
        options: What the user said.
        also: Told of everything that happens, beside the progress bar.
        after_first: Called once the first job is done; work goes on where it returns True.
        at_start: Called once nothing stands in the way any more, before the run is written and begins.
    """
    if isinstance(company.segmenter, SegmentSettings):
        refuse_device_elsewhere(options["engine"], company.segmenter)
    run.tell(*told(options["on_trouble"], options["notify"]))
    for text in run.skipped:
        say(f"left out: {text}")
    counts = run.status().counts
    _glance(run, counts, as_json=options["as_json"])
    if not counts.left and not run.awaited_kinds():
        if not options["dry_run"]:
            run.note_told()
            _complete_views(run, as_json=options["as_json"])
        return _sum_up(run, company, counts, None, options, was_stopped=False)
    for text in run.remarks:
        say(f"note: {text}")
    if options["engine"] == "ray":
        if after_first is not None:
            text = "with --engine ray all images are begun at once: nobody is asked after the first"
            remark(text, as_json=options["as_json"])
        return _work_on_cluster(run, company, options, also=also, at_start=at_start)
    return _work_here(run, company, options, counts, also=also, after_first=after_first, at_start=at_start)


def _complete_views(run: Run, *, as_json: bool) -> None:
    """Write the tables of a run that is all done: its last worker may have been killed before it did, or a table removed."""
    if run.folder.state.is_dir():
        for text in run.write_views():
            remark(text, as_json=as_json)


def _work_here(
    run: Run,
    company: Company,
    options: RunningOptions,
    counts: Counts,
    *,
    also: Listener | None,
    after_first: Callable[[], bool] | None,
    at_start: Callable[[], None] | None,
) -> int:
    lanes = run.lanes(
        _clients(run, company, options),
        segmenter=company.segmenter,
        allow_mixed=options["allow_mixed"],
        on_missing=lambda name, exc: say(f"{name}: left out: {exc}"),
    )
    expected_s = announce(run, counts, lanes, strict=options["strict"], as_json=options["as_json"])
    if options["dry_run"]:
        return 0
    if at_start is not None:
        at_start()
    settings = WorkerSettings(limit=options["limit"], inputs=company.inputs)
    progress = Progress(
        counts.jobs, counts.done, as_json=options["as_json"], expected_s=expected_s, steps=server_steps(lanes)
    )
    left_s = partial(progress.busy_left_s, run.typical_s())
    words = partial(finishing, left_s), partial(ending, lanes, left_s)
    with signals(run.stop, *words, progress.close) as was_stopped:
        try:
            result = _stretches(run, lanes, settings, _both(progress, also), after_first, was_stopped)
        finally:
            progress.close()
    return _sum_up(run, company, result.counts, result, options, was_stopped=bool(was_stopped))


def _work_on_cluster(
    run: Run,
    company: Company,
    options: RunningOptions,
    *,
    also: Listener | None,
    at_start: Callable[[], None] | None,
) -> int:
    # Where it is not asked for, nothing of it is loaded.
    from sdclient.cli.cluster import prepare_cluster, run_cluster
    from sdclient.engines.cluster import ClusterEngine
    from sdclient.nodes import ClusterSettings

    counts = run.status().counts
    posts = prepare_cluster(
        run,
        company.urls,
        company.inputs,
        ClusterSettings(options["segmenters"] or 1, options["gpu_share"] or 0.0),
        dialect=options["dialect"],
        allow_mixed=options["allow_mixed"],
        strict=options["strict"],
    )
    expected_s = announce_cluster(run, counts, posts, as_json=options["as_json"])
    if options["dry_run"]:
        return 0
    progress = Progress(counts.jobs, counts.done, as_json=options["as_json"], expected_s=expected_s)
    words = partial(finishing, partial(progress.busy_left_s, run.typical_s())), lambda: "ending what runs on every node"
    ended: list[WorkerResult] = []

    def count() -> Counts:
        # At the end the folder may be away, or another's.
        return ended[0].counts if ended else run.status().counts

    with told_by(run.hooks, run.out, _both(progress, also), count) as listener:
        engine = ClusterEngine(run.folder, posts, address=options["address"], listener=listener)
        with signals(engine.stop, *words, progress.close) as was_stopped:
            try:
                result = run_cluster(engine, run, at_start)
                ended.append(result)
            finally:
                progress.close()
    return _sum_up(run, company, result.counts, result, options, was_stopped=bool(was_stopped))


def _stretches(
    run: Run,
    lanes: Sequence[Lane],
    settings: WorkerSettings,
    listener: Listener,
    after_first: Callable[[], bool] | None,
    was_stopped: Sequence[int],
) -> WorkerResult:
    """Work in one go, or one job first where somebody wants to look at it."""
    if after_first is None or settings.limit == 0:
        return _stretch(run, lanes, settings, listener)

    def goes_on(first: WorkerResult) -> bool:
        return not was_stopped and (not first.made or after_first())

    return _in_two(run, lanes, settings, listener, goes_on)


def _clients(run: Run, company: Company, options: RunningOptions) -> list[Client]:
    """Open the servers by address or name; none where nothing that is left needs one."""
    if not run.open_kinds() & ServerLane.kinds:
        return []
    return [Client(url, dialect=options["dialect"]) for url in company.urls or (None,)]


def _stretch(run: Run, lanes: Sequence[Lane], settings: WorkerSettings, listener: Listener) -> WorkerResult:
    run.begin(lanes, settings=settings, listener=listener)
    return run.wait()


def _in_two(
    run: Run,
    lanes: Sequence[Lane],
    settings: WorkerSettings,
    listener: Listener,
    goes_on: Callable[[WorkerResult], bool],
) -> WorkerResult:
    """Do one job, and the others where ``goes_on`` says so."""
    # Told of the end once, and not after the first image.
    hooks, run.hooks = run.hooks, HookSettings()
    first = _stretch(run, lanes, replace(settings, limit=1), listener)
    run.hooks = hooks
    limit = None if settings.limit is None else settings.limit - 1
    if not first.counts.left or first.trouble is not None or limit == 0 or not goes_on(first):
        return first
    rest = _stretch(run, lanes, replace(settings, limit=limit), listener)
    return replace(rest, made=first.made + rest.made)


def _both(first: Listener, second: Listener | None) -> Listener:
    if second is None:
        return first

    def tell(event: Event) -> None:
        first(event)
        second(event)

    return tell


def _glance(run: Run, counts: Counts, *, as_json: bool) -> None:
    """Say where images of a run that is entered again are not as they were made; nobody would look for days."""
    if not counts.done:
        return
    if counts.done > _MOST_GLANCED_AT:
        text = f"{counts.done} done jobs are too many to look at in passing: {_status(run)} does"
    else:
        text = run.glance().words(run.out)
    if text:
        remark(text, as_json=as_json)


def _sum_up(
    run: Run,
    company: Company,
    counts: Counts,
    result: WorkerResult | None,
    options: RunningOptions,
    *,
    was_stopped: bool,
) -> int:
    code = _exit_code(counts, result, options, was_stopped=was_stopped)
    if result is not None:
        _remark_at_end(run, counts, result, as_json=options["as_json"])
    if options["as_json"]:
        emit({"event": "ended", **counts.to_json(), "made": result.made if result else 0, "exit_code": code})
        return code
    made = f", {result.made} of them now" if result is not None else ""
    if result is not None and result.is_replaced:
        # What lies there is no business of theirs: neither its jobs, nor its commands.
        jobs = f"{counts.done} of {plural(counts.jobs, 'job')} done{made}"
        say(f"{run.out}: the run that was there was removed or moved; when it was last seen: {jobs}")
        return code
    say(f"{run.out}: {counts.done} of {plural(counts.jobs, 'job')} done{made}{aside(counts)}")
    _say_set_aside(run, counts)
    if counts.left:
        join = join_likewise(run, company, options)
        say(f"  {counts.left} left; the same command goes on, or{typed_otherwise(company.urls)}: {join}")
    return code


def _remark_at_end(run: Run, counts: Counts, result: WorkerResult, *, as_json: bool) -> None:
    """Say what did not go as asked though jobs are done: nobody would look for it."""
    # Where servers drew otherwise than asked, each image is a success.
    is_looked_at = result.trouble is None and 0 < counts.done <= _MOST_GLANCED_AT
    if is_looked_at and (text := run.otherwise().words(run.out)):
        remark(text, as_json=as_json)
    for text in result.problems:
        remark(text, as_json=as_json)
    if result.trouble is not None:
        remark(f"stopped by trouble with the folder: {result.trouble}", as_json=as_json)


def _say_set_aside(run: Run, counts: Counts) -> None:
    if not counts.set_aside:
        return
    places: dict[str, list[str]] = {}
    for place, why in run.status().set_aside.items():
        places.setdefault(why, []).append(place)
    for why, alike in list(places.items())[:_SHOWN_REASONS]:
        more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        say(f"  set aside: {alike[0]}{more}: {why}")
    if len(places) > _SHOWN_REASONS:
        say(f"  … and for {len(places) - _SHOWN_REASONS} other reasons; {_status(run)} lists them all")
    replies = run.folder.state / "replies"
    if replies.is_dir() and any(replies.iterdir()):
        say(f"  what servers answered is kept in {replies}")
    say(f"  when the cause is mended: {command_line('sdclient', 'retry', run.out)}")


def _status(run: Run) -> str:
    return command_line("sdclient", "status", run.out)


def _exit_code(counts: Counts, result: WorkerResult | None, options: RunningOptions, *, was_stopped: bool) -> int:
    if was_stopped:
        return EXIT_INTERRUPTED
    if result is not None and result.trouble is not None:
        return EXIT_REFUSED
    if counts.set_aside > options["max_failed"]:
        return EXIT_FAILED
    if counts.left and result is not None and result.left:
        return EXIT_REFUSED if result.is_refusal else EXIT_NO_SERVER
    return 0


def refuse_device_elsewhere(engine: str, settings: SegmentSettings) -> None:
    """Refuse a device where other machines cut: it is no part of a plan, and each takes the best it has.

    Raises:
        click.UsageError: Naming what to say instead.
    """
    if engine == "ray" and settings.device is not None:
        raise click.UsageError(
            f"--device {settings.device:.40} is about this machine: with --engine ray say --gpu-share, nodes take what "
            "they have"
        )


def end(code: int) -> None:
    """End the program with a code, after everything was written."""
    sys.stdout.flush()
    if code:
        sys.exit(code)
