"""``sdclient clean``: take away what dead workers left behind."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from sdclient.cli.app import EXIT_FAILED
from sdclient.cli.talk import emit, say
from sdclient.run import Run


@click.command(epilog="Example:  sdclient clean OUT")
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@click.option("--wait", is_flag=True, help="Watch silent workers of other machines for a whole lease (90 s), too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def command(out: Path, *, wait: bool, as_json: bool) -> int:
    """Finish what dead workers began to publish in OUT, and take away what they left. Images are never touched.

    Exit code: 0 all is clean, 1 a job had to be left as it is, such as one with a damaged record.
    """
    swept = Run.open(out).clean(is_patient=wait)
    code = EXIT_FAILED if swept.left else 0
    if as_json:
        emit(asdict(swept))
        return code
    counts = {name: number for name, number in asdict(swept).items() if name != "left"}
    say(", ".join(f"{number} {name}" for name, number in counts.items()))
    for text in swept.left:
        say(f"left as it is: {text}")
    return code
