"""`sdclient segment` and what follows drawings, as processes: outputs, views, prompts, plug-ins, several workers."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from sdclient import Run, Txt2Img
from sdclient.segment import SegmentSettings
from sdclient.segment.settings import OUTPUTS
from sdclient.simulator import Simulator
from sdclient.steps.objects import write_object_views
from sdclient.steps.segment import SegmenterLane, SegmentSpec
from tests.conftest import CommandLine

# pycocotools 2.0.11 was built before numpy 2 asked for `copy`.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PLUGIN = '''
import numpy as np
from sdclient.segment import SegmentedObject

class Boxes:
    """Finds the left half of any image; cuts out the very boxes it is asked for."""

    name, device = "boxes", "cpu"

    def segment(self, image_rgb):
        mask = np.zeros(image_rgb.shape[:2], bool)
        mask[:, : mask.shape[1] // 2] = True
        return [SegmentedObject.from_mask(mask, score=1.0)]

    def segment_prompts(self, image_rgb, prompts):
        return [self.one(image_rgb, prompt) for prompt in prompts]

    def one(self, image_rgb, prompt):
        mask = np.zeros(image_rgb.shape[:2], bool)
        x, y, width, height = (int(side) for side in prompt.box_xywh)
        mask[y : y + height, x : x + width] = True
        return SegmentedObject.from_mask(mask, score=1.0, label=prompt.label)

def open_boxes(settings):
    return Boxes()
'''


def draw(path: Path, objects: int = 3, size: tuple[int, int] = (240, 160)) -> None:
    """Save a calm grey image with dark red squares standing apart."""
    image = np.full((size[1], size[0], 3), (205, 210, 215), np.uint8)
    for number in range(objects):
        left = 15 + number * 75
        image[50:110, left : left + 50] = (150, 30 + 10 * number, 30)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def with_plugin(cli: CommandLine) -> CommandLine:
    """A command line for which a plug-in named ``boxes`` is installed."""
    site = cli.folder / "site"
    info = site / "boxes-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "boxes_plugin.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: boxes\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sdclient.segmenters]\nboxes = boxes_plugin:open_boxes\n")
    cli.env["PYTHONPATH"] = os.pathsep.join([str(site), *filter(None, sys.path)])
    return cli


def test_every_output_is_written_and_listed_and_nothing_is_done_twice(cli: CommandLine) -> None:
    draw(cli.folder / "IN" / "den" / "fox.png")
    draw(cli.folder / "IN" / "empty.png", objects=0)
    command = ("segment", "IN", "OUT", "--model", "classical", "--output", "cutout, crop,mask,overlay,sheet,ora",
               "--cover", "--coco", "--feather", "2", "--padding", "4")  # fmt: skip

    ended = cli(*command)

    out = cli.folder / "OUT"
    assert ended.code == 0, ended.stderr
    assert len(list((out / "den" / "fox").iterdir())) == 3 * 3 + 5
    assert not (out / "empty").exists()
    objects = rows(out / "objects.csv")
    assert [(one["image"], one["number"], one["file"]) for one in objects] == [
        ("den/fox.png", str(number), f"den/fox/fox_{number:02d}.png") for number in (1, 2, 3)
    ]
    coco = COCO(str(out / "coco.json"))
    assert {image["file_name"] for image in coco.loadImgs(coco.getImgIds())} == {"den/fox.png", "empty.png"}
    for annotation, row in zip(coco.loadAnns(coco.getAnnIds()), objects, strict=True):
        assert int(coco.annToMask(annotation).sum()) == int(row["area_px"])
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.suffix in (".png", ".json", ".ora")}

    again = cli(*command)

    assert again.code == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_the_first_image_says_what_the_others_will_take(cli: CommandLine) -> None:
    for number in range(3):
        draw(cli.folder / "IN" / f"{number}.png")

    ended = cli("segment", "IN", "OUT", "--model", "classical")

    assert ended.code == 0, ended.stderr
    assert "the first image has 3 objects: 4 files" in ended.stderr
    assert "2 more like it take about" in ended.stderr
    assert "3 of 3 jobs done, 3 of them now" in ended.stderr


def test_cut_outs_beside_drawings_that_are_left_to_do_are_made_with_them(cli: CommandLine, a1111: Simulator) -> None:
    draw(cli.folder / "A" / "fox.png")
    for number in range(2):
        draw(cli.folder / "IN" / f"{number}.png")
    cli.env["SDCLIENT_URL"] = a1111.url
    cli("upscale", "A", "OUT", "--payload", "bake", "--set", "inherit=true", "--size", "source", "--limit", "0")

    ended = cli("segment", "IN", "OUT", "--model", "classical")

    assert ended.code == 0, ended.stderr
    assert "3 of 3 jobs done, 3 of them now" in ended.stderr


def test_a_program_is_told_of_the_first_image_as_an_event(cli: CommandLine) -> None:
    for number in range(2):
        draw(cli.folder / "IN" / f"{number}.png")

    ended = cli("segment", "IN", "OUT", "--model", "classical", "--json")

    events = [json.loads(line) for line in ended.stdout.splitlines()]
    (first,) = [event for event in events if event["event"] == "first_image"]
    assert (first["objects"], first["files"]) == (3, 4)
    assert first["estimated_bytes"] == first["size_bytes"]
    assert events[-1]["done"] == 2


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
@pytest.mark.parametrize(("answer", "done"), [("n", 1), ("y", 3), ("\x04", 1)], ids=["no", "yes", "end of input"])
def test_a_person_is_asked_after_the_first_image(cli: CommandLine, answer: str, done: int) -> None:
    import pty

    for number in range(3):
        draw(cli.folder / "IN" / f"{number}.png")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sdclient", "segment", "IN", "OUT", "--model", "classical"]
    with subprocess.Popen(
        command, cwd=cli.folder, env=cli._env(), stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        said = b""
        while b"Go on?" not in said:
            said += os.read(ours, 1000)
        os.write(ours, answer.encode() + b"\n")
        # A terminal that nobody reads from fills up.
        try:
            while os.read(ours, 1000):
                pass
        except OSError:
            pass
    os.close(ours)

    assert process.returncode == 0
    status = json.loads(cli("status", "OUT", "--json").stdout)
    assert (status["done"], status["waiting"]) == (done, 3 - done)


def test_limit_counts_the_first_image_too(cli: CommandLine) -> None:
    for number in range(4):
        draw(cli.folder / "IN" / f"{number}.png")

    ended = cli("segment", "IN", "OUT", "--model", "classical", "--limit", "2")

    assert "2 of 4 jobs done, 2 of them now" in ended.stderr


def test_boxes_are_cut_out_image_by_image(with_plugin: CommandLine) -> None:
    folder = with_plugin.folder
    for name in ("fox.png", "den/cub.png", "without.png"):
        draw(folder / "IN" / name)
    (folder / "boxes.csv").write_text(
        "image,name,x,y,width,height\nfox.png,head,10,20,30,40\nfox.png,tail,100,20,5,6\nden/cub.png,,1,2,3,4\n"
    )

    ended = with_plugin("segment", "IN", "OUT", "--model", "boxes", "--prompts", "boxes.csv", "--max-area", "0.01")

    assert ended.code == 0, ended.stderr
    assert "1 of 3 images: there are no prompts for them" in ended.stderr
    found = {
        (one["file"], one["label"], one["x_px"], one["y_px"], one["width_px"], one["height_px"])
        for one in rows(folder / "OUT" / "objects.csv")
    }
    assert found == {
        ("fox/fox_01_head.png", "head", "10", "20", "30", "40"),
        ("fox/fox_02_tail.png", "tail", "100", "20", "5", "6"),
        ("den/cub/cub_01.png", "", "1", "2", "3", "4"),
    }


def test_a_study_is_cut_out_by_a_plug_in_as_any_folder_is(with_plugin: CommandLine, draw_things: Simulator) -> None:
    (with_plugin.folder / "queue.csv").write_text("nation,category,count\nItalian,family,1\n")

    ended = with_plugin("nations", "--plan", "queue.csv", "--cutouts", "boxes", "--out", "STUDY", "--dry-run",
                        "--url", draw_things.url)  # fmt: skip

    assert ended.code == 0, ended.stderr
    assert re.search(r"^  boxes +boxes +segment$", ended.stderr, re.MULTILINE)


def test_prompts_outside_their_images_are_refused_before_anything_is_planned(with_plugin: CommandLine) -> None:
    folder = with_plugin.folder
    for name in ("fox", "cub", "hen", "owl", "cat"):
        draw(folder / "IN" / f"{name}.png")
    # As tall as a phone's image that lies on its side, which its header does not say.
    inside = [{"box_xywh": [100, 150, 60, 90]}]
    outside = [{"box_xywh": [0, 0, 9, 9]}, {"box_xywh": [200, 0, 100, 10]}]
    asked = {"cat.png": inside} | {f"{name}.png": outside for name in ("fox", "cub", "hen", "owl")}
    (folder / "boxes.json").write_text(json.dumps(asked))

    ended = with_plugin("segment", "IN", "OUT", "--model", "boxes", "--prompts", "boxes.json")

    assert ended.code == 2
    assert (
        "IN: prompts lie outside their images: prompt 2 of cub.png (240 x 160 px), prompt 2 of fox.png (240 x 160 px), "
        "prompt 2 of hen.png (240 x 160 px) and 1 more: give places in pixels of each image"
    ) in ended.stderr
    assert not (folder / "OUT").exists()


def test_a_prompt_outside_an_image_that_is_turned_sets_it_aside_and_says_why(with_plugin: CommandLine) -> None:
    draw(with_plugin.folder / "IN" / "fox.png")
    draw(with_plugin.folder / "IN" / "good.png")
    asked = {"fox.png": [{"box_xywh": [100, 150, 60, 90]}], "good.png": [{"box_xywh": [10, 10, 60, 90]}]}
    (with_plugin.folder / "boxes.json").write_text(json.dumps(asked))

    ended = with_plugin("segment", "IN", "OUT", "--model", "boxes", "--prompts", "boxes.json")

    assert ended.code == 1
    assert "outside the image of 240 x 160 px" in ended.stderr
    assert (with_plugin.folder / "OUT" / "good" / "good_01.png").is_file()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        pytest.param(("--prompts", "boxes.csv"), "prompts for other.png, and no such image", id="image not there"),
        pytest.param(("--prompts", "boxes.csv", "--words", "fox"), "both say what to cut out", id="words and prompts"),
        pytest.param(("--output", "cutout,psd"), "outputs must be out of cutout, crop", id="unknown output"),
        pytest.param(("--output", ""), "outputs is empty", id="no output"),
        pytest.param(("--words", ""), "words is empty", id="no words"),
        pytest.param(("--words", ", "), "words is empty", id="a comma for words"),
        pytest.param(("--words", "fox=x"), "threshold of 'fox=x'", id="threshold"),
        pytest.param(("--model", "nobody"), "there is no such file", id="unknown model"),
        pytest.param(("--min-area", "0.5", "--max-area", "0.1"), "no object would be kept", id="areas crossed"),
    ],
)
def test_a_slip_is_refused_before_anything_is_planned(
    with_plugin: CommandLine, args: tuple[str, ...], words: str
) -> None:
    draw(with_plugin.folder / "IN" / "fox.png")
    (with_plugin.folder / "boxes.csv").write_text("image,x,y,width,height\nother.png,10,20,30,40\n")

    ended = with_plugin("segment", "IN", "OUT", *(() if "--model" in args else ("--model", "boxes")), *args)
    right = with_plugin("segment", "IN", "OUT", "--model", "boxes")

    assert ended.code == 2
    assert words in ended.stderr
    assert right.code == 0, right.stderr


def test_a_run_that_was_killed_goes_on_and_cuts_nothing_twice(cli: CommandLine) -> None:
    for number in range(8):
        draw(cli.folder / "IN" / f"{number}.png")
    out = cli.folder / "OUT"
    command = [sys.executable, "-m", "sdclient", "segment", "IN", "OUT", "--model", "classical"]
    with subprocess.Popen(
        command, cwd=cli.folder, env=cli._env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 60
        while not any(out.glob("*/*.png")) and time.monotonic() < deadline:
            assert process.poll() is None
        process.kill()
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*.png")}

    ended = cli("segment", "IN", "OUT", "--model", "classical")

    assert ended.code == 0, ended.stderr
    assert before
    assert {path: path.stat().st_mtime_ns for path in before} == before
    found = rows(out / "objects.csv")
    assert len(found) == len({(one["image"], one["number"]) for one in found}) == 3 * 8
    assert all((out / one["file"]).is_file() for one in found)


def test_two_workers_share_the_images(cli: CommandLine) -> None:
    for number in range(6):
        draw(cli.folder / "IN" / f"{number}.png", objects=1 + number % 3)
    command = ("segment", "IN", "OUT", "--model", "classical", "--coco")

    with cli.start(*command) as one, cli.start(*command) as two:
        results = [process.communicate(timeout=120) for process in (one, two)]

    assert (one.returncode, two.returncode) == (0, 0), results
    status = json.loads(cli("status", "OUT", "--json").stdout)
    assert (status["done"], status["jobs"]) == (6, 6)
    assert len(rows(cli.folder / "OUT" / "objects.csv")) == 12
    assert len(COCO(str(cli.folder / "OUT" / "coco.json")).getAnnIds()) == 12


def test_tables_of_a_run_that_is_all_done_are_made_whole_by_the_same_command(cli: CommandLine) -> None:
    """Its last worker may have been killed before it wrote them."""
    for name in ("a", "b"):
        draw(cli.folder / "IN" / f"{name}.png")
    command = ("segment", "IN", "OUT", "--model", "classical", "--coco")
    cli(*command)
    tables = [cli.folder / "OUT" / name for name in ("objects.csv", "coco.json", "images.csv", "attempts.csv")]
    before = [table.read_bytes() for table in tables]
    for table in tables:
        table.unlink()

    dry = cli(*command, "--dry-run")
    there = [table.exists() for table in tables]
    ended = cli(*command)

    assert (dry.code, ended.code) == (0, 0)
    assert not any(there)
    assert [table.read_bytes() for table in tables] == before


def test_a_table_of_the_users_keeps_only_its_own_place_and_the_words_lead_on(cli: CommandLine) -> None:
    draw(cli.folder / "IN" / "a.png", objects=2)
    command = ("segment", "IN", "OUT", "--model", "classical", "--coco")
    (cli.folder / "OUT").mkdir()
    mine = cli.folder / "OUT" / "objects.csv"
    mine.write_text("mine")

    first = cli(*command)
    kept = mine.read_text()
    mine.rename(mine.with_name("mine.csv"))
    again = cli(*command)

    assert "objects.csv was not written anew" in first.stderr
    assert "rename it, and the same command writes its own" in first.stderr
    assert kept == "mine"
    assert len(COCO(str(cli.folder / "OUT" / "coco.json")).getAnnIds()) == 2
    assert again.code == 0
    assert len(rows(mine)) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="the cache lies elsewhere")
def test_a_dry_run_of_a_drawing_says_which_weights_its_cutouts_would_fetch(cli: CommandLine, a1111: Simulator) -> None:
    (cli.folder / "prompts.csv").write_text("prompt,name\nan Italian family,a\n")
    cli.env["XDG_CACHE_HOME"] = str(cli.folder / "cache")
    then = ("--then", "segment", "--cutouts-model", "vit_b", "--dry-run")

    ended = cli("generate", "prompts.csv", "--out", "OUT", "--url", a1111.url, "--set", "steps=2", *then)

    assert ended.code == 0, ended.stderr
    assert "without --dry-run this fetches sam_vit_b_01ec64.pth (375 MB)" in ended.stderr
    assert not (cli.folder / "cache").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the cache lies elsewhere")
def test_a_dry_run_of_a_drawing_tells_cutouts_that_are_planned_otherwise_before_their_weights(
    cli: CommandLine, a1111: Simulator
) -> None:
    (cli.folder / "prompts.csv").write_text("prompt,name\nan Italian family,a\n")
    cli.env["XDG_CACHE_HOME"] = str(cli.folder / "cache")
    small = ("--set", "width=64", "--set", "height=64", "--set", "steps=1", "--then", "segment", "--cutouts-model")
    drawing = ("generate", "prompts.csv", "--out", "OUT", "--url", a1111.url, *small)
    begun = cli(*drawing, "classical")

    otherwise = cli(*drawing, "vit_b", "--dry-run")
    anew = cli(*drawing, "vit_b", "--dry-run", "--redo-changed")

    assert (begun.code, otherwise.code, anew.code) == (0, 2, 0), anew.stderr
    assert "planned otherwise in this folder" in otherwise.stderr
    assert "weights" not in otherwise.stderr
    assert "without --dry-run this fetches sam_vit_b_01ec64.pth (375 MB)" in anew.stderr


@pytest.mark.parametrize("command", ["generate", "upscale"])
def test_drawings_are_cut_up_in_the_same_run(cli: CommandLine, a1111: Simulator, command: str) -> None:
    (cli.folder / "prompts.csv").write_text("prompt,name,batch_size\nan Italian family,a,1\nan Irish family,b,2\n")
    small = ("--set", "width=256", "--set", "height=256", "--url", a1111.url)
    then = ("--then", "segment", "--cutouts-model", "classical")
    if command == "generate":
        args = ("generate", "prompts.csv", "--out", "OUT", *small, "--set", "steps=2", *then)
        places = {"cutouts/a_1", "cutouts/b_1", "cutouts/b_2"}
    else:
        draw(cli.folder / "IN" / "fox.png", size=(256, 256))
        args = ("upscale", "IN", "OUT", "--payload", "bake", *small, "--set", "steps=2", *then)
        places = {"cutouts/fox_upscaled_1"}

    ended = cli(*args)
    again = cli(*args)

    assert ended.code == again.code == 0, ended.stderr + again.stderr
    jobs = Run.open(cli.folder / "OUT").jobs()
    assert {job.place for job in jobs if job.kind == "segment"} == places
    assert "0 of them now" not in ended.stderr
    listed = rows(cli.folder / "OUT" / "objects.csv")
    assert {one["file"].rpartition("/")[0] for one in listed} <= places
    assert all((cli.folder / "OUT" / one["image"]).is_file() for one in listed)


def test_the_segmenter_works_while_the_server_paints(cli: CommandLine) -> None:
    (cli.folder / "prompts.txt").write_text("a fox\na cub\na hen\nan owl\n")
    small = ("--set", "width=64", "--set", "height=64", "--set", "steps=1")
    with Simulator("a1111", delay_s=1) as server:
        then = ("--then", "segment", "--cutouts-model", "classical")

        ended = cli("generate", "prompts.txt", "--out", "OUT", *small, "--url", server.url, *then)

    assert ended.code == 0, ended.stderr
    started = sorted((one["started"], one["kind"]) for one in rows(cli.folder / "OUT" / "attempts.csv"))
    kinds = [kind for _, kind in started]
    assert kinds.count("segment") == kinds.count("txt2img") == 4
    assert "txt2img" in kinds[kinds.index("segment") :]


def test_what_a_segmenter_does_about_too_little_memory_is_told_and_recorded(with_plugin: CommandLine) -> None:
    plugin = with_plugin.folder / "site" / "boxes_plugin.py"
    told = "boxes: cuda ran out of memory: on the cpu from here on, which is slower"
    logged = f"import logging\n    logging.getLogger('sdclient.segment.sam').warning({told!r})"
    plugin.write_text(
        PLUGIN.replace('"cpu"\n', f'"cpu"\n    remarks = [{told!r}]\n', 1).replace(
            "def open_boxes(settings):", f"def open_boxes(settings):\n    {logged}"
        )
    )
    draw(with_plugin.folder / "IN" / "fox.png")

    ended = with_plugin("segment", "IN", "OUT", "--model", "boxes")

    assert ended.code == 0, ended.stderr
    assert ended.stderr.count(told) == 1
    (record,) = Run.open(with_plugin.folder / "OUT").folder.records()
    assert record.facts["remarks"] == [told]


def test_then_segment_needs_a_model(cli: CommandLine, a1111: Simulator) -> None:
    (cli.folder / "prompts.txt").write_text("a fox\n")

    ended = cli("generate", "prompts.txt", "--out", "OUT", "--url", a1111.url, "--then", "segment")

    assert ended.code == 2
    assert "--cutouts-model" in ended.stderr


def test_drawings_are_cut_up_as_the_segment_command_can(cli: CommandLine, a1111: Simulator) -> None:
    (cli.folder / "prompts.txt").write_text("an Italian family\n")
    small = ("--set", "width=256", "--set", "height=256", "--set", "steps=2", "--url", a1111.url)
    then = ("--then", "segment", "--cutouts-model", "classical")
    sets = ("--cutouts-set", "output=crop,mask", "--cutouts-set", "top=1", "--cutouts-set", "coco=yes")

    ended = cli("generate", "prompts.txt", "--out", "OUT", *small, *then, *sets)
    again = cli("generate", "prompts.txt", "--out", "OUT", *small, *then, "--cutouts-set", "top=2")

    assert ended.code == 0, ended.stderr
    made = {path.name.rpartition("_")[2] for path in (cli.folder / "OUT" / "cutouts").rglob("*.png")}
    assert made == {"crop.png", "mask.png"}
    assert len(COCO(str(cli.folder / "OUT" / "coco.json")).getAnnIds()) == 1
    assert again.code == 2
    assert "top_n 1, now 2" in again.stderr


def test_how_drawings_are_cut_is_refused_where_nothing_is_cut_or_it_is_no_option(
    cli: CommandLine, a1111: Simulator
) -> None:
    (cli.folder / "prompts.txt").write_text("a fox\n")

    lone = cli("generate", "prompts.txt", "--out", "OUT", "--url", a1111.url, "--cutouts-set", "top=5")
    then = ("--then", "segment", "--cutouts-model", "classical", "--cutouts-set", "tops=5")
    slip = cli("generate", "prompts.txt", "--out", "OUT", "--url", a1111.url, *then)

    assert (lone.code, slip.code) == (2, 2)
    assert "give --then segment --cutouts-model MODEL too" in lone.stderr
    assert "did you mean top?" in slip.stderr
    assert not list((cli.folder / "OUT").rglob("*.png"))


def test_a_run_goes_on_with_another_device_and_batch_for_they_are_each_machines_own(cli: CommandLine) -> None:
    draw(cli.folder / "IN" / "a.png")
    draw(cli.folder / "IN" / "b.png")
    segment = ("segment", "IN", "OUT", "--model", "classical")

    begun = cli(*segment, "--device", "cpu", "--points-per-batch", "16", "--limit", "1")
    ended = cli(*segment)
    elsewhere = cli("join", "OUT", "--device", "quantum")

    assert (begun.code, ended.code) == (0, 0), ended.stderr
    assert "2 of 2 jobs done, 1 of them now" in ended.stderr
    assert elsewhere.code == 0, "nothing is left to cut, so nothing is opened"


def test_a_plan_leaves_model_path_device_and_batch_to_the_machine_that_cuts(tmp_path: Path) -> None:
    draw(tmp_path / "IN" / "fox.png")
    settings = SegmentSettings(model="/here/mine.pth", device="cuda:1", points_per_batch=8, points_per_side=4)

    run = Run(tmp_path / "OUT").add_cutouts(tmp_path / "IN", settings)
    (spec,) = run.folder.read_plan().specs.values()

    assert run.segment_settings() == settings
    assert SegmentSpec.from_json(spec).settings == SegmentSettings(model="mine.pth", points_per_side=4)


def test_a_batch_of_its_own_makes_a_machine_open_no_second_model(tmp_path: Path) -> None:
    draw(tmp_path / "IN" / "fox.png")
    settings = SegmentSettings(points_per_batch=8)
    run = Run(tmp_path / "OUT").add_cutouts(tmp_path / "IN", settings)
    lane = SegmenterLane(settings)
    opened = lane._segmenter_for(settings)

    (spec,) = run.folder.read_plan().specs.values()

    assert lane._segmenter_for(SegmentSpec.from_json(spec).settings) is opened


def test_prompts_for_a_segmenter_that_takes_none_are_refused_before_anything_is_planned(cli: CommandLine) -> None:
    draw(cli.folder / "IN" / "fox.png", objects=1)
    (cli.folder / "boxes.csv").write_text("image,x,y,width,height\nfox.png,10,40,60,60\n")

    refused = cli("segment", "IN", "OUT", "--model", "classical", "--prompts", "boxes.csv")
    without = cli("segment", "IN", "OUT", "--model", "classical")

    assert refused.code == 2
    assert "classical takes no boxes and points" in refused.stderr
    assert without.code == 0, "nothing stands in its way"


def test_one_object_is_one_object_in_words(cli: CommandLine) -> None:
    for name in ("a", "b"):
        draw(cli.folder / "IN" / f"{name}.png", objects=1)

    ended = cli("segment", "IN", "OUT", "--model", "classical")

    assert "the first image has 1 object: 2 files" in ended.stderr


def test_redoing_an_image_replaces_its_cutouts_and_its_rows(cli: CommandLine) -> None:
    draw(cli.folder / "IN" / "fox.png", objects=3)
    cli("segment", "IN", "OUT", "--model", "classical", "--coco")
    draw(cli.folder / "IN" / "fox.png", objects=2)
    run = Run.open(cli.folder / "OUT")

    run.redo("fox")
    result = run.start()

    assert (result.made, result.problems) == (1, ())
    assert sorted(path.name for path in (cli.folder / "OUT" / "fox").iterdir()) == [
        "fox_01.png",
        "fox_02.png",
        "objects.json",
    ]
    assert list(run.objects()["number"]) == [1, 2]
    assert len(COCO(str(cli.folder / "OUT" / "coco.json")).getAnnIds()) == 2


def test_whatever_a_cut_writes_verifies_as_sound(tmp_path: Path) -> None:
    draw(tmp_path / "IN" / "fox.png")
    run = Run(tmp_path / "OUT").add_cutouts(tmp_path / "IN", SegmentSettings(model="classical", outputs=OUTPUTS))
    run.start()

    assert len(list((run.out / "fox").glob("*.ora"))) == 1
    assert run.verify() == []


def test_two_settings_in_one_run_are_each_cut_their_own_way(tmp_path: Path) -> None:
    draw(tmp_path / "A" / "fox.png")
    draw(tmp_path / "B" / "fox.png")
    run = Run(tmp_path / "OUT")
    run.add_cutouts(tmp_path / "A", SegmentSettings(top_n=1, outputs=("mask",)), into="a")
    run.add_cutouts(tmp_path / "B", SegmentSettings(points_per_side=8, coco="polygons"), into="b")

    result = run.start()

    assert result.made == 2
    assert sorted(path.name for path in (tmp_path / "OUT" / "a" / "fox").iterdir()) == [
        "fox_01_mask.png",
        "objects.json",
    ]
    assert len(run.objects()) == 4
    first = json.loads((tmp_path / "OUT" / "coco.json").read_text())["annotations"][0]
    assert isinstance(first["segmentation"], list)


def test_a_cutout_list_that_was_taken_away_is_told_and_the_rest_is_written(tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw(tmp_path / "IN" / f"{name}.png")
    run = Run(tmp_path / "OUT").add_cutouts(tmp_path / "IN", SegmentSettings(coco="rle"))
    run.start()
    coco = tmp_path / "OUT" / "coco.json"
    coco.unlink()
    (tmp_path / "OUT" / "a" / "objects.json").unlink()

    problems = run.write_views()

    assert any("a.png is missing in it" in text for text in problems)
    assert [image["file_name"] for image in json.loads(coco.read_text())["images"]] == ["b.png"]
    # It was not complete, so the next look tries again.
    assert len(run.write_views()) == len(problems)


def test_a_run_without_cutouts_has_no_list_of_objects(tmp_path: Path) -> None:
    run = Run(tmp_path / "OUT").add(["a red fox"], Txt2Img())

    assert write_object_views(run.folder) == []
    assert not (tmp_path / "OUT" / "objects.csv").exists()
