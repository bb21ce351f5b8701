"""A segmenter that is used for hours keeps its size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# In a process of its own: what other tests have filled and freed would hide growth.
CODE = """
import gc, sys
import numpy as np, psutil
from pathlib import Path
from sdclient.segment import SamSegmenter, SegmentSettings, segment_image, write_cutouts
from tests.unit.segment.conftest import build_tiny_sam

settings = SegmentSettings(outputs=("cutout", "crop", "mask", "overlay", "sheet", "ora"), cover=True, top_n=4)
options = {"points_per_side": 2, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
segmenter = SamSegmenter("tiny", build_tiny_sam(), device="cpu", **options)
rng = np.random.default_rng(0)
folder = Path(sys.argv[1])
process, sizes, found = psutil.Process(), [], 0
for number in range(220):
    image = rng.integers(0, 256, (96, 128, 3), dtype=np.uint8)
    objects = segment_image(segmenter, image, settings)
    found += len(objects)
    for file in write_cutouts(image, objects, folder, f"i{number}", settings=settings):
        file.path.unlink()
    gc.collect()
    sizes.append(process.memory_info().rss)
print(found, max(sizes[:20]), max(sizes[20:]))
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_hundred_images_make_it_grow_by_less_than_a_twentieth(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(filter(None, sys.path)), "PATH": "", "OMP_NUM_THREADS": "2"},
    )

    assert ended.returncode == 0, ended.stderr
    found, early, late = (int(word) for word in ended.stdout.split())
    assert found >= 200
    assert late < 1.05 * early
