"""Views of all objects of a run: ``objects.csv`` and ``coco.json``, written whole from what is committed, and never read back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from sdclient.batch.folder import RunFolder
from sdclient.batch.plan import FileInput, Job, OutputInput, Plan, latest_done
from sdclient.batch.publish import locate
from sdclient.batch.record import OutFile, Record
from sdclient.batch.views import require_ours, table_mark, write_view
from sdclient.errors import CodecError, RunFolderError, StorageError
from sdclient.files import format_row, fsync_dir, fsync_file, storage_errors, temporary_name
from sdclient.segment.coco import CocoImage, coco_pieces
from sdclient.segment.settings import CocoForm
from sdclient.steps.segment import KINDS, SegmentSpec

__all__ = ["COCO_FILE", "OBJECTS_TABLE", "OBJECT_COLUMNS", "object_rows", "write_object_views"]

OBJECTS_TABLE = "objects.csv"
COCO_FILE = "coco.json"
_COCO_TITLE = "objects cut out by sdclient"

OBJECT_COLUMNS = (
    "image",
    "number",
    "label",
    "parent",
    "file",
    "x_px",
    "y_px",
    "width_px",
    "height_px",
    "area_px",
    "area_fraction",
    "score",
    "stability_score",
    "segmenter",
    "device",
    "job",
)
"""Columns of ``objects.csv``. An empty cell means unknown, or none."""

_TROUBLE = (StorageError, RunFolderError, CodecError, OSError)
_TAIL_BYTES = 200


@dataclass(frozen=True, slots=True)
class _Cut:
    """One image that was cut up.

    Attributes:
        job: The job.
        record: What became of it.
        image: The image, as people look for it.
    """

    job: Job
    record: Record
    image: str

    @property
    def found(self) -> list[Mapping[str, JsonValue]]:
        found = self.record.facts.get("found")
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    @property
    def size_hw(self) -> tuple[int, int]:
        size = self.record.facts.get("image_hw")
        height, width = size if isinstance(size, list) and len(size) == len("hw") else (0, 0)
        return int(str(height)), int(str(width))


def write_object_views(folder: RunFolder) -> list[str]:
    """Write ``objects.csv``, and ``coco.json`` where the plan asks for it, anew; runs without cut-outs have neither.

    Returns:
        A sentence for everything that was not right, never an error.
    """
    problems: list[str] = []
    try:
        plan = folder.read_plan()
        if not any(job.kind in KINDS for job in plan.jobs.values()):
            return problems
        cuts, form = list(_read_cuts(folder, plan, problems)), _coco_form(plan)
    except _TROUBLE as exc:
        problems.append(f"{OBJECTS_TABLE} and {COCO_FILE} were not written anew: {exc}")
        return problems
    # What keeps one of them from being written, such as a file of the user's, is nothing to the other.
    try:
        lines = [format_row(OBJECT_COLUMNS)]
        lines += [format_row(row[name] for name in OBJECT_COLUMNS) for row in _rows(cuts)]
        write_view(folder.out / OBJECTS_TABLE, b"".join(lines), [table_mark(OBJECT_COLUMNS)])
    except _TROUBLE as exc:
        problems.append(f"{OBJECTS_TABLE} was not written anew: {exc}")
    try:
        if form != "none":
            _write_coco(folder, cuts, form, problems)
    except _TROUBLE as exc:
        problems.append(f"{COCO_FILE} was not written anew: {exc}")
    return problems


def object_rows(folder: RunFolder) -> list[dict[str, str]]:
    """Return the rows of ``objects.csv``: one an object, in the order of the plan.

    Raises:
        RunFolderError: If the plan is damaged.
    """
    return list(_rows(_read_cuts(folder, folder.read_plan(), [])))


def _read_cuts(folder: RunFolder, plan: Plan, problems: list[str]) -> Iterator[_Cut]:
    wanted = {job.input.job for job in plan.jobs.values() if job.kind in KINDS and isinstance(job.input, OutputInput)}
    made: dict[str, tuple[OutFile, ...]] = {}
    current = latest_done(plan.jobs, folder.read_done())
    # Jobs come after those whose images they work on.
    for record in folder.records(problems):
        if record.job in wanted:
            made[record.job] = record.files
        # What was redone has given its place to a later revision; what is not there was planned a moment ago.
        job = current.get(record.job)
        if job is not None and job.kind in KINDS:
            yield _Cut(job, record, _image_name(job, made))


def _image_name(job: Job, made: Mapping[str, tuple[OutFile, ...]]) -> str:
    if isinstance(job.input, FileInput):
        return job.input.path
    files = made.get(job.input.job, ()) if isinstance(job.input, OutputInput) else ()
    return (
        files[job.input.index].place
        if isinstance(job.input, OutputInput) and job.input.index < len(files)
        else job.place
    )


def _rows(cuts: Iterable[_Cut]) -> Iterator[dict[str, str]]:
    for cut in cuts:
        height_px, width_px = cut.size_hw
        places: dict[object, str] = {}
        for file in cut.record.files:
            places.setdefault(file.facts.get("number"), file.place)
        for one in cut.found:
            box = one.get("bbox_xywh")
            x, y, width, height = box if isinstance(box, list) and len(box) == len("xywh") else ("", "", "", "")
            area = int(str(one.get("area_px", 0)))
            yield {
                **{name: _text(one.get(name)) for name in ("number", "label", "parent", "score", "stability_score")},
                "image": cut.image,
                "file": places.get(one.get("number"), ""),
                "x_px": str(x),
                "y_px": str(y),
                "width_px": str(width),
                "height_px": str(height),
                "area_px": str(area),
                "area_fraction": f"{area / (height_px * width_px):.6f}" if height_px * width_px else "",
                "segmenter": _text(cut.record.facts.get("segmenter")),
                "device": _text(cut.record.facts.get("device")),
                "job": cut.job.id,
            }


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _coco_form(plan: Plan) -> CocoForm:
    """Return how the plan wants its COCO file; the latest job that wants one decides."""
    specs = {job.spec: None for job in plan.jobs.values() if job.kind in KINDS}
    forms: list[CocoForm] = [SegmentSpec.from_json(plan.specs[spec]).settings.coco for spec in specs]
    for form in reversed(forms):
        if form != "none":
            return form
    return "none"


def _write_coco(folder: RunFolder, cuts: list[_Cut], form: CocoForm, problems: list[str]) -> None:
    path = folder.out / COCO_FILE
    content = hashlib.sha256("\n".join([form, *(cut.record.job for cut in cuts)]).encode()).hexdigest()
    mark = f'"content": "{content}"'
    # Reading every mask again, only to find that nothing is new, would make each `status` slow.
    if path.exists() and mark.encode() in _tail(path):
        return
    require_ours(path, [_COCO_TITLE.encode()])
    before = len(problems)
    labels = {_text(one.get("label")) for cut in cuts for one in cut.found}

    def info() -> dict[str, JsonValue]:
        # A file that lacks something must not be taken for up to date next time.
        return {"description": _COCO_TITLE, "content": "" if len(problems) > before else content}

    images = (
        CocoImage(cut.image, cut.size_hw, objects)
        for cut in cuts
        if (objects := _objects_of(folder, cut, problems)) is not None
    )
    temporary = temporary_name(folder.out)
    with storage_errors("write", path):
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.writelines(coco_pieces(images, labels, form=form, info=info))
                file.flush()
                fsync_file(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    fsync_dir(folder.out)


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
        return file.read()


def _objects_of(folder: RunFolder, cut: _Cut, problems: list[str]) -> list[Mapping[str, JsonValue]] | None:
    """Return an image's objects with their masks; None, and a sentence in `problems`, where they cannot be read."""
    if not cut.found:
        return []
    try:
        index = next(index for index, one in enumerate(cut.record.files) if one.facts.get("role") == "objects")
        value: object = json.loads(locate(folder, cut.record, index).read_bytes())
        objects = cast("Mapping[str, JsonValue]", value)["objects"]
        if not isinstance(objects, list) or not all(isinstance(one, dict) and "rle" in one for one in objects):
            raise CodecError("it holds no list of objects with masks")
    except (OSError, RunFolderError, ValueError, KeyError, TypeError, StopIteration) as exc:
        problems.append(f"{COCO_FILE}: {cut.image} is missing in it: its objects.json cannot be read: {exc}")
        return None
    return cast("list[Mapping[str, JsonValue]]", objects)
