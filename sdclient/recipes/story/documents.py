"""The documents of a story, all from the same list of illustrations: .docx, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from sdclient.batch.publish import locate
from sdclient.errors import MissingExtraError, RunFolderError
from sdclient.files import safe_name
from sdclient.recipes.documents import Shelf, made_jobs, variant_end
from sdclient.recipes.story.headings import heading_of, manifest_language
from sdclient.recipes.story.manifest import Manifest
from sdclient.recipes.story.pages import Chapter, Illustration, html_page, markdown_page
from sdclient.recipes.story.plan import Slot, slots
from sdclient.report.history import started_s
from sdclient.run import Run

Format = Literal["docx", "markdown", "html"]
FORMATS: tuple[Format, ...] = ("docx", "markdown", "html")
_SUFFIXES: dict[Format, str] = {"docx": ".docx", "markdown": ".md", "html": ".html"}


@dataclass(frozen=True, slots=True)
class BuiltDocuments:
    """What was built.

    Attributes:
        paths: The documents.
        images: Images in each of them.
        missing: Ideas without an image yet.
        remarks: A sentence for everything else people should know.
    """

    paths: tuple[Path, ...]
    images: int
    missing: int
    remarks: tuple[str, ...]


def build_documents(run: Run, name: str, manifest: Manifest, formats: Sequence[Format] = FORMATS) -> BuiltDocuments:
    """Build a story's documents out of its ideas and the run's records; needs no server.

    Args:
        run: The run.
        name: Name of the story's folder.
        manifest: Its ideas.
        formats: Which documents.

    Raises:
        MissingExtraError: If a package is missing.
        StorageError: If a document cannot be written.
    """
    shelf = Shelf(run.folder)
    chapters, missing, remarks = _chapters(run, name, manifest)
    images = sum(len(chapter.illustrations) for chapter in chapters)
    stem = f"{name}/{safe_name(f'{manifest.title} - Illustrations')}{variant_end(run)}"
    if not images:
        return BuiltDocuments((), 0, missing, tuple(remarks))
    folder = run.folder.out / name
    paths = [shelf.put(stem + _SUFFIXES[form], _document(form, manifest, chapters, folder)) for form in formats]
    return BuiltDocuments(tuple(paths), images, missing, (*remarks, *shelf.remarks))


def _document(form: Format, manifest: Manifest, chapters: Sequence[Chapter], folder: Path) -> bytes:
    if form == "markdown":
        return markdown_page(manifest.title, chapters).encode()
    if form == "html":
        return html_page(manifest.title, chapters, manifest_language(manifest)).encode()
    require_docx()
    from sdclient.recipes.story.word import docx_bytes

    return docx_bytes(manifest.title, chapters, folder)


def _chapters(run: Run, name: str, manifest: Manifest) -> tuple[list[Chapter], int, list[str]]:
    made = made_jobs(run)
    found: dict[str, list[Illustration]] = {}
    missing = 0
    remarks: list[str] = []
    for slot in slots(name, manifest):
        listed = found.setdefault(slot.section, [])
        job = made.get(slot.key)
        if job is None:
            missing += 1
            continue
        try:
            listed += _illustrations(run, name, slot, job)
        except RunFolderError as exc:
            missing += 1
            remarks.append(str(exc))
    language = manifest_language(manifest)
    headings = {one.section: heading_of(one, language) for one in manifest.sections}
    return [Chapter(headings[section], tuple(listed)) for section, listed in found.items()], missing, remarks


def _illustrations(run: Run, name: str, slot: Slot, job: str) -> list[Illustration]:
    record = run.folder.record(job)
    made: list[Illustration] = []
    drawn_s = started_s({"started": str(record.facts.get("started", ""))})
    for index, one in enumerate(record.files):
        path = locate(run.folder, record, index)
        inside = path.relative_to(run.folder.out).as_posix()
        place = (
            PurePosixPath(inside).relative_to(name) if inside.startswith(f"{name}/") else PurePosixPath("..") / inside
        )
        width, height = one.facts.get("width_px"), one.facts.get("height_px")
        size = (width, height) if isinstance(width, int) and isinstance(height, int) else (0, 0)
        made.append(Illustration(slot.idea.idea, slot.idea.prompt, str(place), size, drawn_s))
    return made


def require_docx() -> None:
    """See that the package for .docx is there.

    Raises:
        MissingExtraError: If it is not.
    """
    try:
        import docx  # noqa: F401  # pyright: ignore[reportUnusedImport]  # looked for, not used
    except ImportError as exc:
        raise MissingExtraError(
            "a .docx needs a package: pip install 'sdclient[story]'; or say --format markdown --format html"
        ) from exc
