"""Lists that other programs kept of what they had drawn over, taken into a run where the images are there and sound."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import JsonValue

from sdclient.batch.commit import commit, make_record
from sdclient.batch.folder import RunFolder
from sdclient.batch.identity import new_token
from sdclient.batch.inputs import Inputs
from sdclient.batch.log import AttemptLog, done_cells
from sdclient.batch.making import ensure_folder
from sdclient.batch.plan import FileInput, Job
from sdclient.batch.record import Outcome, OutFile
from sdclient.client.sizes import SizeRule
from sdclient.errors import CodecError, ConfigurationError, RunFolderError, SDClientError
from sdclient.files import storage_errors
from sdclient.images import ImageFacts, decode_image, inspect_image, upright
from sdclient.planning import composed, named
from sdclient.steps.generate import GenerateSpec, find_foreign, output_place

_LOOKERS = 4
_STEP_PX = 64
"""Servers round a side down by less than this where an image is cropped to fit."""
_NO_TRY = 0
"""The number of a try that no worker made."""


@dataclass(frozen=True, slots=True)
class ImportedLog:
    """What became of a list.

    Attributes:
        imported: Places of jobs that count as done now.
        known: How many of those listed were done in this run before.
        again: Why jobs that are listed are made again, by place.
        unlisted: Images that are there and not listed; they stay, and their jobs will not replace them.
        unknown: Lines that name no image of the run.
        is_dry: Whether all this was only looked at.
    """

    imported: tuple[str, ...]
    known: int
    again: Mapping[str, str]
    unlisted: tuple[str, ...]
    unknown: tuple[str, ...]
    is_dry: bool

    def sentences(self) -> list[str]:
        """Return it in words."""
        counted = "would count as done" if self.is_dry else "counted as done"
        before = f"; {self.known:,} were before" if self.known else ""
        texts = [f"{counted} (listed, there and sound): {len(self.imported):,}{before}"]
        by_reason: dict[str, list[str]] = {}
        for place, why in self.again.items():
            by_reason.setdefault(why, []).append(place)
        texts += [f"listed, and made again: {named(places)}: {why}" for why, places in by_reason.items()]
        if self.unlisted:
            texts.append(
                f"there, and not listed: {named(self.unlisted)}; they stay as they are, and their jobs are set aside: "
                "list them, or move them away"
            )
        if self.unknown:
            texts.append(f"listed, and no image of this run: {named(self.unknown)}")
        return texts


def read_old_log(path: Path) -> list[str]:
    """Read a plain list of image names, one a line; a table's first column does, too.

    Args:
        path: Names or paths, with slashes or backslashes, in any order, repeated or not.

    Returns:
        The names, composed, with slashes, each once.

    Raises:
        ConfigurationError: If it cannot be read, or holds no name.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{path}: cannot be read ({exc}); give the plain list, a text in UTF-8") from exc
    lines = (composed(line.strip().strip('"').replace("\\", "/")) for line in re.split(r"[\r\n]+", text))
    names = list(dict.fromkeys(line for line in lines if line))
    if not names:
        raise ConfigurationError(f"{path}: holds no names; is it the right file?")
    return names


class _Listed:
    """Finds images among the lines of a list, whatever folder was written before them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._lines: dict[str, list[tuple[str, str]]] = {}
        self.unused: dict[str, None] = dict.fromkeys(names)
        for name in self.unused:
            # Some lists are tables, and some names hold commas: the whole line, and its first cell.
            for text in {name, name.partition(",")[0].strip().strip('"')}:
                self._lines.setdefault(PurePosixPath(text.casefold()).name, []).append((text.casefold(), name))

    def has(self, path: str) -> bool:
        """Tell whether an image, by its path below the input folder, is listed."""
        wanted = path.casefold()
        found = [
            name
            for text, name in self._lines.get(PurePosixPath(wanted).name, ())
            if f"/{wanted}".endswith(f"/{text}") or f"/{text}".endswith(f"/{wanted}")
        ]
        for name in found:
            self.unused.pop(name, None)
        return bool(found)


@dataclass(frozen=True, slots=True)
class _Look:
    """What was found of one listed job.

    Attributes:
        job: The job.
        files: Its images with what is known of them; empty where it is to be made again.
        input_sha256: Hash of its input.
        why: Why it is to be made again.
        broken: Images that are there and no good.
    """

    job: Job
    files: tuple[tuple[Path, ImageFacts], ...] = ()
    input_sha256: str = ""
    why: str = ""
    broken: tuple[Path, ...] = ()


def import_old_log(folder: RunFolder, path: Path, *, is_dry: bool = False) -> ImportedLog:
    """Count as done what a list names and what is there, decodes, and has the right size; send nothing.

    Images that are listed and no good are moved to ``.sdclient/replaced`` and made again. Nothing else is touched.
    Doing it twice is harmless.

    Args:
        folder: The run, its plan written; or, for a dry look, only thought of.
        path: The list.
        is_dry: Only look.

    Raises:
        ConfigurationError: If the list cannot be read, or names no image of the run.
        StorageError: If the folder cannot be read or written.
    """
    names = read_old_log(path)
    listed = _Listed(names)
    with storage_errors("read the run in", folder.out):
        plan, done, claims = folder.read_plan(), folder.read_done(), folder.read_claims()
    sources = [job for job in plan.jobs.values() if job.kind == "img2img" and not job.revision]
    wanted = {job.id: job for job in sources if isinstance(job.input, FileInput) and listed.has(job.input.path)}
    if not wanted:
        raise ConfigurationError(f"{path}: names no image of this run; it begins with {named(names)}")
    open_jobs = [job for job in wanted.values() if job.id not in done and job.id not in claims]
    looker = _Looker(folder)
    with ThreadPoolExecutor(_LOOKERS) as pool:
        looks = list(pool.map(looker.look, open_jobs))
    if not is_dry:
        _take_in(folder, path.name, looks)
    rest = (job for job in sources if job.id not in wanted and job.id not in done)
    return ImportedLog(
        tuple(look.job.place for look in looks if look.files),
        sum(job_id in done for job_id in wanted),
        {look.job.place: look.why for look in looks if look.why},
        tuple(job.place for job in rest if find_foreign(folder.out, output_place(job.place, 1, "")) is not None),
        tuple(listed.unused),
        is_dry,
    )


class _Looker:
    """Looks whether the images of a listed job are there and sound; threads may share it."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._inputs = Inputs(folder)
        self._specs = folder.read_plan().specs

    def look(self, job: Job) -> _Look:
        """Look at one job."""
        spec = GenerateSpec.from_json(job.kind, self._specs[job.spec])
        request = spec.request.replace(**job.changes) if job.changes else spec.request
        places = [output_place(job.place, number, "") for number in range(1, request.image_count + 1)]
        paths = [find_foreign(self._folder.out, place) for place in places]
        there = tuple(path for path in paths if path is not None)
        if len(there) < len(places):
            return _Look(job, why="not there" if not there else "not all of its images are there", broken=there)
        try:
            path = self._inputs.path(job)
            source = b"" if path is None else path.read_bytes()
            size = upright(decode_image(source, what=job.place)).size
            facts = [_sound(one, GenerateSpec(request, spec.size, spec.fit), size) for one in there]
        except (CodecError, RunFolderError) as exc:
            return _Look(job, why=_reason(exc), broken=there)
        return _Look(job, tuple(zip(there, facts, strict=True)), hashlib.sha256(source).hexdigest())


def _sound(path: Path, spec: GenerateSpec, source: tuple[int, int]) -> ImageFacts:
    """Decode an image in full and compare its size.

    Raises:
        CodecError: If it is not sound.
    """
    if path.is_symlink():
        raise CodecError("a link")
    with storage_errors("read", path):
        data = path.read_bytes()
    try:
        facts = inspect_image(data, what=path.name)
    except CodecError as exc:
        raise CodecError("not a whole image") from exc
    sizes = _right_sizes(spec, source)
    if not any(_is_near(facts.size, size, slack_px=_STEP_PX - 1 if spec.fit == "crop" else 1) for size in sizes):
        raise CodecError(f"{facts.width_px}x{facts.height_px} pixels in place of {sizes[0][0]}x{sizes[0][1]}")
    return facts


def _right_sizes(spec: GenerateSpec, source: tuple[int, int]) -> list[tuple[int, int]]:
    request = spec.request
    rule = spec.size or (SizeRule("exact", *request.size) if request.size else SizeRule("source"))
    width_px, height_px = rule.target(source) if spec.fit == "crop" else rule.content(source, "pad")
    scales = {request.enlarge.scale if request.enlarge is not None else 1.0}
    for name in request.overlays:
        merged = request.for_dialect(name)
        scales.add(merged.enlarge.scale if merged.enlarge is not None else 1.0)
    return [(round(width_px * scale), round(height_px * scale)) for scale in sorted(scales)]


def _is_near(size: tuple[int, int], wanted: tuple[int, int], *, slack_px: int) -> bool:
    return all(-slack_px <= one - two <= 1 for one, two in zip(size, wanted, strict=True))


def _reason(exc: SDClientError) -> str:
    return str(exc).rpartition(": ")[2] if isinstance(exc, CodecError) else "its input is not there"


def _take_in(folder: RunFolder, log_name: str, looks: Sequence[_Look]) -> None:
    token = new_token()
    rows = AttemptLog(folder, token)
    try:
        for look in looks:
            if look.files:
                _commit(folder, look, log_name, token, rows)
            for path in look.broken:
                _put_aside(folder, look.job, path)
    finally:
        rows.close()


def _commit(folder: RunFolder, look: _Look, log_name: str, token: str, rows: AttemptLog) -> None:
    """Make a job done by the one act that makes any job done; a worker that is faster wins."""
    job = look.job
    part = folder.part_folder(job.id, _NO_TRY, token)
    with storage_errors("make the folder", part):
        part.mkdir()
    files = tuple(_out_file(folder, path, facts) for path, facts in look.files)
    record = make_record(
        job.id,
        _NO_TRY,
        token,
        Outcome(files, {"imported": log_name, "input_sha256": look.input_sha256}),
        {
            "kind": job.kind,
            "place": job.place,
            "started": dt.datetime.now(dt.timezone.utc).isoformat("T", "milliseconds"),
        },
    )
    if commit(folder, part, record):
        rows.write(done_cells(job, record) | {"message": f"imported from {log_name}; another program made it"})


def _out_file(folder: RunFolder, path: Path, facts: ImageFacts) -> OutFile:
    place = path.relative_to(folder.out).as_posix()
    known: dict[str, JsonValue] = {
        "width_px": facts.width_px,
        "height_px": facts.height_px,
        "pixels_sha256": facts.pixels_sha256,
    }
    return OutFile(path.name, place, facts.sha256, facts.size_bytes, known)


def _put_aside(folder: RunFolder, job: Job, path: Path) -> None:
    kept = folder.state / "replaced" / job.id / f"broken-{path.name}"
    ensure_folder(kept.parent, state=folder.state)
    with storage_errors("move", path):
        path.replace(kept)
