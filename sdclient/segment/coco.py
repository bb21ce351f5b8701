"""The objects of many images as one COCO file, the form that annotation and training programs read.

::

    {"licenses": [],
     "categories":  [{"id": 1, "name": "object"}, ...],
     "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [x, y, w, h], "area": n, "iscrowd": 0,
                      "score": 0..1, "segmentation": {"size": [h, w], "counts": [...]} or [[x, y, x, y, ...], ...]}, ...],
     "images":      [{"id": 1, "file_name": "...", "width": px, "height": px}, ...],
     "info":        {...}}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from sdclient.segment.doors import require_cv2
from sdclient.segment.masks import CocoRle, MaskRuns, runs_from_coco

if TYPE_CHECKING:
    from pydantic import JsonValue

    from sdclient.segment.settings import CocoForm

__all__ = ["CocoImage", "coco_pieces", "polygons_of"]

_NO_LABEL = "object"


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One image and where its objects are written down.

    Attributes:
        file_name: Its name, as people look for it.
        size_hw: Height and width, in pixels.
        objects: The list in its `objects.json`; empty where it has no objects.
    """

    file_name: str
    size_hw: tuple[int, int]
    objects: Sequence[Mapping[str, JsonValue]]


def coco_pieces(
    images: Iterable[CocoImage], labels: Iterable[str], *, form: CocoForm, info: Callable[[], Mapping[str, JsonValue]]
) -> Iterator[str]:
    """Yield a COCO file in pieces, so that no more than one image's masks are in memory.

    Args:
        images: In the order of their ids; each is used once.
        labels: Every label that occurs; the empty one becomes the category ``object``.
        form: How masks are written. Polygons cannot have holes: those are filled.
        info: Asked, once everything else is written, for what stands at the end.

    Raises:
        CodecError: If a mask is damaged.
    """
    categories = {label: number for number, label in enumerate(sorted(set(labels) | {""}), start=1)}
    listed = [{"id": number, "name": label or _NO_LABEL} for label, number in categories.items()]
    yield f'{{"licenses": [],\n"categories": {json.dumps(listed, ensure_ascii=False)},\n'
    yield '"annotations": ['
    entries: list[str] = []
    number = 0
    for image_id, image in enumerate(images, start=1):
        height_px, width_px = image.size_hw
        entry = {"id": image_id, "file_name": image.file_name, "width": width_px, "height": height_px}
        entries.append(json.dumps(entry, ensure_ascii=False))
        for one in image.objects:
            number += 1
            ids = {"id": number, "image_id": image_id, "category_id": categories[str(one.get("label", ""))]}
            yield ("" if number == 1 else ",") + "\n" + json.dumps({**ids, **_annotation(one, form)})
    yield "\n],\n" + '"images": [\n' + ",\n".join(entries) + "\n],\n"
    yield f'"info": {json.dumps(info())}}}\n'


def polygons_of(runs: MaskRuns) -> list[list[float]]:
    """Return the outlines of a mask's pieces as COCO's polygons: x and y in turn, in pixels, holes filled.

    A pixel reaches from its number to the next; the outline runs a quarter of a pixel inside the mask's edge.
    """
    cv2 = require_cv2()
    left, top, _, _ = runs.bbox_xywh
    box = runs.decode_box().astype(np.uint8)
    # OpenCV's outlines go through the middle of pixels. Through those of an image twice as large they come closer.
    doubled = np.repeat(np.repeat(box, 2, axis=0), 2, axis=1)
    outlines, _ = cv2.findContours(doubled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corner = np.array([left + 1 / 4, top + 1 / 4])
    return [np.ravel(outline[:, 0] / 2 + corner).tolist() for outline in outlines]


def _annotation(one: Mapping[str, JsonValue], form: CocoForm) -> dict[str, JsonValue]:
    rle = cast("CocoRle", one["rle"])
    segmentation: object = rle if form == "rle" else polygons_of(runs_from_coco(rle))
    return {
        "bbox": one["bbox_xywh"],
        "area": one["area_px"],
        "iscrowd": 0,
        "score": one["score"],
        "segmentation": cast("JsonValue", segmentation),
    }
