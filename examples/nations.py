"""The nations study in small: generate, draw over, cut out, and EMIF's own tables.

python examples/nations.py [--url http://127.0.0.1:7860] [--out STUDY] [--full-size]
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path

from sdclient import Run
from sdclient.recipes.nations import QueueEntry, StudyPayloads, load_study, plan_nations
from sdclient.recipes.nations_emif import export_emif
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.segment import SegmentSettings
from sdclient.simulator import Simulator

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--url", help="your server; left out, a simulated one")
parser.add_argument("--out", type=Path, default=Path("STUDY"))
parser.add_argument("--full-size", action="store_true", help="as the study drew; left out, small images of few steps")
options = parser.parse_args()

queue = [QueueEntry("Italian", "family", 1), QueueEntry("Greek", "family", 1)]
generate = Txt2Img.load("sdxl-refiner-ultrasharp")
bake = Img2Img.load("bake")
if not options.full_size:
    generate = generate.replace(hires=None, enlarge=None, width=512, height=512, steps=8)
    bake = bake.replace(width=512, height=512, tiled=None, steps=8)

with ExitStack() as stack:
    url = options.url or stack.enter_context(Simulator("drawthings")).url
    run = Run(options.out)
    # One list of seeds for all nations: what differs between two sets is the nation.
    seed = run.folder.settings.run_seed
    payloads = StudyPayloads(generate, bake, SegmentSettings("classical"))
    run.add_jobs(plan_nations(queue, load_study(), payloads, paired_run_seed=seed))
    result = run.start(url)

print(f"{result.counts.done} of {result.counts.jobs} jobs done, {result.made} of them now")
for table in export_emif(run):
    print(f"written: {table}")
for path in sorted(options.out.glob("baked/*/*/*.png")):
    print(path)
