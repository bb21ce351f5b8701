"""Recipes that are asked for again with another payload: they show the difference and ask, as other commands do."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from PIL import Image

from sdclient import ChangedPlanError
from sdclient.batch.changed import PlanChange
from sdclient.cli.changing import refuse_changed
from sdclient.infotext import parse_infotext, read_infotext
from sdclient.simulator import Simulator
from tests.conftest import CommandLine, Ended
from tests.integration.terminal import Terminal

SMALL = ("--set", "width=64", "--set", "height=64")
FOX = "The fox lived under a hill. She had a red lantern. One night it rained. The river rose to the door.\n"
SERIES = """
[prompt_config]
source = "s.txt"
key = "series"
[generation_config]
interleave = false
[[style_configs]]
style = "charcoal"
file_tag = "charcoal"
weight = 0.5
"""
SHEETS = "OUT/series/progresive/charcoal"


def steps_of(folder: Path) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for path in sorted(folder.glob("*_1.png")):
        found[path.name] = parse_infotext(read_infotext(path.read_bytes()) or "").get_int("Steps")
    return found


def drawn(server: Simulator) -> int:
    return sum(one.method == "POST" for one in server.log)


@pytest.fixture
def story(cli: CommandLine, a1111: Simulator) -> tuple[str, ...]:
    """The command of a story of three images that is done, but for its steps."""
    (cli.folder / "fox.txt").write_text(FOX, encoding="utf-8")
    words = ("story", "fox.txt", "--out", "OUT", "--url", a1111.url, "--ideas", "1", "--format", "html", *SMALL)
    assert cli(*words, "--set", "steps=1").code == 0
    return words


@pytest.fixture
def series(cli: CommandLine, a1111: Simulator) -> tuple[str, ...]:
    """The command of an interleave of two images, one over the other, that is done, but for its steps."""
    (cli.folder / "s.txt").write_text("Season1\nA fox\nAn owl\n", encoding="utf-8")
    (cli.folder / "c.toml").write_text(SERIES, encoding="utf-8")
    words = ("interleave", "c.toml", "--out", "OUT", "--url", a1111.url, *SMALL)
    assert cli(*words, "--set", "steps=4").code == 0
    return words


@pytest.mark.parametrize("recipe", ["story", "series"])
def test_unattended_a_recipe_refuses_with_the_difference_and_the_commands_to_type(
    cli: CommandLine, recipe: str, a1111: Simulator, request: pytest.FixtureRequest
) -> None:
    words = (*request.getfixturevalue(recipe), "--set", "steps=6")
    before = drawn(a1111)

    ended = cli(*words)

    assert (ended.code, drawn(a1111)) == (2, before)
    assert ", now 6" in ended.stderr
    assert shlex.join(["sdclient", *words, "--redo-changed"]) in ended.stderr
    assert shlex.join(["sdclient", *words, "--variant", "NAME"]) in ended.stderr


def test_a_story_made_anew_has_the_new_images_in_its_documents(
    cli: CommandLine, story: tuple[str, ...], a1111: Simulator
) -> None:
    names = steps_of(cli.folder / "OUT/fox/images").keys()

    ended = cli(*story, "--set", "steps=2", "--set", "width=128", "--redo-changed")
    again = cli(*story, "--set", "steps=2", "--set", "width=128")

    page = (cli.folder / "OUT/fox/Fox - Illustrations.html").read_text(encoding="utf-8")
    assert (ended.code, again.code, drawn(a1111)) == (0, 0, 6)
    assert steps_of(cli.folder / "OUT/fox/images") == dict.fromkeys(names, 2)
    assert "older ideas" not in ended.stderr + again.stderr
    assert (page.count('width="128"'), page.count('width="64"')) == (3, 0)


def test_a_variant_of_a_story_has_documents_of_its_own(cli: CommandLine, story: tuple[str, ...]) -> None:
    page = cli.folder / "OUT/fox/Fox - Illustrations.html"
    before = page.read_bytes()

    ended = cli(*story, "--set", "steps=2", "--variant", "more")
    built = [cli(*story, "--documents-only", *more) for more in ((), ("--variant", "more"))]

    other = (cli.folder / "OUT/fox/Fox - Illustrations_more.html").read_text(encoding="utf-8")
    assert (ended.code, ended.stdout.split("\n")[0]) == (0, "OUT/fox/Fox - Illustrations_more.html")
    assert [one.stdout.strip() for one in built] == [
        "OUT/fox/Fox - Illustrations.html",
        "OUT/fox/Fox - Illustrations_more.html",
    ]
    assert page.read_bytes() == before
    assert sorted(steps_of(cli.folder / "OUT/fox/images").values(), key=str) == [1, 1, 1, 2, 2, 2]
    assert (other.count("_more_1.png"), other.count("<img")) == (3, 3)
    assert "older ideas" not in ended.stderr


def test_a_person_is_asked_once_for_all_stories(cli: CommandLine, story: tuple[str, ...]) -> None:
    (cli.folder / "owl.txt").write_text(FOX.replace("fox", "owl"), encoding="utf-8")

    with Terminal(cli, *story, "owl.txt", "--set", "steps=2") as terminal:
        terminal.until("steps 1, now 2 (3 jobs)")
        terminal.until("[n]othing")
        terminal.type("v\n")
        terminal.until("name of the variant")
        terminal.type("more\n")
        code = terminal.ended()

    assert code == 0
    # The other is new, and goes the same way: no document is left without its images.
    assert [len(steps_of(cli.folder / f"OUT/{name}/images")) for name in ("fox", "owl")] == [6, 3]
    assert (cli.folder / "OUT/owl/Owl - Illustrations_more.html").is_file()


def test_an_interleave_made_anew_builds_its_grids_anew(
    cli: CommandLine, series: tuple[str, ...], a1111: Simulator
) -> None:
    sheet = cli.folder / SHEETS / "charcoal grid-0.png"
    before = sheet.read_bytes()

    ended = cli(*series, "--set", "steps=6", "--redo-changed")

    assert (ended.code, drawn(a1111)) == (0, 4)
    assert steps_of(cli.folder / SHEETS) == {"charcoal 0-0_1.png": 6, "charcoal 0-1_1.png": 6}
    assert sheet.read_bytes() != before


def test_a_variant_of_an_interleave_is_a_chain_of_its_own_with_grids_of_its_own(
    cli: CommandLine, series: tuple[str, ...], a1111: Simulator
) -> None:
    sheet = cli.folder / SHEETS / "charcoal grid-0.png"
    before = sheet.read_bytes()

    ended = cli(*series, "--set", "steps=6", "--variant", "more")
    built = cli(*series, "--set", "steps=6", "--variant", "more", "--documents-only")

    assert (ended.code, drawn(a1111)) == (0, 4)
    assert built.stdout.strip() == f"{SHEETS}/charcoal grid-0_more.png"
    assert len(steps_of(cli.folder / SHEETS)) == 4
    assert sheet.read_bytes() == before
    assert (cli.folder / SHEETS / "charcoal grid-0_more.png").read_bytes() != before


def daily(cli: CommandLine, server: Simulator, *more: str) -> Ended:
    words = ("daily", "--out", "BOT", "--at", "2026-07-01T06:00", "--url", server.url, "--set", "enlarge=null", *SMALL)
    return cli(*words, *more)


def test_a_bot_draws_what_was_planned_otherwise_and_not_drawn_only_when_told_to(
    cli: CommandLine, a1111: Simulator
) -> None:
    a1111.next_faults("out-of-memory")
    failed = daily(cli, a1111, "--set", "steps=1")
    refused = daily(cli, a1111, "--set", "steps=2")
    posted = daily(cli, a1111, "--set", "steps=2", "--redo-changed")
    again = daily(cli, a1111, "--set", "steps=3")

    assert (failed.code, refused.code, posted.code, again.code) == (1, 2, 0, 0)
    assert "steps 1, now 2" in refused.stderr
    assert "--redo-changed" in refused.stderr
    assert "--variant" not in refused.stderr
    assert list(steps_of(cli.folder / "BOT/images").values()) == [2]
    assert "posted before" in again.stderr


def test_at_a_terminal_a_bot_that_is_started_once_asks(cli: CommandLine, a1111: Simulator) -> None:
    a1111.next_faults("out-of-memory")
    daily(cli, a1111, "--set", "steps=1")
    words = ("daily", "--out", "BOT", "--at", "2026-07-01T06:00", "--url", a1111.url, "--set", "enlarge=null", *SMALL)

    with Terminal(cli, *words, "--set", "steps=2") as terminal:
        terminal.until("[r]edo them, or do [n]othing?")
        terminal.type("r\n")
        code = terminal.ended()

    assert code == 0
    assert list(steps_of(cli.folder / "BOT/images").values()) == [2]


def test_a_bot_that_keeps_hours_never_stands_at_a_question(tmp_path: Path) -> None:
    change = PlanChange(tmp_path, jobs=1, changed=1, done=0, words=("steps 1, now 2",))

    with pytest.raises(ChangedPlanError, match="steps 1, now 2") as told:
        refuse_changed(change)

    assert "--redo-changed" in str(told.value)
    assert "--variant" not in str(told.value)


def test_another_payload_makes_a_slice_of_its_own_and_a_canvas_has_nothing_to_ask(
    cli: CommandLine, a1111: Simulator
) -> None:
    image = Image.new("P", (64, 64))
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    image.putdata([(place // 7) % 3 for place in range(64 * 64)])
    image.save(cli.folder / "place.png")
    words = ("canvas", "place.png", "--out", "OUT", "--seed", "3", "--passes", "1", "--url", a1111.url)

    ended = [cli(*words, "--set", f"steps={steps}").code for steps in (2, 4)]

    assert (ended, drawn(a1111)) == ([0, 0], 2)
    assert len(list((cli.folder / "OUT").glob("000?.json"))) == 2
    assert "becomes a slice of its own" in " ".join(cli("canvas", "--help").stdout.split())
