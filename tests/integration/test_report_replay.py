"""Making images again on simulated servers: equal where the request is the same, measured where it is not."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from sdclient.client import Client
from sdclient.errors import ConfigurationError
from sdclient.images import splice_text
from sdclient.provenance import find_origin, replay
from sdclient.provenance.replay import recorded_server
from sdclient.run import Run
from sdclient.schemas import Img2Img, Refiner, Txt2Img
from sdclient.simulator import Simulator
from tests.conftest import CommandLine

REQUEST = Txt2Img(steps=3, width=128, height=128, inherit=True)


@pytest.fixture
def made(tmp_path: Path, draw_things: Simulator) -> Path:
    """A run with one generated image, and one drawn over a file."""
    run = Run(tmp_path / "OUT", run_seed=7)
    run.add(["a red fox"], REQUEST, into="made").start(draw_things.url)
    (tmp_path / "IN").mkdir()
    source = next((tmp_path / "OUT" / "made").glob("*.png"))
    (tmp_path / "IN" / "fox.png").write_bytes(source.read_bytes())
    run.add_folder(tmp_path / "IN", Img2Img(prompt="x", steps=3, denoising_strength=0.5, inherit=True), into="baked")
    run.start(draw_things.url)
    return tmp_path / "OUT"


def image_of(out: Path, folder: str) -> Path:
    [path] = (out / folder).glob("*.png")
    return path


@pytest.mark.parametrize("folder", ["made", "baked"])
def test_the_same_request_makes_the_same_pixels(made: Path, draw_things: Simulator, folder: str) -> None:
    result = replay(find_origin(image_of(made, folder)), Client(draw_things.url))

    assert result.pixels.is_equal
    assert result.sent == ()
    assert result.notes == ()


def test_nothing_in_the_run_folder_is_touched(made: Path, draw_things: Simulator) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in made.rglob("*"))

    replay(find_origin(image_of(made, "made")), Client(draw_things.url))

    assert sorted((path, path.stat().st_mtime_ns) for path in made.rglob("*")) == before


def test_an_input_that_was_replaced_is_told(made: Path, draw_things: Simulator) -> None:
    source = made.parent / "IN" / "fox.png"
    source.write_bytes(image_of(made, "baked").read_bytes())

    result = replay(find_origin(image_of(made, "baked")), Client(draw_things.url))

    assert not result.pixels.is_equal
    assert "the image it was drawn over is another one now" in result.notes


def test_an_input_that_moved_can_be_named(made: Path, draw_things: Simulator) -> None:
    (made.parent / "IN").rename(made.parent / "MOVED")
    origin = find_origin(image_of(made, "baked"))

    with pytest.raises(ConfigurationError, match="say where with --in"):
        replay(origin, Client(draw_things.url))
    assert replay(origin, Client(draw_things.url), inputs=made.parent / "MOVED").pixels.is_equal


def test_an_image_outside_its_run_is_made_by_its_own_metadata(
    made: Path, draw_things: Simulator, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes(image_of(made, "made").read_bytes())

    result = replay(find_origin(copy), Client(draw_things.url))

    assert result.pixels.size_b == (128, 128)
    assert result.notes[0].startswith("made from the file's own metadata")


def test_what_another_program_leaves_out_of_an_image_alone_is_told(a1111: Simulator, tmp_path: Path) -> None:
    request = REQUEST.replace(refiner=Refiner(model="sd_xl_refiner_1.0", switch_at=0.7), seed=5)
    made = Client(a1111.url).txt2img(request).image.save(tmp_path / "made.png")
    with Simulator("koboldcpp") as other:
        result = replay(find_origin(made), Client(other.url))

    assert any(note.startswith("not done as asked: ") and "refiner" in note for note in result.notes)


def test_another_program_is_named_as_the_reason(made: Path, a1111: Simulator) -> None:
    result = replay(find_origin(image_of(made, "made")), Client(a1111.url))

    assert any("made on drawthings, and now on a1111" in note for note in result.notes)


def test_a_loss_that_another_program_has_its_own_words_for_is_no_new_one(made: Path, a1111: Simulator) -> None:
    origin = find_origin(image_of(made, "made"))

    result = replay(origin, Client(a1111.url))

    assert origin.run is not None
    assert "'field': 'model', 'kind': 'inherited'" in str(origin.run.record.facts["losses"])
    assert not any("loaded" in note for note in result.notes)


def test_an_image_of_whichever_model_was_loaded_is_made_by_the_one_that_another_program_has(
    tmp_path: Path, a1111: Simulator, draw_things: Simulator
) -> None:
    run = Run(tmp_path / "OUT", run_seed=7).add(["a red fox"], REQUEST.replace(inherit=False))
    run.start(a1111.url)

    result = replay(find_origin(image_of(tmp_path, "OUT")), Client(draw_things.url))

    assert result.pixels.size_b == (128, 128)
    assert any("made on a1111, and now on drawthings" in note for note in result.notes)


def test_of_two_long_texts_the_part_that_differs_is_shown(made: Path, cli: CommandLine) -> None:
    request = Txt2Img(prompt="a fox " * 40 + "in the snow", steps=3, width=128, height=128, inherit=True)
    run = Run(cli.folder / "LONG", run_seed=7)
    url = recorded_server(find_origin(image_of(made, "made"))) or ""
    run.add([request.prompt, request.prompt.replace("snow", "rain")], request).start(url)

    ended = cli("replay", "--diff", *(str(path) for path in sorted((cli.folder / "LONG").glob("*.png"))))

    line = next(line for line in ended.stdout.splitlines() if "prompt" in line)
    assert "in the snow" in line
    assert "in the rain" in line


def test_keys_that_only_one_of_two_programs_has_are_counted_and_not_compared(made: Path, a1111: Simulator) -> None:
    result = replay(find_origin(image_of(made, "made")), Client(a1111.url))

    assert all("—" not in (one.a, one.b) for one in result.sent)
    assert any(note.endswith("that only drawthings has: not compared") for note in result.notes)


def test_the_command_asks_the_server_that_made_the_image(made: Path, cli: CommandLine) -> None:
    image = image_of(made, "made")

    ended = cli("replay", str(image), "-o", "again.png")

    assert (ended.code, ended.stdout.strip()) == (0, f"{image}: the pixels are equal")
    assert (cli.folder / "again.png").is_file()


def test_an_address_that_an_image_tells_is_never_asked(cli: CommandLine) -> None:
    with Simulator("a1111") as server:
        text = f"a fox\nSteps: 2, Seed: 7, Size: 64x64, Server: {server.url}, url: {server.url}, Model: {server.url}"
        file = io.BytesIO()
        Image.new("RGB", (64, 64), "red").save(file, "PNG")
        (cli.folder / "fox.png").write_bytes(splice_text(file.getvalue(), text))

        ended = cli("replay", "fox.png")
        asked = len(server.log)

    assert (ended.code, asked) == (2, 0)
    assert "no server is named" in ended.stderr


def test_the_command_ends_with_1_where_the_pixels_differ(made: Path, cli: CommandLine) -> None:
    source = made.parent / "IN" / "fox.png"
    source.write_bytes(image_of(made, "baked").read_bytes())

    ended = cli("replay", str(image_of(made, "baked")), "--json")

    told = json.loads(ended.stdout)
    assert (ended.code, told["equal"]) == (1, False)
    assert told["differing_percent"] > 0


def test_the_command_compares_settings(made: Path, cli: CommandLine) -> None:
    ended = cli("replay", "--diff", str(image_of(made, "made")), str(image_of(made, "baked")))
    as_json = cli("replay", "--json", "--diff", str(image_of(made, "made")), str(image_of(made, "baked")))

    assert ended.code == 0
    assert "compared: the requests as sent" in ended.stdout
    assert {"field": "(kind)", "a": "txt2img", "b": "img2img"} in json.loads(as_json.stdout)["differences"]


@pytest.mark.parametrize(
    "args", [("--diff", "{image}"), ("{image}", "{image}"), ("{image}", "-o", "{image}")], ids=["one", "two", "there"]
)
def test_the_command_refuses_what_makes_no_sense(made: Path, cli: CommandLine, args: tuple[str, ...]) -> None:
    image = str(image_of(made, "made"))

    assert cli("replay", *(arg.format(image=image) for arg in args)).code == 2
