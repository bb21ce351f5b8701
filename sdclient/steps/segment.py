"""The step that cuts an image up: segment jobs, on a segmenter of this machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue

from sdclient.batch.lane import Task
from sdclient.batch.record import Outcome, OutFile
from sdclient.energy import EnergyMeter, open_meter
from sdclient.errors import CancelledError, ConfigurationError, PlanError
from sdclient.files import resolve_inside, storage_errors
from sdclient.segment import (
    MadeBy,
    SegmentSettings,
    find_parents,
    open_segmenter,
    write_cutouts,
)
from sdclient.segment.cutouts import CutoutFile, object_facts
from sdclient.segment.pixels import read_image, visible_part
from sdclient.segment.prompts import Prompt, prompts_from_json
from sdclient.segment.segmenter import as_prompted, look_at_image
from sdclient.weights import provide_weights

if TYPE_CHECKING:
    from sdclient.segment import SegmentedObject, Segmenter
    from sdclient.segment.pixels import ImagePixels

KINDS = frozenset({"segment"})
PROMPTS = "prompts"
"""Key of a job's changes that holds what to look for in its image."""

_ON_WHITE = (
    "transparent in places: objects are looked for as it looks on white, and cut out with its own colours and alpha, as in "
    "every such image; each one's record says so"
)
_UNSEEN = "objects where an image is wholly transparent are left out; each record says how many"

_CANVAS_ROLES = frozenset({"cutout", "mask", "rest"})


@dataclass(frozen=True, slots=True)
class SegmentSpec:
    """What segment jobs share, as a plan stores it."""

    settings: SegmentSettings

    def to_json(self) -> dict[str, JsonValue]:
        """Return the spec as JSON: without what concerns one machine alone, so that another may do it its own way."""
        neutral = replace(self.settings, device=None, points_per_batch=SegmentSettings().points_per_batch)
        return {"segment": cast("JsonValue", neutral.to_json())}

    @classmethod
    def from_json(cls, value: Mapping[str, JsonValue]) -> SegmentSpec:
        """Read what `to_json` wrote."""
        return cls(SegmentSettings.from_json(cast("Mapping[str, JsonValue]", value["segment"])))


class SegmenterLane:
    """One segmenter, loaded once, as a lane of a worker.

    Weights that are named and not on this machine are fetched first.

    Args:
        settings: The settings of the plan; ``model`` may be a path on this machine with the plan's file name.
        takes_prompts: Whether it must be able to look for what boxes and points show.

    Raises:
        SegmentationError: If the weights are missing or not usable, or the segmenter takes no prompts and must.
        MissingExtraError: If a package is missing.
    """

    kinds = KINDS

    def __init__(self, settings: SegmentSettings, *, takes_prompts: bool = False) -> None:
        provide_weights(settings.model)
        segmenter = open_segmenter(settings=settings)
        if takes_prompts:
            as_prompted(segmenter)
        self._settings = settings
        self._opened = {_finding(settings): segmenter}
        self.name = segmenter.name
        self.dialect = segmenter.name
        self._told: set[str] = set()

    @property
    def settings(self) -> SegmentSettings:
        """The settings it was opened with."""
        return self._settings

    def server_rss_mb(self) -> float | None:
        """Return None: there is no server."""
        return None

    def energy_meter(self) -> EnergyMeter | None:
        """Open what measures this machine; None where nothing does. The idle draw is measured first, for two seconds."""
        return open_meter(is_local=True)

    def prepare(self, task: Task) -> PreparedCut:
        """Read and decode the image.

        Raises:
            CodecError: If it is no image.
        """
        settings = SegmentSpec.from_json(task.spec).settings
        model = self._settings.to_json()["model"]
        if settings.model != model:
            raise ConfigurationError(
                f"{task.job.place}: planned for {settings.model}, and {model} is open here; give --model {settings.model}"
            )
        if task.input_path is None:
            raise PlanError(f"{task.job.place}: a segment job without an input")
        prompts = prompts_from_json(task.job.changes.get(PROMPTS, []), where=task.job.place)
        _refuse_foreign(task)
        with storage_errors("read the input", task.input_path):
            data = task.input_path.read_bytes()
        return PreparedCut(task, data, self._segmenter_for(settings), settings, prompts, told=self._told)

    def _segmenter_for(self, settings: SegmentSettings) -> Segmenter:
        """Return the segmenter that looks for objects as these settings say; seldom another than the first."""
        key = _finding(settings)
        if key not in self._opened:
            own = self._settings
            here = replace(settings, model=own.model, device=own.device, points_per_batch=own.points_per_batch)
            self._opened[key] = open_segmenter(settings=here)
        return self._opened[key]


def _finding(settings: SegmentSettings) -> str:
    """Return what of the settings a segmenter is opened with; the rest is applied to what it finds."""
    sam_options = dict(settings.sam_options)
    # It changes no mask.
    del sam_options["points_per_batch"]
    return json.dumps([sam_options, settings.half, settings.words, settings.options])


class PreparedCut:
    """An image ready to be cut up; what people should know is told once, and then in `told`."""

    def __init__(
        self,
        task: Task,
        data: bytes,
        segmenter: Segmenter,
        settings: SegmentSettings,
        prompts: Sequence[Prompt],
        *,
        told: set[str],
    ) -> None:
        self._task = task
        name = task.job.place if task.input_path is None else task.input_path.name
        self._sha256 = hashlib.sha256(data).hexdigest()
        self._pixels = read_image(data, what=name)
        self._segmenter = segmenter
        self._settings = settings
        self._prompts = prompts
        self._told = told
        self._is_cancelled = False

    def execute(self) -> ExecutedCut:
        """Find the objects."""
        if self._is_cancelled:
            raise CancelledError(f"{self._task.job.place}: ended before it began")
        found = look_at_image(self._segmenter, self._pixels, self._settings, self._prompts)
        facts: dict[str, JsonValue] = {
            "segmenter": self._segmenter.name,
            "device": self._segmenter.device,
            "input_sha256": self._sha256,
        }
        remarks: list[str] = list(getattr(self._segmenter, "remarks", ()))
        if visible_part(self._pixels) is not None:
            remarks.append(_ON_WHITE)
        if found.unseen:
            remarks.append(_UNSEEN)
            facts["unseen_objects"] = found.unseen
        if remarks:
            facts["remarks"] = list[JsonValue](remarks)
        new = tuple(text for text in remarks if text not in self._told)
        self._told.update(new)
        return ExecutedCut(self._task, self._pixels, found.objects, self._settings, facts, remarks=new)

    def cancel(self) -> None:
        """Keep it from beginning; a segmentation that runs is finished, it takes seconds."""
        self._is_cancelled = True


class ExecutedCut:
    """The objects of an image, not yet written."""

    def __init__(
        self,
        task: Task,
        pixels: ImagePixels,
        objects: list[SegmentedObject],
        settings: SegmentSettings,
        facts: dict[str, JsonValue],
        *,
        remarks: tuple[str, ...],
    ) -> None:
        self._task = task
        self._pixels = pixels
        self._objects = objects
        self._settings = settings
        self._facts = facts
        self._remarks = remarks

    def finish(self, part: Path) -> Outcome:
        """Write the outputs and ``objects.json``; no objects are a good result without files."""
        place = PurePosixPath(self._task.job.place)
        made_by = MadeBy(str(self._facts["segmenter"]), str(self._facts["device"]))
        written = write_cutouts(self._pixels, self._objects, part, place.name, settings=self._settings, made_by=made_by)
        parents = find_parents(self._objects)
        found: list[JsonValue] = [
            object_facts(item, number, None if parent is None else parent + 1)
            for number, (item, parent) in enumerate(zip(self._objects, parents, strict=True), start=1)
        ]
        height_px, width_px = self._pixels.shape[:2]
        record: dict[str, JsonValue] = {
            **self._facts,
            "objects": len(self._objects),
            "found": found,
            "image_hw": [height_px, width_px],
        }
        files = tuple(self._out_file(one, place) for one in written)
        row = {"message": f"{len(self._objects)} object{'s' * (len(self._objects) != 1)}"}
        return Outcome(files, record, row, self._remarks)

    def _out_file(self, one: CutoutFile, place: PurePosixPath) -> OutFile:
        facts: dict[str, JsonValue] = {"role": one.role}
        if one.number is not None:
            facts["number"] = one.number
        if one.role in _CANVAS_ROLES:
            height_px, width_px = self._pixels.shape[:2]
            facts |= {"width_px": width_px, "height_px": height_px}
        return OutFile(one.path.name, str(place / one.path.name), one.sha256, one.size_bytes, facts)


def _refuse_foreign(task: Task) -> None:
    if task.job.revision:
        # What stands there is what it is to replace.
        return
    folder = resolve_inside(task.out, task.job.place)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PlanError(
            f"{folder}: something of yours stands where this image's cut-outs would go; move it away, then `sdclient retry`, "
            "or use another output folder"
        )
