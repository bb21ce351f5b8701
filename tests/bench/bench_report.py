"""How long a report takes, and how large its page is: ``python tests/bench/bench_report.py [--attempts N --images N]``.

A run folder is made with real records, claims, rows and small real images; no job is executed.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from figures import Figure, arguments, tell, timed
from PIL import Image
from pydantic import JsonValue

from sdclient.batch.folder import RunFolder
from sdclient.batch.log import ATTEMPT_COLUMNS
from sdclient.batch.plan import Job, make_job, spec_id
from sdclient.batch.record import OutFile, Record
from sdclient.files import format_row
from sdclient.report.thumbs import make_thumb, thumb_path
from sdclient.report.write import write_report

BEGAN = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
PROMPTS = 40
TOKENS = ("a" * 32, "b" * 32)


def make_run(out: Path, attempts: int, images: int) -> RunFolder:
    """Make a run folder with ``images`` done jobs and as many failed tries as make ``attempts`` in all."""
    folder = RunFolder.create(out, run_seed=7)
    spec: dict[str, JsonValue] = {"request": {"prompt": "a fox", "steps": 30, "width": 1024, "height": 1024}}
    jobs = [
        make_job(
            "txt2img",
            f"group{number // 100:02d}/img_{number:05d}",
            spec,
            changes={"prompt": f"a red fox number {number % PROMPTS}, in the snow, extremely detailed, 4k"},
            columns={"nation": f"n{number % 10}", "category": f"c{number % 4}"},
        )
        for number in range(images)
    ]
    folder.add(jobs, {spec_id(spec): spec})
    for number, job in enumerate(jobs):
        _commit(folder, job, number)
    _write_logs(folder, jobs, attempts)
    return folder


def _commit(folder: RunFolder, job: Job, number: int) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 64), (number % 256, number // 256 % 256, 90)).save(file, "PNG")
    data = file.getvalue()
    place = f"{job.place}_1.png"
    sha256 = hashlib.sha256(data).hexdigest()
    path = folder.out / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    facts: dict[str, JsonValue] = {"width_px": 64, "height_px": 64, "pixels_sha256": sha256, "seed": number}
    body = {f"setting_{key}": key for key in range(80)}
    rest: dict[str, JsonValue] = {
        "seed": number,
        "request": cast("JsonValue", body),
        "losses": [{"field": "clip_skip", "kind": "dropped", "severity": "note", "message": "not known here"}],
        "changed": [],
        "kind": job.kind,
        "place": job.place,
        "server": f"server{number % 2}",
        "dialect": "a1111",
        "started": _moment(number * 12),
        "execute_s": 11.5,
    }
    record = Record(job.id, 1, TOKENS[number % 2], (OutFile(path.name, place, sha256, len(data), facts),), rest)
    done = folder.done_folder(job.id)
    done.mkdir(parents=True)
    (done / "record.json").write_bytes(record.to_bytes())
    thumb = thumb_path(folder.state, sha256)
    thumb.parent.mkdir(parents=True, exist_ok=True)
    thumb.write_bytes(make_thumb(data))


def _moment(seconds: float) -> str:
    return (BEGAN + dt.timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def _write_logs(folder: RunFolder, jobs: list[Job], attempts: int) -> None:
    rows: dict[str, list[dict[str, str]]] = {token: [] for token in TOKENS}
    for number in range(attempts):
        job = jobs[number % len(jobs)]
        is_done = number < len(jobs)
        rows[TOKENS[number % 2]].append(_row(job, number, is_done=is_done))
    for token, made in rows.items():
        lines = [format_row(ATTEMPT_COLUMNS)]
        lines += [format_row([cells.get(name, "") for name in ATTEMPT_COLUMNS]) for cells in made]
        (folder.state / "log" / f"{token}.csv").write_bytes(b"".join(lines))


def _row(job: Job, number: int, *, is_done: bool) -> dict[str, str]:
    return {
        "job": job.id,
        "kind": job.kind,
        "place": job.place,
        "status": "done" if is_done else "failed",
        "files": f"{job.place}_1.png" if is_done else "",
        "attempt": "1" if is_done else str(2 + number // 1000),
        "server": f"server{number % 2}",
        "dialect": "a1111",
        "worker": TOKENS[number % 2][:8],
        "started": _moment(number * 12),
        "wall_s": "12.0",
        "execute_s": "11.5",
        "finish_s": "0.2",
        "client_cpu_percent_mean": f"{10 + number % 30}",
        "client_cpu_percent_max": f"{20 + number % 50}",
        "client_ram_used_mb_mean": "8000",
        "client_ram_used_mb_max": "8100",
        "energy_wh": f"{0.5 + number % 7 / 10:.2f}",
        "energy_source": "nvml",
        "error": "" if is_done else "ServerFaultError",
        "message": "" if is_done else f"POST http://server/txt2img: status 500, out of memory at {number}",
    }


def measure(out: Path, attempts: int, images: int) -> Iterator[Figure]:
    """Make a run, and report it twice."""
    folder = make_run(out, attempts, images)
    size = f"{attempts:,} attempts, {images:,} images"
    yield Figure(f"report, {size}, first time", timed(lambda: write_report(RunFolder.open(out))), "s", 20.0)
    yield Figure("  the same again", timed(lambda: write_report(RunFolder.open(out))), "s", 3.0)
    page = folder.out / "report.html"
    yield Figure("  its page, without thumbnails", page.stat().st_size / 1e6, "MB", 3.0)
    if chromium := shutil.which("chromium") or shutil.which("google-chrome"):
        yield Figure("  until it can be used, in Chromium", _usable_s(chromium, page), "s", 1.0)


def _usable_s(chromium: str, page: Path) -> float:
    """Return the seconds from asking for the page until its script has counted the images; the middle of three."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        opened = browser.new_page()
        times: list[float] = []
        for _ in range(3):
            opened.goto("about:blank")
            began = time.perf_counter()
            opened.goto(page.as_uri(), wait_until="commit")
            opened.locator("#shown", has_text="shown").wait_for()
            times.append(time.perf_counter() - began)
        browser.close()
    return statistics.median(times)


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = arguments(__doc__)
    parser.add_argument("--attempts", type=int)
    parser.add_argument("--images", type=int)
    parser.add_argument("--keep", type=Path, help="make the run here and keep it")
    given = parser.parse_args()
    attempts, images = (200, 20) if given.quick else (10_000, 1_000)
    with tempfile.TemporaryDirectory() as temporary:
        out = given.keep or Path(temporary) / "run"
        tell(measure(out, given.attempts or attempts, given.images or images), given.json)


if __name__ == "__main__":
    main()
