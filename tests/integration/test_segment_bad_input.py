"""Images and checkpoints as people really have them, through `sdclient segment`."""

from __future__ import annotations

import csv
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from sdclient import Run
from sdclient.batch.events import Event
from sdclient.segment import SegmentSettings
from tests.conftest import CommandLine

SIZE = (240, 160)


def scene() -> Image.Image:
    """A calm grey image with a red square on the left."""
    pixels = np.full((SIZE[1], SIZE[0], 3), (205, 210, 215), np.uint8)
    pixels[50:110, 20:80] = (150, 30, 30)
    return Image.fromarray(pixels)


def save_kinds(folder: Path) -> None:
    """Save the same scene in every way a file may hold it."""
    folder.mkdir()
    image = scene()
    image.save(folder / "plain.png")
    image.convert("P", palette=Image.Palette.ADAPTIVE).save(folder / "palette.png")
    image.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    grey = np.asarray(image.convert("L"), dtype=np.uint16) * 257
    Image.fromarray(grey).save(folder / "sixteen.png")
    alpha = image.convert("RGBA")
    alpha.putalpha(Image.new("L", SIZE, 255))
    alpha.save(folder / "alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    image.rotate(90, expand=True).save(folder / "turned.jpg", exif=exif, quality=95)


def test_one_scene_is_cut_alike_however_its_file_holds_it(tmp_path: Path) -> None:
    save_kinds(tmp_path / "IN")
    run = Run(tmp_path / "OUT").add_cutouts(tmp_path / "IN", SegmentSettings())

    result = run.start()

    assert result.counts.done == 6
    found = run.objects()
    assert sorted(found["image"]) == ["alpha.png", "cmyk.jpg", "palette.png", "plain.png", "sixteen.png", "turned.jpg"]
    for _, row in found.iterrows():
        box = [row["x_px"], row["y_px"], row["width_px"], row["height_px"]]
        assert np.allclose(box, [20, 50, 60, 60], atol=3), row["image"]
        with Image.open(tmp_path / "OUT" / row["file"]) as cutout:
            assert (cutout.mode, cutout.size) == ("RGBA", SIZE)


def test_transparent_parts_are_seen_on_white(tmp_path: Path) -> None:
    (tmp_path / "IN").mkdir()
    image = scene().convert("RGBA")
    hole = Image.new("L", SIZE, 0)
    hole.paste(255, (20, 50, 80, 110))
    image.putalpha(hole)
    image.save(tmp_path / "IN" / "fox.png")
    run = Run(tmp_path / "OUT").add_cutouts(tmp_path / "IN", SegmentSettings(cover=True))

    run.start()

    (found,) = run.objects().to_dict("records")
    assert np.allclose([found["x_px"], found["y_px"], found["width_px"], found["height_px"]], [20, 50, 60, 60], atol=3)


def save_transparent_kinds(folder: Path) -> None:
    """Save the scene with a frame that is transparent, in every way a file may hold that."""
    folder.mkdir()
    seen = Image.new("L", SIZE, 0)
    seen.paste(255, (10, 10, SIZE[0] - 10, SIZE[1] - 10))
    image = scene().convert("RGBA")
    image.putalpha(seen)
    image.save(folder / "rgba.png")
    image.save(folder / "lossless.webp", lossless=True)
    image.convert("LA").save(folder / "la.png")
    image.quantize().save(folder / "palette.png")
    cv2.imwrite(str(folder / "sixteen.png"), np.asarray(image, dtype=np.uint16)[..., [2, 1, 0, 3]] * 257)
    colour_key = scene()
    colour_key.paste((1, 2, 3), mask=seen.point(lambda value: 255 - value))
    colour_key.save(folder / "key.png", transparency=(1, 2, 3))


def test_layers_of_a_transparent_image_give_it_back_with_its_alpha_however_its_file_holds_it(tmp_path: Path) -> None:
    save_transparent_kinds(tmp_path / "IN")
    run = Run(tmp_path / "OUT").add_cutouts(tmp_path / "IN", SegmentSettings(cover=True, feather_px=3))

    result = run.start()

    assert result.counts.done == 6
    for path in sorted((tmp_path / "IN").iterdir()):
        stacked = Image.open(tmp_path / "OUT" / path.stem / f"{path.stem}_rest.png")
        for cutout in sorted((tmp_path / "OUT" / path.stem).glob("*_0?.png")):
            stacked = Image.alpha_composite(stacked, Image.open(cutout))
        image = np.array(Image.open(path).convert("RGBA"))
        assert (image[0, 0, 3], image[80, 120, 3]) == (0, 255)
        assert np.array_equal(np.array(stacked), image * (image[..., 3:] > 0)), path.name


def test_transparent_images_are_said_to_be_looked_at_on_white_once_and_in_their_records(tmp_path: Path) -> None:
    (tmp_path / "IN").mkdir()
    for name, alpha in (("clear.png", 0), ("half.png", 128), ("opaque.png", 255)):
        image = scene().convert("RGBA")
        image.paste((9, 9, 9, alpha), (0, 0, 10, 10))
        image.save(tmp_path / "IN" / name)
    run = Run(tmp_path / "OUT").add_cutouts(tmp_path / "IN", SegmentSettings())

    told: list[Event] = []

    run.start(listener=told.append)

    assert [one.place for one in told if "looked for as it looks on white" in one.message] == ["clear"]
    records = [path.read_text() for path in (tmp_path / "OUT" / ".sdclient").rglob("*") if path.is_file()]
    said = sum("transparent in places: objects are looked for as it looks on white" in text for text in records)
    assert said == 2


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(Image.new("RGB", (1, 1), "red"), id="one pixel"),
        pytest.param(Image.new("RGB", (300, 200), "grey"), id="nothing in it"),
        pytest.param(Image.new("RGB", (20_000, 1), "grey"), id="a thread"),
    ],
)
def test_an_image_without_objects_is_done_and_leaves_no_files(tmp_path: Path, image: Image.Image) -> None:
    (tmp_path / "IN").mkdir()
    image.save(tmp_path / "IN" / "fox.png")
    settings = SegmentSettings(outputs=("cutout", "overlay", "sheet", "ora"), cover=True, coco="rle")
    run = Run(tmp_path / "OUT").add_cutouts(tmp_path / "IN", settings)

    result = run.start()

    assert (result.counts.done, result.images) == (1, 0)
    assert not (tmp_path / "OUT" / "fox").exists()
    assert len(run.objects()) == 0


def test_an_image_twenty_thousand_pixels_wide_is_cut(tmp_path: Path) -> None:
    (tmp_path / "IN").mkdir()
    pixels = np.full((900, 20_000, 3), (205, 210, 215), np.uint8)
    pixels[250:750, 9000:11_000] = (150, 30, 30)
    Image.fromarray(pixels).save(tmp_path / "IN" / "wide.png", compress_level=1)
    run = Run(tmp_path / "OUT").add_cutouts(tmp_path / "IN", SegmentSettings(min_area_fraction=0.01))

    result = run.start()

    assert result.counts.done == 1
    (row,) = run.objects().to_dict("records")
    with Image.open(tmp_path / "OUT" / row["file"]) as cutout:
        assert cutout.size == (20_000, 900)


def test_files_that_are_no_images_are_left_out_or_set_aside_and_the_others_are_cut(cli: CommandLine) -> None:
    folder = cli.folder / "IN"
    folder.mkdir()
    scene().save(folder / "good.png")
    (folder / "text.png").write_text("no image at all")
    (folder / "cut.png").write_bytes((folder / "good.png").read_bytes()[:150])
    (folder / "empty.png").write_bytes(b"")

    ended = cli("segment", "IN", "OUT", "--model", "classical")

    assert ended.code == 1
    assert "left out: empty.png: empty" in ended.stderr
    assert "left out: text.png: no image, though its name says so" in ended.stderr
    assert "set aside: cut" in ended.stderr
    with (cli.folder / "OUT" / "objects.csv").open(encoding="utf-8", newline="") as file:
        assert {row["image"] for row in csv.DictReader(file)} == {"good.png"}


def test_a_file_of_the_users_in_the_way_stays_and_is_named(cli: CommandLine) -> None:
    (cli.folder / "IN").mkdir()
    scene().save(cli.folder / "IN" / "fox.png")
    mine = cli.folder / "OUT" / "fox" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")

    ended = cli("segment", "IN", "OUT", "--model", "classical")

    assert ended.code == 1
    assert "something of yours stands where" in ended.stderr
    assert [path.name for path in mine.parent.iterdir()] == ["mine.txt"]


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """A folder of checkpoints, none of which is any good."""
    folder = tmp_path / "weights"
    folder.mkdir()
    torch.save({"image_encoder.pos_embed": torch.zeros(1, 64, 64, 1024)}, folder / "half.pth")
    torch.save({"layer": torch.zeros(3)}, folder / "other.pth")
    (folder / "cut.pth").write_bytes((folder / "half.pth").read_bytes()[:-3000])
    (folder / "page.pth").write_text("<html>404</html>")
    return folder


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("half.pth", "does not fit vit_l"),
        ("other.pth", "no weights of Segment Anything"),
        ("cut.pth", "cut.pth"),
        ("page.pth", "page.pth"),
        ("none.pth", "there is no such file"),
    ],
)
def test_a_checkpoint_that_is_no_good_is_refused_and_enters_no_plan(
    cli: CommandLine, checkpoints: Path, name: str, words: str
) -> None:
    (cli.folder / "IN").mkdir()
    scene().save(cli.folder / "IN" / "fox.png")

    ended = cli("segment", "IN", "OUT", "--model", str(checkpoints / name))
    right = cli("segment", "IN", "OUT", "--model", "classical")

    assert ended.code == 2
    assert words in ended.stderr
    assert right.code == 0, right.stderr


def test_published_weights_of_another_type_are_refused_by_their_hash(cli: CommandLine) -> None:
    (cli.folder / "IN").mkdir()
    scene().save(cli.folder / "IN" / "fox.png")
    cache = cli.folder / "cache"
    cli.env["XDG_CACHE_HOME"] = str(cache)
    models = cache / "sdclient" / "models"
    models.mkdir(parents=True)
    torch.save({"image_encoder.pos_embed": torch.zeros(1, 64, 64, 1024)}, models / "sam_vit_b_01ec64.pth")

    ended = cli("segment", "IN", "OUT", "--model", "vit_b")

    if sys.platform == "linux":
        assert ended.code == 2
        assert "is not the published sam_vit_b_01ec64.pth" in ended.stderr


def test_a_dry_run_fetches_no_weights(cli: CommandLine) -> None:
    (cli.folder / "IN").mkdir()
    scene().save(cli.folder / "IN" / "fox.png")
    cli.env["XDG_CACHE_HOME"] = str(cli.folder / "cache")

    ended = cli("segment", "IN", "OUT", "--model", "vit_h", "--dry-run")

    assert ended.code == 0
    assert "without --dry-run this fetches sam_vit_h_4b8939.pth (2.56 GB)" in ended.stderr
    assert not (cli.folder / "OUT").exists()
    assert not (cli.folder / "cache").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the cache lies elsewhere")
def test_weights_that_cannot_be_fetched_say_what_else_helps_and_enter_no_plan(cli: CommandLine) -> None:
    (cli.folder / "IN").mkdir()
    scene().save(cli.folder / "IN" / "fox.png")
    cli.env["XDG_CACHE_HOME"] = str(cli.folder / "cache")
    with socket.socket() as taken:
        # Bound and not listening: who connects is refused, and nobody else gets the port.
        taken.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
        cli.env |= {"HTTPS_PROXY": nowhere, "https_proxy": nowhere, "NO_PROXY": "", "no_proxy": ""}

        ended = cli("segment", "IN", "OUT", "--model", "vit_b")

    assert ended.code == 2, ended.stderr
    assert "fetching sam_vit_b_01ec64.pth (375 MB) into" in ended.stderr
    assert "'classical'" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (cli.folder / "OUT" / ".sdclient").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the cache lies elsewhere")
def test_a_device_that_is_not_here_is_said_before_weights_are_fetched(cli: CommandLine) -> None:
    (cli.folder / "IN").mkdir()
    scene().save(cli.folder / "IN" / "fox.png")
    cli.env["XDG_CACHE_HOME"] = str(cli.folder / "cache")

    ended = cli("segment", "IN", "OUT", "--model", "vit_b", "--device", "quantum")

    assert ended.code == 2
    assert "no device 'quantum'" in ended.stderr
    assert "fetching" not in ended.stderr
    assert not (cli.folder / "cache").exists()


def test_without_torch_the_command_says_what_to_install(cli: CommandLine, tmp_path: Path) -> None:
    (cli.folder / "IN").mkdir()
    scene().save(cli.folder / "IN" / "fox.png")
    (tmp_path / "mine.pth").write_bytes(b"x")
    code = (
        "import sys; sys.modules['torch'] = None\n"
        f"sys.argv = ['sdclient', 'segment', 'IN', 'OUT', '--model', {str(tmp_path / 'mine.pth')!r}]\n"
        "from sdclient.cli import main\nmain()"
    )

    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=cli.folder, env=cli._env(), capture_output=True, text=True, check=False
    )

    assert ended.returncode == 2
    assert "pip install 'sdclient[sam]'" in ended.stderr
    assert "Traceback" not in ended.stderr
