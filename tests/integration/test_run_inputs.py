"""Folders of images as people keep them, taken in by the command line: odd files, names, orders."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from sdclient.simulator import Simulator
from tests.conftest import CommandLine

TINY = ("--payload", "bake", "--set", "width=128", "--set", "height=128", "--set", "tiled=null")


def draw(path: Path, shade: int = 128, size: tuple[int, int] = (128, 128), parameters: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngImagePlugin.PngInfo()
    if parameters:
        info.add_text("parameters", parameters)
    image = Image.linear_gradient("L").resize(size).point(lambda value: (value + shade) % 256).convert("RGB")
    image.save(path, pnginfo=info) if path.suffix.lower() == ".png" else image.save(path)
    return path


def sent(server: Simulator) -> list[dict[str, object]]:
    return [dict(one.body) for one in server.log if one.method == "POST" and isinstance(one.body, dict)]


def images(out: Path) -> dict[str, dict[str, str]]:
    with (out / "images.csv").open(encoding="utf-8", newline="") as stream:
        return {row["image"]: row for row in csv.DictReader(stream)}


def test_odd_files_are_listed_once_a_run_in_few_words(cli: CommandLine, draw_things: Simulator) -> None:
    source = cli.folder / "IN"
    draw(source / "fox.PNG")
    for name in (
        "._fox.PNG",
        "Thumbs.db",
        ".DS_Store",
        ".hidden.png",
        "empty.png",
        "notes.txt",
        "page.jpg",
        "photo.heic",
    ):
        (source / name).write_bytes(b"" if name == "empty.png" else b"x")
    words = ("upscale", "IN", "OUT", *TINY, "--url", draw_things.url)

    dry = cli(*words, "--dry-run")
    first = cli(*words)
    (source / "later.txt").write_bytes(b"x")
    # It was an image when its job was planned: taken as before.
    (source / "fox.PNG").write_bytes(b"x")
    again = cli(*words)

    told = [line for line in first.stderr.splitlines() if line.startswith("left out: ")]
    assert told == [
        "left out: ._fox.PNG, .DS_Store and Thumbs.db: kept by the operating system",
        "left out: .hidden.png: hidden",
        "left out: empty.png: empty",
        "left out: notes.txt: no image",
        "left out: page.jpg: no image, though its name says so",
        "left out: photo.heic: neither PNG, JPEG nor WebP; convert first",
    ]
    assert [line for line in dry.stderr.splitlines() if line.startswith("left out: ")] == told
    assert "left out: later.txt: no image" in again.stderr
    assert "notes.txt" not in again.stderr
    assert (first.code, again.code) == (0, 0)


@pytest.mark.parametrize(("order", "expected"), [("name", [1, 2, 10]), ("newest", [1, 10, 2])])
def test_images_are_sent_in_the_order_asked_for(
    cli: CommandLine, draw_things: Simulator, order: str, expected: list[int]
) -> None:
    for age, number in enumerate((1, 10, 2)):
        path = draw(cli.folder / "IN" / f"img{number}.png", number)
        os.utime(path, (1e9 - age, 1e9 - age))

    ended = cli("upscale", "IN", "OUT", *TINY, "--order", order, "--json", "--url", draw_things.url)

    places = [line.split('"place": "')[1].split('"')[0] for line in ended.stdout.splitlines() if '"done"' in line[:20]]
    assert places == [f"img{number}_upscaled" for number in expected]


def test_an_unknown_order_is_refused_with_those_there_are(cli: CommandLine) -> None:
    draw(cli.folder / "IN" / "a.png")

    ended = cli("upscale", "IN", "OUT", *TINY, "--order", "size")

    assert ended.code == 2
    assert "'name', 'newest', 'random'" in ended.stderr


def test_each_image_is_drawn_with_the_words_of_its_table_and_its_columns_go_along(
    cli: CommandLine, draw_things: Simulator
) -> None:
    for name in ("a.png", "it/b.png", "c.png"):
        draw(cli.folder / "IN" / name)
    (cli.folder / "table.csv").write_text(
        "image,prompt,seed,nation\na.png,a fox,7,Greek\nb.png,an owl,,Italian\n", encoding="utf-8"
    )

    ended = cli(
        "upscale", "IN", "OUT", *TINY, "--prompts", "table.csv", "--set", "prompt={nation} style, {prompt}, {folder}",
        "--dry-run", "--url", draw_things.url,
    )  # fmt: skip
    (cli.folder / "table.csv").write_text(
        "image,prompt,seed,nation\na.png,a fox,7,Greek\nb.png,an owl,,Italian\nc.png,,,Czech\n", encoding="utf-8"
    )
    full = cli(
        "upscale", "IN", "OUT", *TINY, "--prompts", "table.csv", "--set", "prompt={nation} style, {prompt}, {folder}",
        "--url", draw_things.url,
    )  # fmt: skip

    assert ended.code == 2
    assert "c.png, which has no row of its own: prompt=" in ended.stderr
    assert "names {nation}, which is not there" in ended.stderr
    assert full.code == 0, full.stderr
    rows = images(cli.folder / "OUT")
    assert {name: row["prompt"].split(", ")[0] for name, row in rows.items()} == {
        "a_upscaled_1.png": "Greek style",
        "it/b_upscaled_1.png": "Italian style",
        "c_upscaled_1.png": "Czech style",
    }
    assert rows["it/b_upscaled_1.png"]["nation"] == "Italian"
    assert rows["a_upscaled_1.png"]["seed"] == "7"
    assert {str(body["prompt"]) for body in sent(draw_things)} >= {
        "Greek style, a fox, IN",
        "Italian style, an owl, it",
    }


def test_words_beside_an_image_and_in_it_are_sent(cli: CommandLine, draw_things: Simulator) -> None:
    draw(cli.folder / "IN" / "a.png", parameters="a hare\nNegative prompt: fog\nSteps: 9, Sampler: Euler, Seed: 5")
    draw(cli.folder / "IN" / "b.png")
    (cli.folder / "IN" / "a.txt").write_text("a fox", encoding="utf-8")

    beside = cli("upscale", "IN", "OUT1", *TINY, "--prompts", "sidecar", "--url", draw_things.url)
    inside = cli(
        "upscale", "IN", "OUT2", *TINY, "--prompts", "metadata", "--set", "prompt=none", "--url", draw_things.url
    )

    assert (beside.code, inside.code) == (0, 0)
    assert "note: 1 of 2 images have no text file beside them (b.png)" in beside.stderr
    assert "a.txt" not in beside.stderr
    one, two = images(cli.folder / "OUT1"), images(cli.folder / "OUT2")
    assert one["a_upscaled_1.png"]["prompt"] == "a fox"
    a, b = two["a_upscaled_1.png"], two["b_upscaled_1.png"]
    assert (a["prompt"], a["negative_prompt"], a["seed"], b["prompt"]) == ("a hare", "fog", "5", "none")


def test_values_are_combined_one_job_each_with_names_and_columns(cli: CommandLine, draw_things: Simulator) -> None:
    draw(cli.folder / "IN" / "a.png")
    draw(cli.folder / "IN" / "b.png")
    words = (
        "upscale",
        "IN",
        "OUT",
        *TINY,
        "--vary",
        "cfg_scale=1.5,2",
        "--vary",
        "steps=4,5",
        "--url",
        draw_things.url,
    )

    dry = cli(*words, "--dry-run")
    is_untouched = not (cli.folder / "OUT").exists()
    first = cli(*words, "--limit", "3")
    rest = cli(*words)

    assert (dry.code, first.code, rest.code) == (0, 0, 0), rest.stderr
    assert is_untouched
    assert "note: 2 x 4 versions are 8 jobs" in dry.stderr
    rows = images(cli.folder / "OUT")
    assert set(rows) == {
        f"{name}_cfg_scale-{cfg}_steps-{steps}_upscaled_1.png"
        for name in "ab"
        for cfg in ("1.5", "2")
        for steps in (4, 5)
    }
    assert {row["seed"] for name, row in rows.items() if name.startswith("a_")} != {
        row["seed"] for name, row in rows.items() if name.startswith("b_")
    }
    assert len({row["seed"] for row in rows.values()}) == 2
    assert {(row["cfg_scale"], row["steps"]) for row in rows.values()} == {
        (cfg, steps) for cfg in ("1.5", "2") for steps in ("4", "5")
    }
    assert sorted((body["guidance_scale"], body["steps"]) for body in sent(draw_things)) == sorted(
        [(1.5, 4), (1.5, 5), (2, 4), (2, 5)] * 2
    )


def test_a_list_of_prompts_takes_templates_and_zipped_values(cli: CommandLine, draw_things: Simulator) -> None:
    (cli.folder / "nations.csv").write_text("nation,name\nItalian,it\nGreek,gr\n", encoding="utf-8")

    ended = cli(
        "generate", "nations.csv", "--out", "OUT", "--set", "inherit=true", "--set", "width=128", "--set", "height=128",
        "--set", "prompt={nation} family, {light} {{x}}", "--vary", "light=dawn,dusk", "--vary", "steps=4,5", "--zip",
        "--url", draw_things.url,
    )  # fmt: skip

    assert ended.code == 0, ended.stderr
    rows = images(cli.folder / "OUT")
    assert {name: (row["prompt"], row["steps"]) for name, row in rows.items()} == {
        "it_light-dawn_steps-4_1.png": ("Italian family, dawn {x}", "4"),
        "it_light-dusk_steps-5_1.png": ("Italian family, dusk {x}", "5"),
        "gr_light-dawn_steps-4_1.png": ("Greek family, dawn {x}", "4"),
        "gr_light-dusk_steps-5_1.png": ("Greek family, dusk {x}", "5"),
    }


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            ("--prompts", "nowhere.csv"),
            "nowhere.csv: no such file; write sidecar, metadata, or name a CSV or JSONL file",
        ),
        (("--set", "prompt={stemm}"), "did you mean {stem}?"),
        (("--vary", "cfg_scal=1,2"), "did you mean cfg_scale?"),
        (("--vary", "steps=1,999"), "--vary steps=999"),
        (("--vary", "steps=1,2,3", "--vary", "seed=1,2", "--max-jobs", "5"), "are 6 jobs, more than 5"),
        (("--vary", "steps=1,2,3", "--vary", "seed=1,2", "--zip"), "steps has 3, seed has 2"),
    ],
)
def test_what_cannot_be_planned_is_refused_in_words(cli: CommandLine, args: tuple[str, ...], words: str) -> None:
    draw(cli.folder / "IN" / "a.png")

    ended = cli("upscale", "IN", "OUT", *TINY, *args)

    assert ended.code == 2
    assert words in " ".join(ended.stderr.split())
    assert not (cli.folder / "OUT").exists()


def test_values_added_later_add_jobs_and_change_none(cli: CommandLine, draw_things: Simulator) -> None:
    draw(cli.folder / "IN" / "a.png")
    words = ("upscale", "IN", "OUT", *TINY, "--url", draw_things.url, "--vary")

    first = cli(*words, "steps=4")
    before = images(cli.folder / "OUT")
    more = cli(*words, "steps=4,5")

    assert (first.code, more.code) == (0, 0), more.stderr
    after = images(cli.folder / "OUT")
    assert {name: after[name] for name in before} == before
    assert len(after) == len(sent(draw_things)) == 2


def test_the_python_of_the_guide_runs(cli: CommandLine, draw_things: Simulator) -> None:
    page = (Path(__file__).parents[2] / "examples" / "image-prompts.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    code = code.replace("http://127.0.0.1:7860", draw_things.url).replace("idle_exit_s=60", "idle_exit_s=0.5")
    code = code.replace('load("bake")', 'load("bake").replace(width=128, height=128, tiled=None)')
    draw(cli.folder / "IN" / "001.png")
    (cli.folder / "table.csv").write_text("image,prompt,nation\n001.png,a fox,Italian\n", encoding="utf-8")

    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cli.folder,
        env=cli._env(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    rows = images(cli.folder / "OUT")
    assert len(rows) == 4
    assert {row["prompt"] for row in rows.values()} == {"Italian family at home, a fox"}


def test_the_table_of_the_run_that_drew_them_gives_images_their_words(cli: CommandLine, draw_things: Simulator) -> None:
    (cli.folder / "prompts.csv").write_text(
        'name,prompt,mood\nit/fox,"-a fox, red",calm\nowl,an owl,\n', encoding="utf-8"
    )
    small = ("--set", "inherit=true", "--set", "width=128", "--set", "height=128", "--url", draw_things.url)
    drawn = cli("generate", "prompts.csv", "--out", "DRAWN", *small)

    ended = cli("upscale", "DRAWN", "OUT", *TINY, "--prompts", "DRAWN/images.csv", "--url", draw_things.url)

    assert (drawn.code, ended.code) == (0, 0), ended.stderr
    before, after = images(cli.folder / "DRAWN"), images(cli.folder / "OUT")
    assert {row["prompt"] for row in after.values()} == {"'-a fox, red", "an owl"}
    assert after["it/fox_1_upscaled_1.png"]["seed"] == before["it/fox_1.png"]["seed"]
    assert after["it/fox_1_upscaled_1.png"]["mood"] == "calm"
    assert not [name for name in after["owl_1_upscaled_1.png"] if name.startswith("own_")]
    assert [body["prompt"] for body in sent(draw_things)][2:] == ["an owl", "-a fox, red"]
