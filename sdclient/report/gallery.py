"""The images of a run as cards: what each is, what it was drawn over, and what was cut out of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from pydantic import JsonValue

from sdclient.batch.folder import RunFolder
from sdclient.batch.inputs import input_path
from sdclient.batch.log import inherited_columns
from sdclient.batch.plan import FileInput, Job, OutputInput, Plan, latest_done
from sdclient.batch.publish import second_place
from sdclient.batch.record import OutFile, Record
from sdclient.errors import RunFolderError
from sdclient.files import find_spelled, resolve_inside
from sdclient.report.model import Before, Cutout, FileState, ImageCard

MAX_PROMPT_CHARS = 2000
"""What a page shows of a prompt; images.csv and the record have more."""
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".bmp"})


class _Gallery:
    def __init__(self, folder: RunFolder, plan: Plan, records: Mapping[str, Record]) -> None:
        self.folder = folder
        self.plan = plan
        # Where its first revision stands in the plan: what was redone keeps its place among the others.
        first: dict[tuple[str, str], int] = {}
        for number, job in enumerate(plan.jobs.values()):
            first.setdefault((job.kind, job.place), number)
        order = {job_id: first[plan.jobs[job_id].kind, plan.jobs[job_id].place] for job_id in records}
        self.records = dict(sorted(records.items(), key=lambda entry: order[entry[0]]))
        # What was redone has given its place to a later revision.
        self.current = latest_done(plan.jobs, records.keys())
        self.notes: list[str] = []
        self.places: dict[tuple[str, int], str] = {}
        self.cutouts: dict[tuple[str, int], list[Cutout]] = {}
        self.alone: list[tuple[Job, Record, list[Cutout]]] = []
        self._roots: dict[str, bool] = {}

    def cards(self) -> tuple[ImageCard, ...]:
        self._find_cutouts()
        cards: list[ImageCard] = []
        for job_id, record in self.records.items():
            job = self.plan.jobs[job_id]
            if job.kind == "segment" or job_id not in self.current:
                continue
            columns = inherited_columns(self.plan.jobs, job)
            for index, one in enumerate(record.files):
                if PurePosixPath(one.place).suffix.lower() in IMAGE_SUFFIXES:
                    cards += self._card(job, record, index, one, columns)
        return (*cards, *(self._input_card(*entry) for entry in self.alone))

    def _find_cutouts(self) -> None:
        for job_id, record in self.records.items():
            job = self.plan.jobs[job_id]
            if job.kind != "segment" or job_id not in self.current:
                continue
            # Crops and masks beside them are of another size or show no object; what was made before roles has none.
            files = [one for one in record.files if one.facts.get("role", "cutout") == "cutout"]
            found = [Cutout(one.place, one.name) for one in files if one.name.endswith(".png")]
            base = self.plan.jobs.get(job.needs or "")
            if isinstance(job.input, OutputInput) and base is not None and base.id in self.records:
                self.cutouts.setdefault((base.id, job.input.index), []).extend(found)
            else:
                self.alone.append((job, record, found))

    def _card(
        self, job: Job, record: Record, index: int, one: OutFile, columns: Mapping[str, str]
    ) -> Sequence[ImageCard]:
        try:
            place, state = self._look(record, one)
        except RunFolderError as exc:
            self.notes.append(str(exc))
            return ()
        if state == "gone":
            self.notes.append(f"{one.place}: was made and is gone; restore it, or redo it")
        elif state == "changed":
            self.notes.append(f"{one.place}: is not the file that was committed; it was changed or replaced by hand")
        request = self.plan.specs.get(job.spec, {}).get("request")
        merged = {**(request if isinstance(request, dict) else {}), **job.changes}
        if "imported" in record.facts:
            # Another program made it: nobody knows from which words.
            merged = {}
        path = PurePosixPath(place)
        changed = record.facts.get("changed")
        losses = record.facts.get("losses")
        card = ImageCard(
            key=f"{job.id}-{index}",
            place=place,
            folder="" if str(path.parent) == "." else str(path.parent),
            name=path.name,
            kind=job.kind,
            state=state,
            width_px=_whole(one.facts.get("width_px")),
            height_px=_whole(one.facts.get("height_px")),
            size_bytes=one.size_bytes,
            sha256=one.sha256,
            facts=_facts(record, one),
            prompt=shortened(merged.get("prompt")),
            negative_prompt=shortened(merged.get("negative_prompt")),
            columns={name: shortened(text) for name, text in columns.items()},
            changed=tuple(_change_text(entry) for entry in changed) if isinstance(changed, list) else (),
            losses=len(losses) if isinstance(losses, list) else 0,
            before=self._before(job),
            cutouts=tuple(self.cutouts.get((job.id, index), ())),
        )
        return (card,)

    def _look(self, record: Record, one: OutFile) -> tuple[str, FileState]:
        for place in self._possible_places(record, one):
            path = resolve_inside(self.folder.out, place)
            try:
                size = path.stat().st_size
            except OSError:
                continue
            return place, "there" if size == one.size_bytes else "changed"
        return one.place, "gone"

    def _possible_places(self, record: Record, one: OutFile) -> tuple[str, ...]:
        state = self.folder.state.relative_to(self.folder.out).as_posix()
        if record.job not in self.current:
            return (f"{state}/replaced/{record.job}/{one.name}", one.place)
        # Not published yet: then what stands at the place is something else. The second place next: where that exists,
        # the first is a file of the user's.
        with_record = self.folder.done_folder(record.job).relative_to(self.folder.out) / one.name
        return with_record.as_posix(), second_place(one.place, record.job), one.place

    def _before(self, job: Job) -> Before | None:
        if isinstance(job.input, OutputInput):
            record = self.records.get(job.input.job)
            if record is None or job.input.index >= len(record.files):
                return None
            try:
                place, state = self._look(record, record.files[job.input.index])
            except RunFolderError:
                return None
            return Before(place, state != "gone")
        return self._file_before(job.input) if isinstance(job.input, FileInput) else None

    def _file_before(self, source: FileInput) -> Before:
        path = str(PurePosixPath(source.root) / source.path)
        found = input_file(self.folder.out, source)
        if source.root not in self._roots:
            self._roots[source.root] = (self.folder.out / source.root).is_dir()
            if not self._roots[source.root]:
                self.notes.append(
                    f"{source.root}: the folder with the inputs is not there, seen from this machine; "
                    "nothing can be compared with them here"
                )
        return Before(path, found is not None)

    def _input_card(self, job: Job, record: Record, found: list[Cutout]) -> ImageCard:
        before = self._before(job)
        place = before.path if before is not None else job.place
        path = PurePosixPath(job.place)
        first: Mapping[str, JsonValue] = record.files[0].facts if record.files else {}
        return ImageCard(
            key=f"{job.id}-0",
            place=place,
            folder="" if str(path.parent) == "." else str(path.parent),
            name=PurePosixPath(place).name,
            kind=job.kind,
            state="there" if before is not None and before.is_there else "gone",
            width_px=_whole(first.get("width_px")),
            height_px=_whole(first.get("height_px")),
            size_bytes=0,
            sha256=str(record.facts.get("input_sha256", "")),
            facts=_facts(record, None),
            prompt="",
            negative_prompt="",
            columns=dict(job.columns),
            cutouts=tuple(found),
            replayable=False,
        )


def make_cards(
    folder: RunFolder, plan: Plan, records: Mapping[str, Record]
) -> tuple[tuple[ImageCard, ...], tuple[str, ...]]:
    """Make the cards of all images, in the order of the plan; what was redone stands where it stood.

    Returns:
        The cards, and sentences about images that are gone or changed.
    """
    gallery = _Gallery(folder, plan, records)
    return gallery.cards(), tuple(gallery.notes)


def input_file(out: Path, source: FileInput) -> Path | None:
    """Return an input image as this machine sees it; None where it is not there, or is no image by its name."""
    if PurePosixPath(source.path).suffix.lower() not in IMAGE_SUFFIXES:
        return None
    try:
        path = input_path(Path(os.path.normpath(find_spelled(out, source.root))), source.path)
    except RunFolderError:
        return None
    return path if path.is_file() else None


def shortened(value: object, limit: int = MAX_PROMPT_CHARS) -> str:
    """Return a text cut to what a page can bear, and how long it was."""
    text = "" if value is None else str(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def _facts(record: Record, one: OutFile | None) -> dict[str, str]:
    values: dict[str, object] = {
        "seed": one.facts.get("seed", record.facts.get("seed")) if one is not None else None,
        "server": record.facts.get("server"),
        "dialect": record.facts.get("dialect"),
        "started": record.facts.get("started"),
        "execute_s": record.facts.get("execute_s"),
        "attempt": record.attempt,
        "objects": record.facts.get("objects"),
    }
    return {name: shortened(value, 200) for name, value in values.items() if value is not None}


def _change_text(entry: JsonValue) -> str:
    if not isinstance(entry, dict):
        return ""
    return shortened(f"{entry.get('field')}: asked {entry.get('asked')}, applied {entry.get('applied')}", 300)


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
