"""``sdclient redo``: make images once more; the old ones are kept."""

from __future__ import annotations

import csv
from pathlib import Path

import click

from sdclient.cli.joining import join_command, planned_again
from sdclient.cli.talk import emit, say
from sdclient.errors import ConfigurationError
from sdclient.files import original_cell
from sdclient.run import Run


@click.command(
    epilog="Example:  sdclient redo OUT 'generated/Italian/family/*_3_1.png' --new-seed\n\n"
    "Or what was rejected on the page of `sdclient report`:  sdclient redo OUT --list rejected.csv"
)
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1)
@click.option(
    "--list",
    "listed",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of images: one a line, or a CSV with the column image (and mark: only those marked reject).",
)
@click.option("--new-seed", is_flag=True, help="Draw them from another seed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of text.")
def command(out: Path, patterns: tuple[str, ...], listed: Path | None, *, new_seed: bool, as_json: bool) -> None:
    """Plan images of OUT once more, with all that is made from them, now or later; `sdclient join OUT` makes them.

    The images that are there stay until the new ones are complete, and are kept in OUT/.sdclient/replaced then.
    A PATTERN is held against names of images: *, ? and [23] as in a shell, * for folders, too.
    """
    names = read_images(listed) if listed else []
    if not patterns and not names:
        raise click.UsageError("say which: a PATTERN such as '*Greek*', or --list FILE")
    run = Run.open(out)
    redone = run.redo(*patterns, names=names, new_seed=new_seed)
    if as_json:
        join = join_command(run) if redone.jobs else None
        emit({"planned": [job.place for job in redone.jobs], "left_out": list(redone.left_out), "join": join})
        return
    for job in redone.jobs:
        click.echo(job.place)
    for text in redone.left_out:
        say(f"left out: {text}")
    say(planned_again(run, len(redone.jobs)))


def read_images(path: Path) -> list[str]:
    """Read a list of images: lines of text, or a CSV with the column ``image`` and perhaps ``mark``.

    Raises:
        ConfigurationError: If it cannot be read, or names nothing.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{path}: cannot be read ({exc}); give a text file in UTF-8") from exc
    try:
        images = _marked(lines) if "image" in next(csv.reader(lines[:1]), [""]) else [line.strip() for line in lines]
    except csv.Error as exc:
        raise ConfigurationError(f"{path}: no list of images ({exc}); give one a line, or a CSV") from exc
    images = [image for image in images if image]
    if not images:
        raise ConfigurationError(f"{path}: names no image to make once more")
    return images


def _marked(lines: list[str]) -> list[str]:
    rows = csv.DictReader(lines)
    return [original_cell(row["image"]) for row in rows if row.get("mark", "reject") == "reject" and row["image"]]
