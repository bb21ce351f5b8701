"""Run folders made by hand: real plans, records, logs and small images, without a server."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import cast

from PIL import Image
from pydantic import JsonValue

from sdclient.batch.claims import End
from sdclient.batch.folder import RunFolder
from sdclient.batch.log import ATTEMPT_COLUMNS
from sdclient.batch.plan import FileInput, Job, OutputInput, make_job, spec_id
from sdclient.batch.record import OutFile, Record
from sdclient.files import format_row

BEGAN = dt.datetime(2026, 1, 1, 12, tzinfo=dt.timezone.utc)
TOKEN = "a" * 32
OTHER = "b" * 32
SPEC: dict[str, JsonValue] = {
    "request": {
        "prompt": "a fox",
        "negative_prompt": "blurry",
        "steps": 30,
        "width": 64,
        "height": 64,
        "overlays": {"a1111": {"model": "x"}},
    }
}


def png(colour: tuple[int, int, int] = (200, 90, 40), size: tuple[int, int] = (64, 48)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def moment(seconds: float) -> str:
    return (BEGAN + dt.timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


@dataclass
class RunBuilder:
    """Plans, commits and logs jobs in a run folder."""

    folder: RunFolder
    rows: dict[str, list[Mapping[str, str]]] = field(default_factory=dict[str, list[Mapping[str, str]]])
    clock_s: float = 0.0

    @classmethod
    def at(cls, out: Path) -> RunBuilder:
        return cls(RunFolder.create(out, run_seed=7))

    @property
    def out(self) -> Path:
        return self.folder.out

    def plan(
        self,
        place: str,
        *,
        kind: str = "txt2img",
        source: Job | FileInput | None = None,
        changes: Mapping[str, JsonValue] | None = None,
        columns: Mapping[str, str] | None = None,
        spec: Mapping[str, JsonValue] | None = None,
    ) -> Job:
        wanted = dict(spec or SPEC)
        given = OutputInput(source.id, 0) if isinstance(source, Job) else source
        job = make_job(kind, place, wanted, input=given, changes=changes, columns=columns)
        self.folder.add([job], {spec_id(wanted): wanted})
        return job

    def commit(
        self,
        job: Job,
        *files: bytes,
        token: str = TOKEN,
        facts: Mapping[str, object] | None = None,
        names: tuple[str, ...] = (),
        logged: bool = True,
    ) -> Record:
        made: list[OutFile] = []
        for number, data in enumerate(files or (png(),), start=1):
            place = f"{job.place}/{names[number - 1]}" if names else f"{job.place}_{number}.png"
            path = self.out / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            made.append(self._file(place, data, number))
        begin = self.clock_s
        self.clock_s += 10
        known: dict[str, object] = {
            "kind": job.kind,
            "place": job.place,
            "seed": 7,
            "server": "mini",
            "dialect": "a1111",
            "started": moment(begin),
            "execute_s": 8.0,
            "losses": [],
            "changed": [],
            **(facts or {}),
        }
        record = Record(job.id, 1, token, tuple(made), cast("Mapping[str, JsonValue]", known))
        done = self.folder.done_folder(job.id)
        done.mkdir(parents=True)
        (done / "record.json").write_bytes(record.to_bytes())
        if logged:
            names_cell = " ".join(one.place for one in made)
            self.log(job, "done", begin, token=token, files=names_cell, server=str(known["server"]))
        return record

    @staticmethod
    def _file(place: str, data: bytes, number: int) -> OutFile:
        facts: dict[str, JsonValue] = {"seed": 6 + number}
        if place.endswith(".png"):
            size = Image.open(io.BytesIO(data)).size
            facts |= {"width_px": size[0], "height_px": size[1]}
        return OutFile(PurePosixPath(place).name, place, hashlib.sha256(data).hexdigest(), len(data), facts)

    def fail(
        self,
        job: Job,
        message: str,
        *,
        error: str = "ServerFaultError",
        attempt: int = 1,
        set_aside: bool = False,
        reply: str = "",
    ) -> None:
        state = "set_aside" if set_aside else "failed"
        self.folder.claim(job.id, attempt, TOKEN)
        self.folder.end_claim(job.id, attempt, End(state, error, message, "mini"))
        if reply:
            (self.folder.state / "replies" / f"{job.id}.e{attempt:06d}.txt").write_text(reply, encoding="utf-8")
        self.log(job, state, self.clock_s, attempt=attempt, error=error, message=message)
        self.clock_s += 10

    def log(self, job: Job, status: str, begin_s: float, *, token: str = TOKEN, attempt: int = 1, **cells: str) -> None:
        row = {
            "job": job.id,
            "kind": job.kind,
            "place": job.place,
            "status": status,
            "attempt": str(attempt),
            "server": "mini",
            "dialect": "a1111",
            "worker": token[:8],
            "started": moment(begin_s),
            "wall_s": "9.0",
            "execute_s": "8.0",
            "finish_s": "0.5",
            "client_cpu_percent_mean": "20.0",
            "client_cpu_percent_max": "60.0",
            "client_ram_used_mb_mean": "8000",
            "client_ram_used_mb_max": "8100",
            **cells,
        }
        self.rows.setdefault(token, []).append(row)
        self.write_logs()

    def write_logs(self) -> None:
        for token, rows in self.rows.items():
            lines = [format_row(ATTEMPT_COLUMNS)]
            lines += [format_row([row.get(name, "") for name in ATTEMPT_COLUMNS]) for row in rows]
            (self.folder.state / "log" / f"{token}.csv").write_bytes(b"".join(lines))

    def fresh(self) -> RunFolder:
        """Open the folder anew, as another process would."""
        return RunFolder.open(self.out)


def study(out: Path) -> RunBuilder:
    """A run of two generated images, both baked, one cut up, one job failed and one set aside."""
    run = RunBuilder.at(out)
    for number, nation in enumerate(("Italian", "Greek")):
        columns = {"nation": nation, "category": "family"}
        made = run.plan(f"generated/{nation}/fox", changes={"prompt": f"a {nation} fox"}, columns=columns)
        run.commit(made, png((200, 90, 40 * number)))
        bake = run.plan(f"baked/{nation}/fox_1_upscaled", kind="img2img", source=made)
        run.commit(bake, png((190, 80, 40 * number)))
        if nation == "Italian":
            cut = run.plan(
                f"cutouts/{nation}/fox", kind="segment", source=bake, spec={"segment": {"model": "classical"}}
            )
            files = (png((0, 0, 9)), png((0, 9, 0)), b"{}")
            run.commit(
                cut,
                *files,
                names=("fox_01.png", "fox_02.png", "objects.json"),
                facts={"objects": 2, "server": "classical"},
            )
    run.fail(run.plan("generated/Turkish/fox"), "status 500: out of memory after 12 s", reply="<b>oom</b>")
    run.fail(run.plan("generated/Lost/fox"), "prompt refused", error="RejectedError", set_aside=True)
    return run
