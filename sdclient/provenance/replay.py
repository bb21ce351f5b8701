"""Makes an image again, by the request that made it, and says whether it came out the same."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from sdclient.batch.inputs import input_path
from sdclient.batch.lane import Task
from sdclient.batch.plan import FileInput, OutputInput
from sdclient.batch.publish import locate
from sdclient.batch.record import Outcome
from sdclient.client import Client
from sdclient.dialects.importing.image import UNWRITTEN, import_settings
from sdclient.errors import ConfigurationError
from sdclient.files import find_spelled
from sdclient.infotext import Infotext
from sdclient.provenance.difference import MISSING, Difference, compare_values
from sdclient.provenance.origin import Origin, RunOrigin, required_request
from sdclient.provenance.pixels import PixelComparison, compare_pixels
from sdclient.schemas import Txt2Img
from sdclient.steps.generate import ServerLane

_OWN_MODEL = ("model", "inherited")


@dataclass(frozen=True, slots=True)
class Replayed:
    """An image made again.

    Attributes:
        data: The new image file.
        pixels: How it compares with the old one.
        sent: What was sent otherwise than the first time; empty where that is not known. To another program: of the keys
            that both have.
        notes: What may explain a difference, in sentences.
    """

    data: bytes
    pixels: PixelComparison
    sent: tuple[Difference, ...]
    notes: tuple[str, ...]


def recorded_server(origin: Origin) -> str | None:
    """Return the name of the server that made an image, as its run knew it; None where that is not known."""
    server = origin.run.record.facts.get("server") if origin.run is not None else None
    return server if isinstance(server, str) and server else None


def replay(origin: Origin, client: Client, *, inputs: Path | None = None) -> Replayed:
    """Make an image again.

    Args:
        origin: The image, as `find_origin` found it.
        client: The server.
        inputs: The folder with the input images, where it is not where the plan says.

    Raises:
        ConfigurationError: If nothing tells how the image was made, or it needs an input that is not known.
        RunFolderError: If its input is gone.
        LossError: If this server cannot do what the request asks.
        TransportError: If no whole answer came.
        ServerError: If the answer is not what was asked for.
    """
    required_request(origin)
    if origin.run is not None:
        return _replay_job(origin, origin.run, client, inputs)
    return _replay_text(origin, client)


def _replay_job(origin: Origin, run: RunOrigin, client: Client, inputs: Path | None) -> Replayed:
    path = _input(run, inputs)
    seed = run.record.facts.get("seed")
    with tempfile.TemporaryDirectory(prefix="sdclient-replay-") as temporary:
        folder = Path(temporary)
        (folder / "out").mkdir()
        (folder / "part").mkdir()
        spec = _spec(run)
        # Another output folder: the image that is there must not stand in its own copy's way.
        task = Task(run.job, spec, run.record.epoch, seed if isinstance(seed, int) else 0, path, folder / "out")
        outcome = ServerLane(client).prepare(task).execute().finish(folder / "part")
        data = (folder / "part" / outcome.files[run.index].name).read_bytes()
    sent, apart = _sent(run, outcome, client.dialect)
    notes = [*_notes(origin, run, client, outcome), *apart]
    return Replayed(data, compare_pixels(origin.data, data), sent, tuple(notes))


def _spec(run: RunOrigin) -> Mapping[str, JsonValue]:
    """Return what its job was asked to do; where the server's own model drew it, whichever was loaded, that is meant again.

    Else a program that wants this said would refuse, and a replay has no options to say it with.
    """
    spec = run.folder.read_plan().specs[run.job.spec]
    request = spec.get("request")
    was_inherited = any(
        (loss.get("field"), loss.get("kind")) == _OWN_MODEL for loss in _losses(run.record.facts.get("losses"))
    )
    if was_inherited and isinstance(request, dict):
        return {**spec, "request": {**request, "inherit": True}}
    return spec


def _input(run: RunOrigin, inputs: Path | None) -> Path | None:
    source = run.job.input
    if isinstance(source, OutputInput):
        return locate(run.folder, run.folder.record(source.job), source.index)
    if not isinstance(source, FileInput):
        return None
    root = inputs or Path(os.path.normpath(find_spelled(run.folder.out, source.root)))
    path = input_path(root, source.path)
    if not path.is_file():
        raise ConfigurationError(f"{path}: the image this one was drawn over is not there; say where with --in FOLDER")
    return path


def _sent(run: RunOrigin, outcome: Outcome, dialect: str) -> tuple[tuple[Difference, ...], list[str]]:
    """Return what was sent otherwise, and a sentence about keys that only one of two programs has."""
    before, now = run.record.facts.get("request"), outcome.record.get("request")
    if not isinstance(before, dict) or not isinstance(now, dict):
        return (), []
    differences = compare_values(before, now)
    made_on = run.record.facts.get("dialect")
    if made_on == dialect:
        return differences, []
    # Another program has keys of its own: that they are missing here says nothing of what was asked.
    shared = tuple(one for one in differences if MISSING not in (one.a, one.b))
    only = [
        (sum(one.b == MISSING for one in differences), made_on),
        (sum(one.a == MISSING for one in differences), dialect),
    ]
    return shared, [
        f"{number} {'key' if number == 1 else 'keys'} that only {name} has: not compared"
        for number, name in only
        if number
    ]


def _notes(origin: Origin, run: RunOrigin, client: Client, outcome: Outcome) -> list[str]:
    facts = run.record.facts
    notes: list[str] = []
    if origin.is_changed:
        notes.append("the file is not the one its run committed: it was changed since")
    if facts.get("dialect") != client.dialect:
        notes.append(f"made on {facts.get('dialect')}, and now on {client.dialect}: other programs draw other pixels")
    notes += _other_input(facts, outcome)
    notes += _new_losses(facts, outcome)
    return notes


def _new_losses(facts: Mapping[str, JsonValue], outcome: Outcome) -> list[str]:
    before, now = facts.get("losses"), outcome.record.get("losses")
    # Not by their messages: each program has its own words for the same loss.
    known = {(loss.get("field"), loss.get("kind")) for loss in _losses(before)}
    fresh = [loss for loss in _losses(now) if (loss.get("field"), loss.get("kind")) not in known]
    return [f"not done as asked here, and it was then: {loss.get('message')}" for loss in fresh]


def _losses(found: JsonValue) -> list[dict[str, JsonValue]]:
    return [loss for loss in found if isinstance(loss, dict)] if isinstance(found, list) else []


def _other_input(facts: Mapping[str, JsonValue], outcome: Outcome) -> list[str]:
    before, now = facts.get("input_sha256"), outcome.record.get("input_sha256")
    return ["the image it was drawn over is another one now"] if before and now and before != now else []


def _replay_text(origin: Origin, client: Client) -> Replayed:
    info = origin.infotext
    if info is None:
        raise ConfigurationError(f"{origin.path}: nothing tells how it was made")
    request, notes = request_of(info)
    result = client.txt2img(request)
    notes += [f"not done as asked: {loss.message}" for loss in result.losses if (loss.field, loss.kind) != _OWN_MODEL]
    notes += map(str, result.changed)
    return Replayed(result.image.data, compare_pixels(origin.data, result.image.data), (), tuple(notes))


def request_of(info: Infotext) -> tuple[Txt2Img, list[str]]:
    """Return the request that a `parameters` text tells of, as far as it does.

    Returns:
        The request, and sentences about what it cannot take over.

    Raises:
        ConfigurationError: If the image was drawn over another one, which the text does not hold.
        PayloadError: If its prompt is none that a request takes.
    """
    imported = import_settings(info)
    request = imported.request
    if not isinstance(request, Txt2Img):
        raise ConfigurationError(
            "this image was drawn over another one, and its metadata does not hold that one; "
            "replay it inside its run folder"
        )
    if request.model is None:
        request = request.replace(inherit=True)
    unwritten = [part for part in UNWRITTEN if part in imported.left_out]
    left = [label for label in imported.left_out if label not in unwritten]
    notes = ["made from the file's own metadata, which says less than the request did"]
    if unwritten:
        notes.append(f"{', '.join(unwritten)}: {imported.left_out[unwritten[0]]}")
    if "Seed" in left:
        notes.append(
            f"other pixels are to be expected: no request takes its seed {info.fields['Seed'][:60]}, and one is drawn"
        )
    if left:
        notes.append(f"not taken over: {', '.join(left[:12])}")
    return request, notes
