"""Draw the prompts of a text in two styles, each image growing out of the one before it.

python examples/interleave.py                               against a simulated server, without a GPU
python examples/interleave.py --url http://mini.local:7860  against yours
"""

from __future__ import annotations

import argparse
from contextlib import nullcontext
from pathlib import Path

from sdclient import Run, Txt2Img
from sdclient.recipes.interleave import build_grids, load_interleave, plan_interleave, read_chapters, request_of
from sdclient.simulator import Simulator

EXAMPLE = Path(__file__).with_name("interleave.toml")


def main() -> None:
    """Plan what the configuration says, draw it, and put a grid for each chapter and style beside the images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="?", type=Path, default=EXAMPLE, help="a configuration")
    parser.add_argument("--url", help="a server; without one, a simulated server is started")
    parser.add_argument("--out", type=Path, default=Path("SERIES"), help="the output folder")
    options = parser.parse_args()

    config = load_interleave(options.config)
    found = read_chapters(config.prompt_config, options.config.parent)
    request = request_of(Txt2Img.load("interleave"), config.generation_config)
    plan = plan_interleave(config, found.chapters, request)
    run = Run(options.out, run_seed=7).add_jobs(plan.jobs)
    with nullcontext(options.url) if options.url else Simulator("drawthings") as server:
        run.start(server if isinstance(server, str) else server.url)

    built = build_grids(run, plan, config.generation_config)
    print(f"{len(plan.frames)} images, {len(built.grids)} grids:")
    for path in built.grids:
        print(f"  {path}")


if __name__ == "__main__":
    main()
