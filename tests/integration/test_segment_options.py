"""Options of `sdclient segment` that make no sense here, and photographs as they come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdclient import Run
from sdclient.segment import ClassicalSegmenter, SegmentSettings
from sdclient.simulator import Simulator
from tests.conftest import CommandLine


@pytest.fixture
def desk(cli: CommandLine) -> CommandLine:
    """A command line in a folder with one image, a list of one prompt and a queue of one nation."""
    pixels = np.full((90, 120, 3), (205, 210, 215), np.uint8)
    pixels[20:60, 20:60] = (150, 30, 30)
    (cli.folder / "IN").mkdir()
    Image.fromarray(pixels).save(cli.folder / "IN" / "fox.png")
    (cli.folder / "prompts.txt").write_text("a fox\n")
    (cli.folder / "queue.csv").write_text("nation,category,count\nItalian,family,1\n")
    return cli


@pytest.mark.parametrize(
    "words",
    [
        "segment IN OUT --model classical --device cpu",
        "generate prompts.txt --out OUT --then segment --cutouts-model classical --cutouts-set device=cpu",
        "upscale IN OUT --payload bake --then segment --cutouts-model classical --cutouts-set device=cpu",
        "nations --plan queue.csv --out OUT --cutouts classical --cutouts-set device=cpu",
    ],
    ids=lambda text: str(text).split(maxsplit=1)[0],
)
def test_a_device_is_refused_where_other_machines_cut(desk: CommandLine, words: str) -> None:
    ended = desk(*words.split(), "--engine", "ray")

    assert ended.code == 2
    assert "--device cpu is about this machine: with --engine ray say --gpu-share" in ended.stderr
    assert not (desk.folder / "OUT" / ".sdclient" / "plan").exists()


def test_whoever_joins_on_a_cluster_names_no_device_either(desk: CommandLine) -> None:
    begun = desk("segment", "IN", "OUT", "--model", "classical", "--limit", "0")

    ended = desk("join", "OUT", "--engine", "ray", "--device", "cpu")

    assert begun.code in (0, 3), begun.stderr
    assert ended.code == 2
    assert "--device cpu is about this machine" in ended.stderr


def test_segment_offers_nothing_that_is_about_servers(desk: CommandLine) -> None:
    told = desk("segment", "--help").stdout

    ended = desk("segment", "IN", "OUT", "--model", "classical", "--strict")

    assert [word for word in ("--dialect", "--strict", "--allow-mixed", "--url") if word in told] == []
    assert "--engine" in told
    assert ended.code == 2
    assert "No such option" in ended.stderr
    assert desk("segment", "IN", "OUT", "--model", "classical").code == 0


def test_half_precision_of_no_model_is_refused_and_enters_no_plan(desk: CommandLine) -> None:
    ended = desk("segment", "IN", "OUT", "--model", "classical", "--half")

    assert ended.code == 2
    assert "half precision is for Segment Anything's models: leave it out with words" in ended.stderr
    assert not (desk.folder / "OUT").exists()


@pytest.mark.parametrize(
    "again", ["segment IN OUT --model vit_b", "THEN --cutouts-model vit_b"], ids=["segment", "then"]
)
def test_what_is_planned_otherwise_is_said_before_weights_are_fetched(
    desk: CommandLine, a1111: Simulator, again: str
) -> None:
    then = f"generate prompts.txt --out OUT --url {a1111.url} --set steps=1 --limit 0 --then segment"
    begun = "segment IN OUT --model classical --limit 0" if "THEN" not in again else f"{then} --cutouts-model classical"
    desk(*begun.split())

    ended = desk(*again.replace("THEN", then).split())

    assert ended.code == 2
    assert 'model "classical", now "vit_b"' in ended.stderr
    assert "fetching" not in ended.stderr


@pytest.mark.parametrize(
    "again", ["segment IN OUT --model vit_q", "THEN --cutouts-model vit_q"], ids=["segment", "then"]
)
def test_a_model_that_is_nowhere_is_named_where_it_was_planned_otherwise(
    desk: CommandLine, a1111: Simulator, again: str
) -> None:
    then = f"generate prompts.txt --out OUT --url {a1111.url} --set steps=1 --limit 0 --then segment"
    begun = "segment IN OUT --model classical --limit 0" if "THEN" not in again else f"{then} --cutouts-model classical"
    desk(*begun.split())

    ended = desk(*again.replace("THEN", then).split())

    assert ended.code == 2
    assert "segmentation model 'vit_q': there is no such file" in ended.stderr
    assert "--redo-changed" not in ended.stderr


@pytest.mark.parametrize(
    ("words", "what_to_do"),
    [
        ("segment IN/fox.png OUT --model classical", "put a single image into a folder of its own"),
        ("upscale IN/fox.png OUT --payload bake", "sdclient img2img draws over a single image"),
    ],
    ids=["segment", "upscale"],
)
def test_a_file_in_place_of_a_folder_is_refused_with_what_to_do(desk: CommandLine, words: str, what_to_do: str) -> None:
    ended = desk(*words.split())

    assert ended.code == 2
    assert f"IN/fox.png: a file, and a folder of images is needed; {what_to_do}" in " ".join(ended.stderr.split())
    assert not (desk.folder / "OUT").exists()


def test_an_option_of_no_plugin_is_refused_and_enters_no_plan(desk: CommandLine) -> None:
    ended = desk("segment", "IN", "OUT", "--model", "classical", "--option", "a=b")

    assert ended.code == 2
    assert "options such as 'a=b' are for plug-ins: leave them out with the classical segmenter" in ended.stderr
    assert not (desk.folder / "OUT").exists()


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (("vit_b",), "leave them out with Segment Anything's models, which take points_per_side"),
        (("mine.PTH",), "leave them out with Segment Anything's models, which take points_per_side"),
        (("mine",), "leave them out with Segment Anything's models, which take points_per_side"),
        (("MODELS", "--words", "hair"), "leave them out with words, which take a threshold each, as in hair=0.2"),
    ],
    ids=["by name", "a checkpoint", "a file", "words"],
)
def test_options_of_models_that_take_none_are_refused_and_enter_no_plan(
    desk: CommandLine, model: tuple[str, ...], told: str
) -> None:
    (desk.folder / "mine").write_bytes(b"a checkpoint without an ending")

    ended = desk("segment", "IN", "OUT", "--option", "points=5", "--model", *model)

    assert ended.code == 2
    assert f"options such as 'points=5' are for plug-ins: {told}" in " ".join(ended.stderr.split())
    assert not (desk.folder / "OUT").exists()


@pytest.mark.parametrize("model", ["vit_b", "classical"])
@pytest.mark.parametrize(
    "words",
    [
        "segment IN OUT --words person --model MODEL",
        "generate prompts.txt --out OUT --then segment --cutouts-model MODEL --cutouts-set words=person",
        "nations --plan queue.csv --out OUT --cutouts MODEL --cutouts-set words=person",
    ],
    ids=lambda text: str(text).split(maxsplit=1)[0],
)
def test_words_with_a_model_that_knows_none_are_refused_and_nothing_is_fetched_for_them(
    desk: CommandLine, a1111: Simulator, words: str, model: str
) -> None:
    # Nobody listens there: weights that are asked for cannot be had.
    desk.env = dict.fromkeys(("HTTPS_PROXY", "https_proxy"), "http://127.0.0.1:9")
    server = () if words.startswith("segment") else ("--url", a1111.url)

    ended = desk(*words.replace("MODEL", model).split(), *server)

    assert ended.code == 2
    assert f"cutting out by words takes the folder of its two models, not '{model}'" in ended.stderr
    assert "fetching" not in ended.stderr
    assert not (desk.folder / "OUT" / ".sdclient" / "plan").exists()


def test_a_study_is_cut_in_half_precision_where_its_model_can(desk: CommandLine, a1111: Simulator) -> None:
    study = ("nations", "--plan", "queue.csv", "--out", "OUT", "--url", a1111.url, "--cutouts-set", "half=yes")

    can = desk(*study, "--cutouts", "vit_b", "--dry-run")
    cannot = desk(*study, "--cutouts", "classical", "--dry-run")

    assert can.code == 0, can.stderr
    assert cannot.code == 2
    assert "half precision is for Segment Anything's models" in cannot.stderr


def test_a_plan_says_whether_it_is_cut_in_half_precision(desk: CommandLine, tmp_path: Path) -> None:
    for name, half in (("half", True), ("full", False)):
        Run(tmp_path / name).add_cutouts(desk.folder / "IN", SegmentSettings(model="vit_b", half=half)).save()

    written = {
        name: "".join(path.read_text() for path in (tmp_path / name).rglob("*.jsonl")) for name in ("half", "full")
    }
    assert '"half"' in written["half"]
    assert '"half"' not in written["full"]


@pytest.mark.parametrize(
    ("name", "inside_xy", "outside_xy"),
    [
        ("astronaut", [(220, 100), (200, 350)], [(300, 60), (20, 250)]),
        ("coffee", [(300, 120), (200, 250)], [(30, 100), (560, 60)]),
        ("rocket", [(320, 200), (320, 380)], [(200, 60), (500, 60)]),
    ],
)
def test_the_main_thing_of_a_photograph_is_cut_out(
    name: str, inside_xy: list[tuple[int, int]], outside_xy: list[tuple[int, int]]
) -> None:
    data = pytest.importorskip("skimage.data", reason="public-domain photographs come with scikit-image")
    image: np.ndarray = getattr(data, name)()

    largest = max(ClassicalSegmenter().segment(image), key=lambda item: item.area_px).mask_hw

    assert all(largest[y, x] for x, y in inside_xy)
    assert not any(largest[y, x] for x, y in outside_xy)
