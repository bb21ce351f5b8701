"""How our mask generator and PNG writer compare: ``python tests/bench/bench_segment.py [--sizes 512,2048 --json FILE]``.

* masks: `MaskGenerator` against segment-anything's `SamAutomaticMaskGenerator`, on a real-size ViT-B with seeded weights,
  the IoU threshold set so that 30 % of the masks pass; time, peak memory above the model, and whether the masks are equal;
* cutouts: 60 full-canvas PNGs of a 2048 x 2048 image against the plain way (Pillow, one RGBA array and `save` per mask).

Every figure comes from a process of its own, so that none profits from what another has warmed up or left behind.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from figures import Figure, arguments, tell

SHARE_THAT_PASSES = 0.3
OBJECTS = 60
CANVAS_PX = 2048
_SAMPLE_S = 0.01

Result = dict[str, Any]


def make_image(side_px: int) -> np.ndarray:
    """Return a square image of soft blobs with fine noise, the same each time."""
    rng = np.random.default_rng(1)
    blobs = cv2.resize(
        rng.integers(0, 256, (9, 9, 3)).astype(np.uint8), (side_px, side_px), interpolation=cv2.INTER_CUBIC
    )
    return np.clip(blobs.astype(int) + rng.integers(-3, 4, blobs.shape), 0, 255).astype(np.uint8)


def measure(work: Callable[[], Any]) -> tuple[Any, Result]:
    """Return what `work` returns; its seconds, on the clock and on the CPU; and the MB it needed at its peak."""
    process = psutil.Process()
    before = peak = process.memory_info().rss
    is_done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not is_done.wait(_SAMPLE_S):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began, began_cpu = time.perf_counter(), time.process_time()
    try:
        result = work()
    finally:
        elapsed_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
        is_done.set()
        watcher.join()
    return result, {"elapsed_s": elapsed_s, "cpu_s": cpu_s, "peak_mb": (peak - before) / 1e6}


# Masks


def open_sam(device: str) -> Any:
    import torch
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    return sam_model_registry["vit_b"]().to(device).eval()


def iou_threshold(side_px: int, points_per_side: int, device: str) -> Result:
    """Return the predicted IoU that `SHARE_THAT_PASSES` of the masks exceed."""
    import torch
    from segment_anything import SamPredictor
    from segment_anything.utils.amg import build_point_grid

    sam = open_sam(device)
    predictor = SamPredictor(sam)
    predictor.set_image(make_image(side_px))
    points = predictor.transform.apply_coords(build_point_grid(points_per_side) * side_px, (side_px, side_px))
    ious = []
    with torch.no_grad():
        for start in range(0, len(points), 16):
            some = torch.as_tensor(points[start : start + 16], dtype=torch.float, device=device)[:, None]
            labels = torch.ones(some.shape[:2], dtype=torch.int, device=device)
            sparse, dense = sam.prompt_encoder(points=(some, labels), boxes=None, masks=None)
            ious.append(
                sam.mask_decoder(
                    predictor.features, sam.prompt_encoder.get_dense_pe(), sparse, dense, multimask_output=True
                )[1].cpu()
            )
    return {"threshold": float(torch.cat(ious).quantile(1 - SHARE_THAT_PASSES))}


def generate_masks(who: str, side_px: int, points_per_side: int, device: str, threshold: float) -> Result:
    """Let one of the generators find the masks of an image."""
    from segment_anything import SamAutomaticMaskGenerator

    from sdclient.segment import MaskGenerator

    options: dict[str, Any] = {
        "points_per_side": points_per_side,
        "pred_iou_thresh": threshold,
        "stability_score_thresh": 0.0,
        "box_nms_thresh": 1.0,
    }
    sam, image = open_sam(device), make_image(side_px)
    if who == "ours":
        found, figures = measure(lambda: MaskGenerator(sam, **options).generate(image))
        rows = [(one.rle, one.predicted_iou, one.stability_score, list(one.bbox_xywh)) for one in found]
    else:
        theirs = SamAutomaticMaskGenerator(sam, output_mode="uncompressed_rle", **options)
        found, figures = measure(lambda: theirs.generate(image))
        rows = [(one["segmentation"], one["predicted_iou"], one["stability_score"], one["bbox"]) for one in found]
    digest = hashlib.sha256(json.dumps(rows, default=float).encode()).hexdigest()
    return {"masks": len(rows), "digest": digest, **figures}


def compare_masks(side_px: int, points_per_side: int, device: str) -> Iterator[Figure]:
    """Compare both generators on one size of image."""
    shared = {"side_px": side_px, "points_per_side": points_per_side, "device": device}
    threshold = in_child("iou_threshold", shared)["threshold"]
    ours, theirs = (
        in_child("generate_masks", {**shared, "who": who, "threshold": threshold}) for who in ("ours", "theirs")
    )
    what = f"masks, {side_px}², {points_per_side}² points, {device}"
    yield Figure(f"{what}: time (SamAutomaticMaskGenerator)", ours["elapsed_s"], "s", 0.5, theirs["elapsed_s"])
    yield Figure("  processor time", ours["cpu_s"], "s", None, theirs["cpu_s"])
    yield Figure("  memory above the model", ours["peak_mb"], "MB", 1 / 3, theirs["peak_mb"])
    yield differing(ours, theirs)


def differing(ours: Result, theirs: Result) -> Figure:
    """Say whether both came to the same."""
    return Figure("  results that differ", float(ours["digest"] != theirs["digest"]), "", 0)


# Cut-outs


def make_masks() -> list[np.ndarray]:
    """Return ellipses of many sizes, some of which reach the edge."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:CANVAS_PX, :CANVAS_PX]
    masks: list[np.ndarray] = []
    while len(masks) < OBJECTS:
        radius, flat = rng.integers(60, 400), rng.uniform(0.5, 1.5)
        x, y = rng.integers(0, CANVAS_PX, 2)
        masks.append((columns - x) ** 2 + ((rows - y) * flat) ** 2 < radius**2)
    return masks


def encode_all(who: str) -> Result:
    """Encode all cut-outs one way; the digest is of the pixels that Pillow reads back."""
    from PIL import Image

    from sdclient.segment import SegmentedObject, encode_cutout

    image = make_image(CANVAS_PX)
    objects = [SegmentedObject.from_mask(mask, score=1.0) for mask in make_masks()]

    def plain(item: SegmentedObject) -> bytes:
        mask = item.mask_hw
        rgba = np.zeros((CANVAS_PX, CANVAS_PX, 4), np.uint8)
        rgba[mask, :3] = image[mask]
        rgba[mask, 3] = 255
        file = io.BytesIO()
        Image.fromarray(rgba).save(file, "PNG")
        return file.getvalue()

    encode: Callable[[SegmentedObject], bytes] = plain if who == "theirs" else lambda item: encode_cutout(image, item)
    digest = hashlib.sha256()
    elapsed_s, cpu_s, size_bytes = 0.0, 0.0, 0
    for item in objects:
        began, began_cpu = time.perf_counter(), time.process_time()
        data = encode(item)
        elapsed_s, cpu_s = elapsed_s + time.perf_counter() - began, cpu_s + time.process_time() - began_cpu
        size_bytes += len(data)
        digest.update(np.asarray(Image.open(io.BytesIO(data))).tobytes())
    return {"elapsed_s": elapsed_s, "cpu_s": cpu_s, "size_mb": size_bytes / 1e6, "digest": digest.hexdigest()}


def compare_cutouts() -> Iterator[Figure]:
    """Compare both ways of writing cut-outs."""
    ours, theirs = (in_child("encode_all", {"who": who}) for who in ("ours", "theirs"))
    what = f"{OBJECTS} cut-outs of a {CANVAS_PX}² image"
    yield Figure(f"{what}: processor time (Pillow, save per mask)", ours["cpu_s"], "s", 0.2, theirs["cpu_s"])
    yield Figure("  size of the files", ours["size_mb"], "MB", None, theirs["size_mb"])
    yield differing(ours, theirs)


# Processes


def in_child(task: str, arguments: Mapping[str, object]) -> Result:
    """Run one of this file's functions in a fresh process."""
    command = [sys.executable, str(Path(__file__).resolve()), "--child", task, json.dumps(arguments)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    result: Result = json.loads(ended.stdout.splitlines()[-1])
    return result


def measure_all(sizes: str, points_per_side: int, device: str) -> Iterator[Figure]:
    """Compare the cut-outs, and the masks at every size."""
    yield from compare_cutouts()
    for side in filter(None, sizes.split(",")):
        yield from compare_masks(int(side), points_per_side, device)


def main() -> None:
    """Print the table; write it as JSON where asked."""
    parser = arguments(__doc__)
    parser.add_argument("--sizes", help="sides of the images for the masks; 512, with --full also 1024 and 2048")
    parser.add_argument("--points-per-side", type=int)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        task, values = given.child
        tasks = {one.__name__: one for one in (iou_threshold, generate_masks, encode_all)}
        print(json.dumps(tasks[task](**json.loads(values))))  # noqa: T201 - read by the process that started this one
        return
    sizes = "512,1024,2048" if given.full else "256" if given.quick else "512"
    points = given.points_per_side or (2 if given.quick else 16)
    tell(measure_all(sizes if given.sizes is None else given.sizes, points, given.device), given.json)


if __name__ == "__main__":
    main()
