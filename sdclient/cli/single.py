"""What txt2img and img2img share: check, draw with a bar, save, tell."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click

from sdclient.cli.interrupts import terminated_as_interrupted
from sdclient.cli.stepbar import step_bar
from sdclient.cli.talk import duration, emit, say
from sdclient.client import Client, Losses, Result
from sdclient.client.progress import why_not_stopped
from sdclient.dialects.losses import refuse
from sdclient.errors import StorageError
from sdclient.files import storage_errors
from sdclient.images import EXTENSIONS, GeneratedImage
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.schemas.sets import apply_sets

_TRIAL_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class OneImage:
    """What to draw and where to put it.

    Attributes:
        request: The request.
        output: Where the image goes; further images get ``_2``, ``_3`` … before the extension.
        sets: ``--set`` texts.
        strict: Refuse for any loss.
        force: Replace what is there.
        dry_run: Only say what would be lost.
        as_json: Tell the result as JSON.
    """

    request: Txt2Img | Img2Img
    output: Path
    sets: Sequence[str] = ()
    strict: bool = False
    force: bool = False
    dry_run: bool = False
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """The image to draw over, and how it is brought to size."""

    image: Path
    size: str | None = None
    fit: Literal["pad", "crop"] = "pad"


def draw_one(one: OneImage, urls: Sequence[str], dialect: str | None, source: Source | None = None) -> None:
    """Check, draw, save and tell."""
    if len(urls) > 1:
        raise click.UsageError("one image goes to one server: give --url once")
    request = apply_sets(one.request, one.sets)
    _check_outputs(one, request.image_count)
    client = Client(urls[0] if urls else None, dialect=dialect)
    if not _accepts(client, request, one, source):
        return
    began = time.monotonic()
    try:
        with terminated_as_interrupted():
            result = _draw(client, request, source)
    except KeyboardInterrupt as exc:
        if why := why_not_stopped(client.connection):
            say(f"\n{client.title} {why}: what it has begun it draws to its end, for nobody")
        elif told := str(exc):
            say(f"\n{told}")
        raise
    _tell(one, result, time.monotonic() - began)


def _draw(client: Client, request: Txt2Img | Img2Img, source: Source | None) -> Result:
    with step_bar() as on_progress:
        if isinstance(request, Txt2Img):
            return client.txt2img(request, on_progress=on_progress)
        if source is None:
            raise click.UsageError("img2img needs an image")
        return client.img2img(source.image, request, size=source.size, fit=source.fit, on_progress=on_progress)


def _outputs(one: OneImage, count: int) -> list[Path]:
    """Return where each image goes."""
    further = (one.output.with_stem(f"{one.output.stem}_{number}") for number in range(2, count + 1))
    return [one.output, *further]


def _check_outputs(one: OneImage, count: int) -> None:
    """Look at the place to write before the GPU works for minutes: nothing of the user's is there, and it can be written."""
    if one.output.suffix.lower() not in EXTENSIONS.values() and one.output.suffix.lower() != ".jpeg":
        known = ", ".join(sorted(EXTENSIONS.values()))
        raise click.UsageError(f"{one.output}: not the name of an image; end it in one of {known}")
    with storage_errors("look at", one.output):
        taken = [path for path in _outputs(one, count) if path.exists() and not one.force]
    if taken:
        several = f" ({count} images are asked for)" if count > 1 else ""
        raise click.UsageError(f"{taken[0]} is there already{several}; name another file, or say --force")
    if one.dry_run:
        return
    trial = one.output.with_name(f".{one.output.name}.trial")
    with storage_errors("write into", one.output.parent):
        one.output.parent.mkdir(parents=True, exist_ok=True)
        try:
            trial.write_bytes(b"\0" * _TRIAL_BYTES)
        finally:
            trial.unlink(missing_ok=True)


def _save(images: Sequence[GeneratedImage], paths: Sequence[Path]) -> list[Path]:
    """Save the images; where that fails now, they are kept in the folder for temporary files, which is told."""
    try:
        return [image.save(path) for image, path in zip(images, paths, strict=True)]
    except StorageError as exc:
        kept = Path(tempfile.mkdtemp(prefix="sdclient-"))
        saved = [image.save(kept / path.name) for image, path in zip(images, paths, strict=True)]
        say(f"{exc}\nthe images were drawn and are kept here: {', '.join(map(str, saved))}")
        raise


def _accepts(client: Client, request: Txt2Img | Img2Img, one: OneImage, source: Source | None) -> bool:
    """Say what would be lost; False where that was all that was asked."""
    losses = client.check(request) if source is None else _check_img2img(client, request, source)
    if one.dry_run and one.as_json:
        emit({"server": losses.server, "losses": [asdict(loss) for loss in losses.items]})
        return False
    # A refusal names its losses itself.
    refuse(losses.items, where=f"{losses.server} at {client.url}", strict=one.strict)
    if (losses or one.dry_run) and not one.as_json:
        say(str(losses))
    if one.dry_run:
        _say_what_nobody_knows(client, request, losses)
    return not one.dry_run


def _check_img2img(client: Client, request: Txt2Img | Img2Img, source: Source) -> Losses:
    with_image = request.replace(init_image=source.image)
    return client.check(with_image, size=source.size, fit=source.fit)


def _say_what_nobody_knows(client: Client, request: Txt2Img | Img2Img, losses: Losses) -> None:
    """Say which files a server that lists none may lack; for some of them it would draw without a word."""
    from sdclient.doctor import look_at_names

    merged = request.for_dialect(*client.connection.dialect.overlay_names)
    for finding in look_at_names(client, merged, "", losses.items):
        if finding.level == "note":
            say(f"note: {finding.text}")


def _tell(one: OneImage, result: Result, wall_s: float) -> None:
    paths = _save(result.images, _outputs(one, len(result.images)))
    if one.as_json:
        emit(
            {
                "files": [str(path) for path in paths],
                "seeds": list(result.seeds),
                "sha256": [image.sha256 for image in result.images],
                "dialect": result.dialect,
                "losses": [asdict(loss) for loss in result.losses],
                "changed": [asdict(change) for change in result.changed],
                "wall_s": round(wall_s, 3),
            }
        )
        return
    for change in result.changed:
        say(str(change))
    for path, image in zip(paths, result.images, strict=True):
        seed = "unknown" if image.seed is None else image.seed
        click.echo(f"{path}  {image.size[0]}x{image.size[1]}  seed {seed}  {duration(wall_s)}")
