"""One image for the present part of the day, drawn and written to a folder as a post.

python examples/daily.py [--url http://127.0.0.1:7860] [--out BOT]
"""

from __future__ import annotations

import argparse
import datetime as dt
from contextlib import ExitStack
from pathlib import Path

from sdclient import Run
from sdclient.posting.publish import FolderPublisher
from sdclient.recipes.daily.completion import TemplateCompleter
from sdclient.recipes.daily.cycle import Daily, DailySettings
from sdclient.recipes.daily.ledger import Ledger
from sdclient.recipes.daily.slots import open_zone
from sdclient.recipes.daily.words import load_words
from sdclient.schemas import Txt2Img
from sdclient.simulator import Simulator

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--url", help="your server; left out, a simulated one")
parser.add_argument("--out", type=Path, default=Path("BOT"))
options = parser.parse_args()

words = load_words()
daily = Daily(
    Run(options.out),
    Txt2Img.load("daily"),
    words=words,
    completer=TemplateCompleter(words),
    publisher=FolderPublisher(options.out / "posts"),
    ledger=Ledger(options.out / "daily"),
    # However late it is: the part of the day lasts until the next one begins.
    settings=DailySettings(open_zone("Europe/Madrid"), grace_s=None),
)

with ExitStack() as stack:
    url = options.url or stack.enter_context(Simulator("drawthings")).url
    outcome = daily.tick(dt.datetime.now(dt.timezone.utc), lambda run: run.start(url))

print(outcome.message)
for path in sorted((options.out / "posts").glob("*/*")):
    print(path)
