"""Folders of images as people keep them, taken in by the command line: odd files, names, orders."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from sdclient.simulator import Simulator
from tests.conftest import CommandLine

TINY = ("--payload", "bake", "--set", "width=128", "--set", "height=128", "--set", "tiled=null")


def draw(path: Path, shade: int = 128, size: tuple[int, int] = (128, 128)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").resize(size).point(lambda value: (value + shade) % 256).convert("RGB").save(path)
    return path


def test_odd_files_are_listed_once_a_run_in_few_words(cli: CommandLine, draw_things: Simulator) -> None:
    source = cli.folder / "IN"
    draw(source / "fox.PNG")
    for name in ("._fox.PNG", "Thumbs.db", ".DS_Store", ".hidden.png", "empty.png", "notes.txt", "photo.heic"):
        (source / name).write_bytes(b"" if name == "empty.png" else b"x")
    words = ("upscale", "IN", "OUT", *TINY, "--url", draw_things.url)

    dry = cli(*words, "--dry-run")
    first = cli(*words)
    (source / "later.txt").write_bytes(b"x")
    again = cli(*words)

    told = [line for line in first.stderr.splitlines() if line.startswith("left out: ")]
    assert told == [
        "left out: ._fox.PNG, .DS_Store and Thumbs.db: kept by the operating system",
        "left out: .hidden.png: hidden",
        "left out: empty.png: empty",
        "left out: notes.txt: no image",
        "left out: photo.heic: neither PNG, JPEG nor WebP; convert first",
    ]
    assert [line for line in dry.stderr.splitlines() if line.startswith("left out: ")] == told
    assert "left out: later.txt: no image" in again.stderr
    assert "notes.txt" not in again.stderr
    assert (first.code, again.code) == (0, 0)


def test_images_are_sent_in_the_order_asked_for(cli: CommandLine, draw_things: Simulator) -> None:
    for number in (2, 10, 1):
        draw(cli.folder / "IN" / f"img{number}.png", number)

    ended = cli("upscale", "IN", "OUT", *TINY, "--order", "name", "--json", "--url", draw_things.url)

    places = [line.split('"place": "')[1].split('"')[0] for line in ended.stdout.splitlines() if '"done"' in line[:20]]
    assert places == ["img1_upscaled", "img2_upscaled", "img10_upscaled"]


def test_an_unknown_order_is_refused_with_those_there_are(cli: CommandLine) -> None:
    draw(cli.folder / "IN" / "a.png")

    ended = cli("upscale", "IN", "OUT", *TINY, "--order", "size")

    assert ended.code == 2
    assert "'name', 'newest', 'random'" in ended.stderr
