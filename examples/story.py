"""Illustrate a short story: ideas, images, and a document with both.

python examples/story.py                              against a simulated server, without a GPU
python examples/story.py --url http://mini.local:7860  against yours
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import nullcontext
from pathlib import Path

from sdclient import Run, Txt2Img
from sdclient.errors import MissingExtraError
from sdclient.recipes import story
from sdclient.simulator import Simulator

TEXT = """The fox lived under a hill and had a red lantern. One night it rained until the river rose to her door.
An owl came rowing in a small boat. They crossed the black water to the mill. The miller gave them bread and tea.
In the morning the sun came back. They went home over the wet meadows. The lantern burned in the window again.
"""


def main() -> None:
    """Make two ideas for each third of the text, draw them, and write the documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="a server; without one, a simulated server is started")
    parser.add_argument("--out", type=Path, help="the output folder; without one, a new folder")
    options = parser.parse_args()
    out: Path = options.out or Path(tempfile.mkdtemp(prefix="story-"))
    out.mkdir(parents=True, exist_ok=True)
    (out / "the_red_lantern.txt").write_text(TEXT, encoding="utf-8")

    source = story.read_text(out / "the_red_lantern.txt")
    ideas = story.collect_ideas(source, story.ExtractIdeas(), story.IdeaSettings(count=2, style="ink and watercolour"))
    run = Run(out, run_seed=7)
    request = Txt2Img.load("story")
    with nullcontext(options.url) if options.url else Simulator("drawthings") as server:
        run.add_jobs(story.plan_story(source.name, ideas, request, run.folder.settings.run_seed))
        run.start(server if isinstance(server, str) else server.url)

    try:
        story.require_docx()
        built = story.build_documents(run, source.name, ideas, story.FORMATS)
    except MissingExtraError as exc:
        print(exc)
        built = story.build_documents(run, source.name, ideas, ("markdown", "html"))
    print(f"images in each document: {built.images}")
    for path in built.paths:
        print(f"  {path}")


if __name__ == "__main__":
    main()
