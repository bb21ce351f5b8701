"""``sdclient txt2img``: draw an image from words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sdclient.cli import options
from sdclient.cli.single import OneImage, draw_one
from sdclient.schemas import Txt2Img

if TYPE_CHECKING:
    from typing_extensions import Unpack


@click.command(epilog='Example:  sdclient txt2img "a red fox" --steps 30 --seed 7 -o fox.png')
@click.argument("prompt")
@options.one_url
@options.payload
@options.one_image
def command(
    prompt: str,
    urls: tuple[str, ...],
    payload: str | None,
    sets: tuple[str, ...],
    output: Path,
    dialect: str | None,
    **given: Unpack[options.OneImageOptions],
) -> None:
    """Draw an image from words and save it."""
    request = Txt2Img.load(payload) if payload else Txt2Img()
    one = OneImage(request.replace(prompt=prompt, **options.request_fields(given)), output, sets, **options.ways(given))
    draw_one(one, urls, dialect)
