"""``sdclient img2img``: draw over an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from sdclient.cli import options
from sdclient.cli.single import OneImage, Source, draw_one
from sdclient.schemas import Img2Img

if TYPE_CHECKING:
    from typing_extensions import Unpack


@click.command(epilog="Example:  sdclient img2img fox.png --payload bake --strength 0.3 -o fox_baked.png")
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@options.one_url
@options.payload
@options.size_and_fit
@click.option("--prompt", help="What to draw.")
@click.option("--strength", type=float, help="How much is repainted, 0 to 1.")
@options.one_image
def command(
    image: Path,
    urls: tuple[str, ...],
    payload: str | None,
    sets: tuple[str, ...],
    size: str | None,
    fit: Literal["pad", "crop"],
    prompt: str | None,
    strength: float | None,
    output: Path,
    dialect: str | None,
    **given: Unpack[options.OneImageOptions],
) -> None:
    """Draw over an image and save the result.

    The image is brought to the size the server draws at, never stretched; padding is taken off again. A payload that names
    width, height and resize_mode has the server resize it, unless --size or --fit crop is given.
    """
    request = Img2Img.load(payload) if payload else Img2Img()
    own = {"prompt": prompt, "denoising_strength": strength}
    fields = {name: value for name, value in own.items() if value is not None} | options.request_fields(given)
    one = OneImage(request.replace(**fields) if fields else request, output, sets, **options.ways(given))
    draw_one(one, urls, dialect, Source(image, size, fit))
