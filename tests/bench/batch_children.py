"""The processes of ``bench_batch.py``: simulated servers, our worker, and the loops that it is compared with.

``python batch_children.py serve|work|emif|webuiapi|floor ...``. Each says ``ready`` on stdout, begins at a line on stdin, and
tells its figures as one line of JSON.
"""

from __future__ import annotations

import argparse
import base64
import csv
import io
import json
import sys
import time
from pathlib import Path

from sdclient.batch.events import Event
from sdclient.client import Client
from sdclient.run import Run
from sdclient.simulator import FAULTS, Simulator
from tests.impatient import IMPATIENT, ImpatientLane, spread


def tell(value: object) -> None:
    """Tell the process that started this one."""
    print(json.dumps(value), flush=True)  # noqa: T201 - how these processes talk


def await_start() -> None:
    """Say that this process is ready, and wait for the word to begin."""
    tell("ready")
    sys.stdin.readline()


def serve(given: argparse.Namespace) -> None:
    """Be one server; for every line on stdin tell when requests had arrived and replies had left since the last one."""
    faults = spread(sorted(FAULTS), given.faults)
    with Simulator(given.dialect, delay_s=given.delay, prerendered=True, faults=faults, seed=given.seed) as server:
        tell(server.url)
        seen = 0
        for _ in sys.stdin:
            exchanges = server.log
            # A client may know a reply a moment before it is noted that it left.
            new = [one for one in exchanges[seen:] if one.method == "POST" and "img" in one.path]
            seen = len(exchanges)
            tell([[one.started_s, one.ended_s, one.handed_s, one.fault] for one in new])


def work(given: argparse.Namespace) -> None:
    """Take part in the run at ``out``, which is planned already."""
    run = Run.open(given.out)
    lanes = [ImpatientLane(Client(url)) for url in given.urls] if given.impatient else run.lanes(given.urls)
    cpu_s: list[float] = []
    outcomes: list[str] = []

    def listen(event: Event) -> None:
        outcomes.append(event.name)
        if event.name == "done":
            cpu_s.append(time.process_time())

    await_start()
    began_s = time.monotonic()
    run.begin(lanes, settings=IMPATIENT if given.impatient else None, listener=listen)
    result = run.wait()
    tell(
        {
            "cpu_s": each(cpu_s),
            "made": result.made,
            "late": outcomes.count("late"),
            "set_aside": result.counts.set_aside,
            "done": result.counts.done,
            "wall_s": time.monotonic() - began_s,
            "trouble": str(result.trouble or ""),
        }
    )


def each(marks_s: list[float]) -> float | None:
    """Return the seconds from one mark to the next, on average; the first two include the start."""
    return (marks_s[-1] - marks_s[1]) / (len(marks_s) - 2) if len(marks_s) > 2 else None


def emif(given: argparse.Namespace) -> None:
    """Do what the loops of EMIF-ImageGeneration do for an image, one after the other, in words of our own.

    They use requests with ``json=``, Pillow to open and save what came, psutil before each request, and a row in a CSV
    file; the generating loop writes the image itself into that row as base64, the baking one reads and encodes its
    input and notes the name in a list. Nothing is checked and nothing is flushed.
    """
    import psutil
    import requests
    from PIL import Image

    out = Path(given.out)
    out.mkdir(parents=True)
    source = Path(given.input) if given.input else None
    route = f"{given.urls[0]}/sdapi/v1/{'img2img' if source else 'txt2img'}"
    await_start()
    cpu_s: list[float] = []
    with (out / "image_data.csv").open("w", newline="") as table, (out / "log.txt").open("a") as names:
        rows = csv.writer(table)
        for number in range(given.jobs):
            cpu, ram = psutil.cpu_percent(), psutil.virtual_memory().used
            payload: dict[str, object] = json.loads(given.payload)
            if source is not None:
                with Image.open(source):
                    payload["init_images"] = [base64.b64encode(source.read_bytes()).decode("utf-8")]
            began_s = time.time()
            reply = requests.post(route, json=payload)  # noqa: S113 - as they do
            for index, text in enumerate(reply.json()["images"]):
                name = f"{number}_{index}.png"
                Image.open(io.BytesIO(base64.b64decode(text))).save(out / name)
                if source is None:
                    rows.writerow(["Italian", "family", text, name, cpu, ram / 2**20])
                else:
                    rows.writerow([name, ram / 2**20, cpu, time.time() - began_s])
                    names.write(f"{name}\n")
            cpu_s.append(time.process_time())
    tell({"cpu_s": each(cpu_s)})


def webuiapi(given: argparse.Namespace) -> None:
    """Ask through webuiapi and save what it gives."""
    from webuiapi import WebUIApi

    out = Path(given.out)
    out.mkdir(parents=True)
    host, _, port = given.urls[0].removeprefix("http://").partition(":")
    api = WebUIApi(host=host, port=int(port))
    asked = json.loads(given.payload)
    await_start()
    cpu_s: list[float] = []
    for number in range(given.jobs):
        api.txt2img(**asked).image.save(out / f"{number}.png")
        cpu_s.append(time.process_time())
    tell({"cpu_s": each(cpu_s)})


def floor(given: argparse.Namespace) -> None:
    """Do as little as can be done: ask, decode, write; nothing is looked at."""
    import pybase64
    import requests

    out = Path(given.out)
    out.mkdir(parents=True)
    asked = json.loads(given.payload)
    await_start()
    cpu_s: list[float] = []
    for number in range(given.jobs):
        reply = requests.post(f"{given.urls[0]}/sdapi/v1/txt2img", json=asked)  # noqa: S113 - a loop without care
        (out / f"{number}.png").write_bytes(pybase64.b64decode(reply.json()["images"][0]))
        cpu_s.append(time.process_time())
    tell({"cpu_s": each(cpu_s)})


def main() -> None:
    """Be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(required=True)
    one = parts.add_parser("serve")
    one.add_argument("--dialect", default="a1111")
    one.add_argument("--delay", type=float, default=0.0)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--faults", type=float, default=0.0, help="share of the requests that go wrong, in every way")
    one.set_defaults(be=serve)
    for name, be in (("work", work), ("emif", emif), ("webuiapi", webuiapi), ("floor", floor)):
        one = parts.add_parser(name)
        one.add_argument("out")
        one.add_argument("urls", nargs="+")
        one.add_argument("--jobs", type=int, default=1)
        one.add_argument("--input")
        one.add_argument("--impatient", action="store_true")
        one.add_argument("--payload", default="{}")
        one.set_defaults(be=be)
    given = parser.parse_args()
    given.be(given)


if __name__ == "__main__":
    main()
