"""The step that asks a server: txt2img and img2img jobs, in three stages."""

from __future__ import annotations

import hashlib
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from statistics import median
from typing import cast

from pydantic import JsonValue

from sdclient import client as sd
from sdclient.batch.lane import Task
from sdclient.batch.metrics import LocalServerMemory
from sdclient.batch.record import Outcome, OutFile
from sdclient.client.fitting import fit_for
from sdclient.client.sizes import Fit, SizeRule, parse_size
from sdclient.dialects.base import Route
from sdclient.energy import EnergyMeter, open_meter
from sdclient.errors import PlanError
from sdclient.files import resolve_inside, storage_errors, write_new_file
from sdclient.images import EXTENSIONS, GeneratedImage
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.steps.sameness import Sameness
from sdclient.transport import CallLimits, CancelToken

KINDS = frozenset({"txt2img", "img2img"})

_STALL_S = 120.0
# Before a server's own times are known: an upscaler or a slow decoder shows no step for minutes.
_FIRST_STALL_S = 600.0
_LOOK_EVERY_S = 2.0
_REMEMBERED_TIMES = 50
_GPU_ROUTE = Route("GET", "/sdapi/v1/gpu")
_GPU_LIMITS = CallLimits(deadline_s=2.0, max_reply_bytes=1024 * 1024)
_IMAGE_KEYS = frozenset({"init_images", "mask", "image", "mask_image", "input_image"})
_LONGEST_WORD = 512
_ENDINGS = (*EXTENSIONS.values(), ".jpeg", ".tiff")
_BASE64 = re.compile(r"[A-Za-z0-9+/=]+")


@dataclass(frozen=True, slots=True)
class GenerateSpec:
    """What generate jobs share, as a plan stores it.

    Attributes:
        request: The request, overlays included.
        size: How large an input is made; None: the request's size where it has one, else the source's.
        fit: What happens to what does not fit.
    """

    request: Txt2Img | Img2Img
    size: SizeRule | None = None
    fit: Fit = "pad"

    def to_json(self) -> dict[str, JsonValue]:
        """Return the spec as JSON."""
        value: dict[str, JsonValue] = {
            "request": cast("JsonValue", self.request.model_dump(mode="json", exclude_unset=True)),
        }
        if isinstance(self.request, Img2Img):
            value |= {"fit": self.fit, "size": None if self.size is None else str(self.size)}
        return value

    @classmethod
    def from_json(cls, kind: str, value: Mapping[str, JsonValue]) -> GenerateSpec:
        """Read what `to_json` wrote.

        Raises:
            PayloadError: If the request is not valid (any more).
        """
        fields = cast("Mapping[str, object]", value["request"])
        if kind == "txt2img":
            return cls(Txt2Img.from_mapping(fields, where="the plan's request"))
        size = value.get("size")
        return cls(
            Img2Img.from_mapping(fields, where="the plan's request"),
            parse_size(size) if isinstance(size, str) else None,
            "crop" if value.get("fit") == "crop" else "pad",
        )

    @property
    def images_per_job(self) -> int:
        """How many images one job makes."""
        return self.request.image_count


class ServerLane:
    """One server as a lane of a worker.

    Args:
        client: The server.
    """

    kinds = KINDS

    def __init__(self, client: sd.Client) -> None:
        self.client = client
        self.name = client.name
        self.dialect = client.dialect
        self._memory = LocalServerMemory(client.address.port) if client.address.is_loopback else None
        self._specs: dict[str, GenerateSpec] = {}
        self._sameness = Sameness(client)
        self._times_s: deque[float] = deque(maxlen=_REMEMBERED_TIMES)
        self._has_waited = False
        self._said: set[str] = set()

    def server_rss_mb(self) -> float | None:
        """Return the memory of the server process in MiB where it runs on this machine."""
        return self._memory() if self._memory is not None else None

    def look(self) -> None:
        """Ask the server for its options, and refuse it where it is not the one it was.

        Raises:
            TransportError: If it does not answer.
            ServerError: If it answers with an error.
            ServerChangedError: If program, model, or options that matter are others by now.
        """
        self._sameness.check()

    def was_restarted(self) -> bool:
        """Tell whether the server's process is certainly another by now.

        Raises:
            NotListeningError: If there is none.
            SDClientError: If it does not answer.
        """
        self.client.connection.read_options()
        return self._memory is not None and self._memory.has_ended()

    def energy_meter(self) -> EnergyMeter | None:
        """Open what measures this server: this machine's own counters where it runs here, else what SD.Next tells.

        Where something measures on this machine the idle draw is measured first, which takes two seconds.
        """
        ask = self._ask_gpu if self.dialect == "sdnext" else None
        return open_meter(is_local=self.client.address.is_loopback, ask_gpu=ask)

    def _ask_gpu(self) -> object:
        return self.client.connection.ask_route(_GPU_ROUTE, limits=_GPU_LIMITS).body

    def prepare(self, task: Task) -> PreparedJob:
        """Read the input, bring it to size, compile and encode.

        Raises:
            PlanError: If one of the user's files stands where an output will go.
            CodecError: If the input is no image.
            LossError: If this server cannot do what is asked.
        """
        spec = self._specs.get(task.job.spec)
        if spec is None:
            spec = GenerateSpec.from_json(task.job.kind, task.spec)
            self._sameness.learn(spec.request)
            self._specs[task.job.spec] = spec
        request = spec.request.replace(**task.job.changes) if task.job.changes else spec.request
        # Overlays first: one of them may hold a seed.
        request = request.for_dialect(*self.client.connection.dialect.overlay_names)
        if request.seed is None or request.seed < 0:
            request = request.replace(seed=task.seed)
        refuse_foreign(task, request.image_count)
        if isinstance(request, Txt2Img):
            return PreparedJob(task, self, self.client.prepare(request, task_id=task.attempt_id), {})
        return self._prepare_img2img(task, request, spec)

    def _prepare_img2img(self, task: Task, request: Img2Img, spec: GenerateSpec) -> PreparedJob:
        if task.input_path is None:
            raise PlanError(
                f"{task.job.place}: an img2img job without an input; plan it with a folder or another job's output"
            )
        with storage_errors("read the input", task.input_path):
            source = task.input_path.read_bytes()
        name, dialect = task.input_path.name, self.client.connection.dialect
        fitted = fit_for(dialect, request, source, rule=spec.size, fit=spec.fit, name=name)
        box = fitted.box
        prepared = self.client.prepare(fitted.request, task_id=task.attempt_id, box=box, losses=fitted.losses)
        facts: dict[str, JsonValue] = {"input": name, "input_sha256": hashlib.sha256(source).hexdigest()}
        if box is not None:
            facts["padded_from"] = f"{box.content_size[0]}x{box.content_size[1]}"
        return PreparedJob(task, self, prepared, facts)

    def watch_policy(self) -> sd.WatchPolicy:
        """Return how long this server may stand still: by its own times, and long before there are any."""
        if not self._times_s:
            return sd.WatchPolicy(stall_s=_FIRST_STALL_S, interval_s=_LOOK_EVERY_S)
        return sd.WatchPolicy(stall_s=max(_STALL_S, 5 * median(self._times_s)), interval_s=_LOOK_EVERY_S)

    def note_time(self, elapsed_s: float) -> None:
        """Remember how long a job held the server, in seconds."""
        self._times_s.append(elapsed_s)

    def say_once(self, texts: Iterable[str]) -> tuple[str, ...]:
        """Return the sentences that were not said of this server yet."""
        new = tuple(text for text in dict.fromkeys(texts) if text not in self._said)
        self._said.update(new)
        return new

    def note_wait(self, has_waited: bool) -> None:  # noqa: FBT001 - it is all that is noted
        """Remember whether the last request waited behind somebody else's."""
        self._has_waited = has_waited

    def has_waited(self) -> bool:
        """Tell whether the last request waited behind somebody else's; A1111, Forge and SD.Next show it."""
        return self._has_waited


class _QueueLook:
    """Sees whether a request waits; not the job itself, which holds images and would live as long as who looks."""

    def __init__(self) -> None:
        self.has_waited = False

    def look(self, progress: sd.StepProgress) -> None:
        """Take in one look at the steps."""
        self.has_waited = self.has_waited or progress.is_queued


class PreparedJob:
    """A job ready for its server."""

    def __init__(
        self, task: Task, lane: ServerLane, prepared: sd.PreparedGeneration, facts: Mapping[str, JsonValue]
    ) -> None:
        self._task = task
        self._lane = lane
        self._prepared = prepared
        self._facts = facts
        self._cancel = CancelToken()
        self._on_sent: Callable[[], None] | None = None

    @property
    def seed(self) -> int | None:
        """The seed that is sent."""
        return self._prepared.request.seed

    def on_sent(self, call: Callable[[], None]) -> None:
        """Have `call` called once the request is out."""
        self._on_sent = call

    # Unverified [drawthings-queue]: a server may queue requests or not; one lane sends one at a time.
    def execute(self) -> ExecutedJob:
        """Send it and wait for the whole reply.

        Raises:
            TransportError: If no whole reply came, or the server stands still.
            ServerError: If the reply is an error, or an upscaler that runs afterwards failed for good.
        """
        queue = _QueueLook()
        policy = replace(self._lane.watch_policy(), on_progress=queue.look)
        try:
            raw = sd.execute(self._prepared, self._cancel, watch=policy, on_sent=self._on_sent)
        finally:
            self._lane.note_wait(queue.has_waited)
        if raw.reply.status >= HTTPStatus.MULTIPLE_CHOICES:
            # Judged here and not when it is finished: the next request is ready, and would go out meanwhile.
            sd.finish(raw)
        self._lane.note_time(raw.elapsed_s)
        return ExecutedJob(self._task, raw, self._facts, self._lane)

    def cancel(self) -> None:
        """End a running `execute`; a server that knows the job as ours is told to stop drawing."""
        self._cancel.cancel()


class ExecutedJob:
    """A job whose reply is here."""

    def __init__(self, task: Task, raw: sd.RawGeneration, facts: Mapping[str, JsonValue], lane: ServerLane) -> None:
        self._task = task
        self._raw = raw
        self._facts = facts
        self._lane = lane

    def finish(self, part: Path) -> Outcome:
        """Check every image in full and write it, flushed.

        Raises:
            ServerError: If the reply is an error or not what was asked for.
            StorageError: If the disk fails.
        """
        result = sd.finish(self._raw)
        files = tuple(
            self._write(part, number, image, received)
            for number, (image, received) in enumerate(zip(result.images, result.received_sha256, strict=True), start=1)
        )
        record: dict[str, JsonValue] = {
            **self._facts,
            "seed": result.seed,
            "request": shown_body(self._raw.prepared.compiled.call.body),
            "losses": [cast("JsonValue", asdict(loss)) for loss in result.losses],
            "changed": [cast("JsonValue", asdict(change)) for change in result.changed],
        }
        if self._raw.reply.is_simulated:
            record["simulated"] = True
        # Another model makes other images altogether: said at the first, not when all are drawn.
        remarks = self._lane.say_once(str(one) for one in result.changed if one.field == "model")
        return Outcome(files, record, {"seed": "" if result.seed is None else str(result.seed)}, remarks)

    def _write(self, part: Path, number: int, image: GeneratedImage, received: str) -> OutFile:
        place = output_place(self._task.job.place, number, image.extension)
        name = PurePosixPath(place).name
        write_new_file(part / name, image.data)
        facts: dict[str, JsonValue] = {
            "width_px": image.facts.width_px,
            "height_px": image.facts.height_px,
            "pixels_sha256": image.facts.pixels_sha256,
            "received_sha256": received,
            "seed": image.seed,
        }
        return OutFile(name, place, image.sha256, image.facts.size_bytes, facts)


def output_place(place: str, number: int, extension: str) -> str:
    """Return where image ``number`` (from 1) of a job goes; the extension follows the bytes received."""
    return f"{place}_{number}{extension}"


def refuse_foreign(task: Task, images: int) -> None:
    """Refuse, before anything is spent, to draw what would land on one of the user's own files.

    Raises:
        PlanError: Naming the file.
    """
    if task.job.revision > 0:
        # What stands there is its own older image, which publishing puts aside; anything else publishing respects.
        return
    for number in range(1, images + 1):
        found = find_foreign(task.out, output_place(task.job.place, number, ""))
        if found is not None:
            raise PlanError(
                f"{found}: a file of yours stands where this job would put its image; "
                "move it away, then `sdclient retry`, or use another output folder"
            )


def find_foreign(out: Path, place: str) -> Path | None:
    """Return what stands already where a job would put an image, under any extension that images have.

    Args:
        out: The output folder.
        place: POSIX path of the image relative to it, without extension.
    """
    target = resolve_inside(out, place)
    paths = (target.with_name(target.name + ending) for ending in _ENDINGS)
    return next((path for path in paths if os.path.lexists(path)), None)


def shown_body(body: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return a request body for the record, with its length and hash in place of every image."""
    return {name: _shown(name, value) for name, value in body.items()}


def _shown(name: str, value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _shown(key, part) for key, part in value.items()}
    if isinstance(value, list):
        return [_shown(name, part) for part in value]
    if isinstance(value, str) and value and (name in _IMAGE_KEYS or _is_encoded(value)):
        return f"image, {len(value)} characters, sha256 {hashlib.sha256(value.encode()).hexdigest()[:16]}"
    return value


def _is_encoded(text: str) -> bool:
    """Tell base64 from words: nobody writes that long without a blank or a comma."""
    return len(text) > _LONGEST_WORD and _BASE64.fullmatch(text[:_LONGEST_WORD]) is not None
