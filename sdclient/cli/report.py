"""``sdclient report``: make the page of a run, or a grid of its images."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import click

from sdclient.batch.folder import RunFolder
from sdclient.cli.talk import byte_size, emit, is_watched, plural, say
from sdclient.report import Grid, ReportOptions, Written, make_grid, parse_grid, write_grid, write_report

_SHOWN_NOTES = 10


@click.command(
    epilog="Example:  sdclient report OUT --open\n\nExample:  sdclient report OUT --grid rows=nation,cols=category"
)
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
@click.option("--open", "is_opened", is_flag=True, help="Open the page in a browser.")
@click.option("--embed", is_flag=True, help="Carry thumbnails inside the page, to send it without the images.")
@click.option("--no-thumbs", is_flag=True, help="Make no thumbnails; the page shows the images themselves.")
@click.option("--grid", metavar="rows=A,cols=B", help="Lay the images out by two columns of images.csv instead.")
@click.option("--kind", help="With --grid: images of this kind of job. [default: img2img where there are any]")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="With --grid: a .png or .html file."
)
@click.option("--json", "as_json", is_flag=True, help="Tell the result as one JSON object.")
def command(
    out: Path,
    *,
    is_opened: bool,
    embed: bool,
    no_thumbs: bool,
    grid: str | None,
    kind: str | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Write OUT/report.html: what ran, when, how fast, what failed, and every image.

    Also writes images.csv, attempts.csv and metadata.jsonl, with which OUT loads as it is in Hugging Face datasets.
    Works while the run is at work, and on any machine that sees the folder.
    """
    folder = RunFolder.open(out)
    if grid is not None:
        if embed or no_thumbs:
            raise click.UsageError(
                "--embed and --no-thumbs go with the page, not with --grid; a .png carries its images"
            )
        made = make_grid(folder, *parse_grid(grid), kind=kind)
        path = write_grid(folder, made, output or out / "grid.png")
        _tell_grid(path, made, as_json=as_json)
    else:
        if output is not None or kind is not None:
            raise click.UsageError("--output and --kind go with --grid; the page is always OUT/report.html")
        written = write_report(
            folder, ReportOptions(embed=embed, thumbs=not no_thumbs, on_thumb=_on_thumb if is_watched() else None)
        )
        path = written.page
        _tell_page(written, as_json=as_json)
    if is_opened:
        webbrowser.open(path.resolve().as_uri())


def _on_thumb(made: int, total: int) -> None:
    click.echo(f"\rthumbnails: {made} of {total}" + ("\n" if made == total else ""), err=True, nl=False)


def _tell_grid(path: Path, made: Grid, *, as_json: bool) -> None:
    notes = [f"{plural(number, 'image')} left out: {why}" for why, number in made.left_out.items()]
    if as_json:
        emit({"grid": str(path), "left_out": sum(made.left_out.values()), "notes": notes})
        return
    for text in notes:
        say(f"note: {text}")
    click.echo(path)


def _tell_page(written: Written, *, as_json: bool) -> None:
    report = written.report
    if as_json:
        emit(
            {
                "page": str(written.page),
                "size_bytes": written.size_bytes,
                "images": len(report.images),
                "attempts": len(report.attempts),
                "notes": list(written.notes),
            }
        )
        return
    for text in written.notes[:_SHOWN_NOTES]:
        say(f"note: {text}")
    if len(written.notes) > _SHOWN_NOTES:
        say(f"note: … and {len(written.notes) - _SHOWN_NOTES} more, all in the page")
    images, attempts = plural(len(report.images), "image"), plural(len(report.attempts), "attempt")
    click.echo(f"{written.page}  {images}, {attempts}, {byte_size(written.size_bytes)}")
