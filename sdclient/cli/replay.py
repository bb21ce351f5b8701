"""``sdclient replay``: make an image again, or compare the settings of two."""

from __future__ import annotations

import os
from pathlib import Path

import click

from sdclient.cli import options
from sdclient.cli.app import EXIT_FAILED
from sdclient.cli.running import end
from sdclient.cli.talk import emit, say, table
from sdclient.client import Client
from sdclient.files import write_durable
from sdclient.provenance import Difference, Replayed, compare_settings, find_origin, replay
from sdclient.provenance.origin import required_request
from sdclient.provenance.replay import recorded_server

_SHOWN_CHARS = 60
_BEFORE_CHARS = 15
"""Of what two long texts have in common, so much is shown before they part."""


@click.command(
    epilog="Example:  sdclient replay OUT/fox_1.png\n\nExample:  sdclient replay --diff OUT/fox_1.png OUT/fox_2.png"
)
@click.argument(
    "images", metavar="IMAGE…", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@options.one_url
@click.option("--diff", "is_diff", is_flag=True, help="Send nothing; say in which settings two images differ.")
@click.option(
    "--in",
    "inputs",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the input images lie on this machine, if not where the plan says.",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Keep the new image here.")
@click.option("--json", "as_json", is_flag=True, help="Tell the result as one JSON object.")
def command(
    images: tuple[Path, ...],
    urls: tuple[str, ...],
    *,
    is_diff: bool,
    inputs: Path | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Make IMAGE again by the request that made it, and say whether its pixels are equal.

    Inside a run folder the request is known exactly, and without --url the server that made the image is asked;
    elsewhere the file's own metadata has to do, and no server is known from it: give --url, or SDCLIENT_URL or
    sdclient.toml names one. The exit code is 0 where the pixels are equal, 1 where they differ.
    """
    if len(images) != 1 + is_diff or len(urls) > 1:
        raise click.UsageError("give one image and one server, or with --diff two images")
    if is_diff:
        _tell_diff(images[0], images[1], as_json=as_json)
        return
    if output is not None and output.exists():
        raise click.UsageError(f"{output} is there already; name another file")
    origin = find_origin(images[0])
    required_request(origin)
    result = replay(origin, Client(urls[0] if urls else recorded_server(origin)), inputs=inputs)
    if output is not None:
        write_durable(output, result.data)
    _tell(images[0], result, output, as_json=as_json)
    end(0 if result.pixels.is_equal else EXIT_FAILED)


def _tell(image: Path, result: Replayed, output: Path | None, *, as_json: bool) -> None:
    if as_json:
        emit(
            {
                "image": str(image),
                **result.pixels.to_json(),
                "sent_differently": _as_json(result.sent),
                "notes": list(result.notes),
                "output": None if output is None else str(output),
            }
        )
        return
    click.echo(f"{image}: {result.pixels}")
    if result.sent:
        say("sent otherwise than the first time:")
        say(_as_table(result.sent))
    for note in result.notes:
        say(f"note: {note}")


def _tell_diff(one: Path, two: Path, *, as_json: bool) -> None:
    diff = compare_settings(one, two)
    if as_json:
        emit({"compared": diff.compared, "differences": _as_json(diff.differences), "equal": diff.equal})
        return
    differ = "1 setting differs" if len(diff.differences) == 1 else f"{len(diff.differences)} settings differ"
    equal = f"{diff.equal} {'is' if diff.equal == 1 else 'are'} equal"
    click.echo(f"{differ}, {equal}; compared: {diff.compared}")
    if diff.differences:
        click.echo(_as_table(diff.differences))


def _as_json(differences: tuple[Difference, ...]) -> list[dict[str, str]]:
    return [{"field": one.field, "a": one.a, "b": one.b} for one in differences]


def _as_table(differences: tuple[Difference, ...]) -> str:
    return table([(one.field, *_shown(one.a, one.b)) for one in differences])


def _shown(*texts: str) -> list[str]:
    """Cut long texts short, so that the first place where they differ is in sight."""
    flat = [" ".join(text.split()) for text in texts]
    begin = 0
    if max(map(len, flat)) > _SHOWN_CHARS:
        begin = max(0, len(os.path.commonprefix(flat)) - _BEFORE_CHARS)  # noqa: RUF071 - characters are meant
    return [_cut("…" + text[begin:] if begin else text) for text in flat]


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…"
