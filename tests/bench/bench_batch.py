"""What a run costs, against servers that cost nothing: ``python tests/bench/bench_batch.py [--json FILE] [--full] [--only NAME]``.

Simulated servers, each in a process of its own, give out images painted beforehand and keep the moments at which requests
had arrived and replies had left. Ours and what it is compared with are processes of their own and take turns; figures are
medians of the turns. CPU is the whole process with all its threads, from the second image to the last.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from figures import Figure, arguments, tell

from sdclient.run import Run
from sdclient.schemas import Img2Img, Txt2Img

CHILDREN = Path(__file__).with_name("batch_children.py")
ROOT = Path(__file__).parents[2]
# For the parts that they share with the tests.
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
LARGE_PX, MIDDLE_PX, SMALL_PX = 2048, 1024, 256
DT_MODEL = "sd_xl_base_1.0_f16.ckpt"
DT_PLAIN = {"prompt": "a fox", "negative_prompt": "", "model": DT_MODEL, "steps": 4, "upscaler": None, "refiner_model": None,
            "loras": [], "controls": [], "batch_size": 1, "seed": 1}  # fmt: skip
NATIVE = {"inherit": True}
FAULT_SHARE = 0.05


class Child:
    """A process of ``batch_children.py`` that talks JSON lines."""

    def __init__(self, *args: object, before: tuple[str, ...] = ()) -> None:
        command = [*before, sys.executable, str(CHILDREN), *map(str, args)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def hear(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args}: ended with {self.process.wait()}")
        return json.loads(line)

    def say(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def told(self) -> Any:
        """Ask for the figures since the last time."""
        self.say()
        return self.hear()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


@contextmanager
def servers(
    count: int = 1, *, delay_s: float, dialect: str = "a1111", faults: float = 0.0
) -> Iterator[tuple[list[Child], list[str]]]:
    """Start simulated servers; give their processes and their addresses."""
    flags = ("--dialect", dialect, "--delay", delay_s, "--faults", faults)
    with ExitStack() as stack:
        started: list[Child] = []
        for number in range(count):
            started.append(Child("serve", *flags, "--seed", number))
            stack.callback(started[-1].end)
        yield started, [one.hear() for one in started]


def warm(server: Child, url: str, size_px: int) -> bytes:
    """Have a server paint its image of a size, and return that."""
    body = {**DT_PLAIN, "width": size_px, "height": size_px}
    asked = urllib.request.Request(f"{url}/sdapi/v1/txt2img", json.dumps(body).encode())
    with urllib.request.urlopen(asked) as reply:
        image = base64.b64decode(json.loads(reply.read())["images"][0])
    server.told()
    return image


def planned(folder: Path, jobs: int, size_px: int, source: bytes = b"") -> Run:
    """Plan a run of so many jobs: txt2img, or img2img where there is a source."""
    folder.mkdir()
    run = Run(folder / "out", run_seed=1)
    sizes = {"width": size_px, "height": size_px, "steps": 4}
    if not source:
        return run.add([f"fox {number}" for number in range(jobs)], Txt2Img.from_mapping({**sizes, **NATIVE})).save()
    (folder / "in").mkdir()
    for number in range(jobs):
        (folder / "in" / f"{number:03d}.png").write_bytes(source)
    return run.add_folder(folder / "in", Img2Img.from_mapping({**sizes, "denoising_strength": 0.3, **NATIVE})).save()


def worked(run: Run, urls: Sequence[str], *, processes: int = 1, options: Sequence[str] = ()) -> list[Any]:
    """Work on a run, its servers shared out among processes that all begin at one word; return what they tell."""
    share = len(urls) // processes
    parts = [Child("work", run.out, *urls[turn * share : (turn + 1) * share], *options) for turn in range(processes)]
    return finished(parts)


def finished(parts: Sequence[Child]) -> list[Any]:
    """Let processes begin together and wait for what they tell."""
    for one in parts:
        one.hear()
    for one in parts:
        one.say()
    results = [one.hear() for one in parts]
    for one in parts:
        one.end()
    return results


def idle_ms(times: Sequence[Sequence[float]]) -> list[float]:
    """Return the milliseconds from each reply's last byte handed over to the next request's last byte received."""
    return [1000 * (after[0] - before[2]) for before, after in pairwise(times)]


class Bench:
    """The figures, one method each.

    Args:
        scratch: A folder for everything that is written.
        scale: How many times the usual number of images.
        rounds: How often ours and the baseline take turns; one round is to try it, with fewer jobs.
    """

    def __init__(self, scratch: Path, scale: int = 1, *, rounds: int = 3) -> None:
        self._rounds = rounds
        self._scratch = scratch
        self._scale = scale
        self._folders = 0

    def folder(self) -> Path:
        """Name a folder that is not there yet."""
        self._folders += 1
        return self._scratch / f"{self._folders:03d}"

    def idle(self) -> Iterator[Figure]:
        """How long the GPU waits between two images of a folder that is drawn over."""
        ours: list[float] = []
        theirs: list[float] = []
        with servers(delay_s=0.4, dialect="drawthings") as ([server], [url]):
            source = warm(server, url, LARGE_PX)
            image = self._scratch / "source.png"
            image.write_bytes(source)
            payload = json.dumps({**DT_PLAIN, "width": LARGE_PX, "height": LARGE_PX, "strength": 0.3})
            for _ in range(self._rounds):
                worked(planned(folder := self.folder(), 8 * self._scale, LARGE_PX, source), [url])
                ours += idle_ms(server.told())
                shutil.rmtree(folder)
                loop = Child(
                    "emif", self.folder(), url, "--jobs", 4 * self._scale, "--input", image, "--payload", payload
                )
                finished([loop])
                theirs += idle_ms(server.told())
        value, baseline = statistics.median(ours), statistics.median(theirs)
        yield Figure("GPU idle between images, img2img 2048² (EMIF loop)", value, "ms", 10.0, baseline, by_ratio=False)
        value, baseline = (statistics.quantiles(times, n=10)[-1] for times in (ours, theirs))
        yield Figure("  the same, 9 of 10 at most", value, "ms", 25.0, baseline, by_ratio=False)

    def rate(self) -> Iterator[Figure]:
        """Images per second from one server, held against what it can do."""
        delay_s, rates = 0.25, []
        with servers(delay_s=delay_s) as ([server], [url]):
            warm(server, url, MIDDLE_PX)
            for _ in range(self._rounds):
                worked(planned(self.folder(), 24 * self._scale, MIDDLE_PX), [url])
                times = server.told()
                rates.append(len(times) / (times[-1][2] - times[0][0]))
        value = statistics.median(rates)
        name = "images/s, 1 server, 1024², 250 ms (the server's own rate)"
        yield Figure(name, value, "1/s", 0.98, 1 / delay_s, at_least=True)

    def speed_up(self) -> Iterator[Figure]:
        """What four servers gain, in one process and in several on one folder."""
        delay_s, jobs, late = 1.0, (8 if self._rounds == 1 else 60) * self._scale, 0
        with servers(4, delay_s=delay_s) as (started, urls):
            for server, url in zip(started, urls, strict=True):
                warm(server, url, MIDDLE_PX)
            for processes in (1, 2, 4):
                results = worked(planned(self.folder(), jobs, MIDDLE_PX), urls, processes=processes)
                told = [server.told() for server in started]
                times = [one for part in told for one in part]
                wall_s = max(one[2] for one in times) - min(one[0] for one in times)
                late += sum(one["late"] for one in results) + len(times) - jobs
                gained = jobs * delay_s / wall_s
                name = f"speed-up, 4 servers at 1 s, {jobs} jobs, {processes} process{'es' if processes > 1 else ''}"
                yield Figure(name, gained, "times", 0.97, 4.0, at_least=True)
        yield Figure("  images drawn twice in all of these", late, "", 0)

    def cpu(self) -> Iterator[Figure]:
        """Processor time per image, the whole process, held against plain loops."""
        sizes = {"width": LARGE_PX, "height": LARGE_PX}
        plain = json.dumps({"prompt": "a fox", "steps": 4, "seed": 1, **sizes})
        loops: list[tuple[str, str, str, str, float | None]] = [
            ("drawthings", "emif", "EMIF loop", json.dumps({**DT_PLAIN, **sizes}), 0.25),
            ("a1111", "webuiapi", "webuiapi + save", plain, 0.25),
            ("a1111", "floor", "unchecked requests + pybase64", plain, None),
        ]
        for dialect, loop, title, payload, target in loops:
            ours: list[float] = []
            theirs: list[float] = []
            with servers(delay_s=0.3, dialect=dialect) as ([server], [url]):
                warm(server, url, LARGE_PX)
                for _ in range(self._rounds):
                    [told] = worked(planned(folder := self.folder(), 8 * self._scale, LARGE_PX), [url])
                    ours.append(1000 * told["cpu_s"])
                    shutil.rmtree(folder)
                    [told] = finished(
                        [Child(loop, self.folder(), url, "--jobs", 5 * self._scale, "--payload", payload)]
                    )
                    theirs.append(1000 * told["cpu_s"])
            value, baseline = statistics.median(ours), statistics.median(theirs)
            yield Figure(f"CPU per 2048² image, received to durable ({title})", value, "ms", target, baseline)

    def disk(self) -> Iterator[Figure]:
        """Flushes and files of a job: what twelve jobs more cost, so that the start does not count."""
        if shutil.which("strace") is None:
            print("flushes: not measured, there is no strace here", file=sys.stderr)  # noqa: T201 - a bench prints
            return
        flushes: list[int] = []
        names: list[int] = []
        with servers(delay_s=0.0) as ([server], [url]):
            warm(server, url, SMALL_PX)
            for jobs in (12, 24):
                run, trace = planned(folder := self.folder(), jobs, SMALL_PX), folder / "trace"
                before = ("strace", "-f", "-qq", "-y", "-o", str(trace), "-e", "trace=fsync,fdatasync")
                finished([Child("work", run.out, url, before=before)])
                lines = trace.read_text(encoding="utf-8").splitlines()
                flushes.append(sum("fsync(" in line and "/beats/" not in line and ".csv" not in line for line in lines))
                names.append(
                    sum("log" not in path.parts for path in run.out.rglob("*"))
                    - len(list(run.folder.state.glob("done/*")))
                )
        yield Figure("flushes per one-image job", (flushes[1] - flushes[0]) / 12, "", 6)
        yield Figure("files left per one-image job (shared folders apart)", (names[1] - names[0]) / 12, "", 3)

    def faults(self) -> Iterator[Figure]:
        """What a fault rate of 5 % costs 200 jobs on three servers."""
        jobs, delay_s, walls = 20 if self._rounds == 1 else 200, 0.3, []
        for faults in (0.0, FAULT_SHARE):
            with servers(3, delay_s=delay_s, faults=faults) as (started, urls):
                run = planned(self.folder(), jobs, SMALL_PX)
                [told] = worked(run, urls, options=["--impatient"])
                times = [one for server in started for one in server.told()]
                walls.append(max(one[1] for one in times) - min(one[0] for one in times))
                hit = sum(bool(one[3]) for one in times)
            print(f"faults: {hit} hit, {told['done']} done, {told['set_aside']} set aside", file=sys.stderr)  # noqa: T201 - a bench prints
        yield Figure(f"{jobs} jobs, 3 servers, 5 % faults (without faults)", walls[1], "s", 1.5, walls[0])


def measure(scratch: Path, names: Sequence[str], *, is_full: bool, is_quick: bool) -> Iterator[Figure]:
    """Measure what is named, one after the other."""
    bench = Bench(scratch, 4 if is_full else 1, rounds=1 if is_quick else 3)
    for name in names:
        yield from getattr(bench, name)()


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = arguments(__doc__)
    names = ("idle", "rate", "speed_up", "cpu", "disk", "faults")
    parser.add_argument("--only", choices=names, action="append", help="measure only this; repeatable")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        only = given.only or names
        tell(measure(Path(scratch), only, is_full=given.full, is_quick=given.quick), given.json)


if __name__ == "__main__":
    main()
