"""Slices of pixel art, drawn over again and again without words.

python examples/canvas.py [place.png] [--url http://127.0.0.1:7860] [--out SLICES]
"""

from __future__ import annotations

import argparse
import random
from contextlib import ExitStack
from pathlib import Path

from sdclient import Run
from sdclient.recipes.canvas import SliceRules, Wish, build_documents, open_canvas, spec_of
from sdclient.schemas import Img2Img
from sdclient.simulator import Simulator

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("image", type=Path, nargs="?", help="a canvas; left out, one is made up")
parser.add_argument("--url", help="your server; left out, a simulated one")
parser.add_argument("--out", type=Path, default=Path("SLICES"))
options = parser.parse_args()


def made_up(path: Path) -> Path:
    """Scatter coloured blocks, as many people would."""
    from PIL import Image

    rng = random.Random(2)
    image = Image.new("RGB", (120, 90), "white")
    for _ in range(150):
        colour = rng.choice(["#ff4500", "#ffa800", "#00a368", "#2450a4", "#51e9f4", "#811e9f", "#000000"])
        x, y = rng.randrange(120), rng.randrange(90)
        image.paste(colour, (x, y, x + rng.randrange(2, 14), y + rng.randrange(2, 9)))
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


canvas = open_canvas(options.image or made_up(options.out / "made-up.png"))
rules = SliceRules(spec_of(Img2Img.load("canvas")), strengths=(0.8, 0.5, 0.3))
wish = Wish((canvas,), rules)
slices = wish.slices(options.out, seed=7, rounds=range(1, 2))

with ExitStack() as stack:
    url = options.url or stack.enter_context(Simulator("drawthings")).url
    run = Run(options.out).add_jobs(wish.plan(slices))
    wish.keep(options.out, slices)
    result = run.start(url)

print(f"{result.counts.done} of {result.counts.jobs} passes done, {result.made} of them now")
for one in build_documents(run, anew=True):
    print(*one.paths, sep="\n")
