"""Cut-outs that follow drawings: of the images that are asked for alone, also where they are asked for otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdclient import ChangedPlanError, Img2Img, Run, Txt2Img
from sdclient.batch.changed import Choice, PlanChange
from sdclient.planning import PromptRow, Watch
from sdclient.segment import SegmentSettings
from sdclient.simulator import Simulator
from sdclient.steps.segment import SegmentSpec
from tests.conftest import CommandLine
from tests.integration.test_run_watch import new_run, put, until
from tests.practice_lane import PracticeLane, quick

SMALL = Txt2Img(width=64, height=64, steps=1)
TOP_3, TOP_2 = SegmentSettings(top_n=3), SegmentSettings(top_n=2)
DRAWING = ("--set", "width=64", "--set", "height=64", "--set", "steps=1")
CUTTING = ("--then", "segment", "--cutouts-model", "classical")


def named(names: str) -> list[PromptRow]:
    return [PromptRow({"prompt": f"a {name}"}, name=name) for name in names.split()]


def follow(run: Run, names: str, request: Txt2Img = SMALL, settings: SegmentSettings = TOP_3) -> Run:
    """Plan images and their cut-outs as ``--then segment`` does."""
    run.shares_drawings = True
    run.add(named(names), request).add_cutouts_of_outputs(settings, only_added=True)
    return run.save()


def tops(run: Run) -> dict[str, int | None]:
    """How many objects are cut out at most, by place."""
    specs = run.folder.read_plan().specs
    cuts = [job for job in run.jobs() if job.kind == "segment"]
    return {job.place: SegmentSpec.from_json(specs[job.spec]).settings.top_n for job in cuts}


def drawings(run: Run) -> list[str]:
    return [job.place for job in run.jobs() if job.kind != "segment"]


def test_the_variant_that_the_message_offers_is_taken_and_draws_nothing_twice(
    cli: CommandLine, a1111: Simulator
) -> None:
    (cli.folder / "one.txt").write_text("a fox\n", encoding="utf-8")
    command = ("generate", "one.txt", "--out", "OUT", "--url", a1111.url, *DRAWING, *CUTTING, "--cutouts-set")

    begun = cli(*command, "top=3")
    refused = cli(*command, "top=2")
    beside = cli(*command, "top=2", "--variant", "two")
    again = cli(*command, "top=2", "--variant", "two")

    assert (begun.code, refused.code, beside.code, again.code) == (0, 2, 0, 0), beside.stderr + again.stderr
    assert "top_n 3, now 2" in refused.stderr
    assert "--variant NAME" in refused.stderr
    run = Run.open(cli.folder / "OUT")
    assert tops(run) == {"cutouts/0001_a_fox_1": 3, "cutouts/0001_a_fox_1_two": 2}
    assert drawings(run) == ["0001_a_fox"]
    assert "3 of 3 jobs done" in again.stderr


def test_a_command_cuts_out_its_own_images_alone(cli: CommandLine, a1111: Simulator) -> None:
    for name, text in (("one.txt", "a fox\n"), ("two.txt", "a hen\n"), ("three.txt", "an owl\n")):
        (cli.folder / name).write_text(text, encoding="utf-8")
    begun = ("--out", "OUT", "--url", a1111.url, *DRAWING)

    plain = cli("generate", "one.txt", *begun)
    cut = cli("generate", "two.txt", *begun, *CUTTING, "--cutouts-set", "top=3")
    otherwise = cli("generate", "three.txt", *begun, *CUTTING, "--cutouts-set", "top=2")

    assert (plain.code, cut.code, otherwise.code) == (0, 0, 0), cut.stderr + otherwise.stderr
    assert tops(Run.open(cli.folder / "OUT")) == {"cutouts/0001_a_hen_1": 3, "cutouts/0001_an_owl_1": 2}


def test_a_variants_images_are_cut_with_its_settings_and_the_plain_ones_stay(tmp_path: Path) -> None:
    follow(Run(tmp_path / "OUT"), "fox hen")

    follow(Run(tmp_path / "OUT", variant="soft"), "fox", SMALL.replace(steps=2), TOP_2)
    run = follow(Run(tmp_path / "OUT", variant="soft"), "fox", SMALL.replace(steps=2), TOP_2)

    assert tops(run) == {"cutouts/fox_1": 3, "cutouts/hen_1": 3, "cutouts/fox_soft_1": 2}
    assert drawings(run) == ["fox", "hen", "fox_soft"]


def test_a_variant_keeps_what_it_has_when_the_plain_images_become_like_it(tmp_path: Path) -> None:
    other = SMALL.replace(steps=2)
    follow(Run(tmp_path / "OUT"), "fox")
    follow(Run(tmp_path / "OUT", variant="soft"), "fox", other, TOP_2)
    follow(Run(tmp_path / "OUT", on_change="redo"), "fox", other)

    run = follow(Run(tmp_path / "OUT", variant="soft"), "fox", other, TOP_2)

    assert tops(run) == {"cutouts/fox_1": 3, "cutouts/fox_soft_1": 2}


def test_a_variant_draws_what_is_new_beside_what_is_shared(tmp_path: Path) -> None:
    follow(Run(tmp_path / "OUT"), "fox")

    run = follow(Run(tmp_path / "OUT", variant="two"), "fox hen", settings=TOP_2)

    assert drawings(run) == ["fox", "hen_two"]
    assert tops(run) == {"cutouts/fox_1": 3, "cutouts/fox_1_two": 2, "cutouts/hen_two_1": 2}


def test_without_cutouts_a_variant_draws_everything_anew(tmp_path: Path) -> None:
    Run(tmp_path / "OUT").add(named("fox"), SMALL).save()

    run = Run(tmp_path / "OUT", variant="two").add(named("fox"), SMALL).save()

    assert drawings(run) == ["fox", "fox_two"]


def test_making_cutouts_anew_leaves_other_images_and_variants_as_they_are(tmp_path: Path) -> None:
    follow(Run(tmp_path / "OUT"), "fox hen")
    follow(Run(tmp_path / "OUT", variant="soft"), "fox", SMALL.replace(steps=2))

    run = follow(Run(tmp_path / "OUT", on_change="redo"), "fox", settings=TOP_2)

    assert tops(run) == {"cutouts/fox_1": 2, "cutouts/hen_1": 3, "cutouts/fox_soft_1": 3}


def test_a_variant_that_is_named_when_asked_is_the_one_that_is_named_at_once(tmp_path: Path) -> None:
    follow(Run(tmp_path / "OUT"), "fox")
    asked: list[PlanChange] = []

    def ask(change: PlanChange) -> Choice:
        asked.append(change)
        return Choice(variant="two")

    run = follow(Run(tmp_path / "OUT", on_change=ask), "fox", settings=TOP_2)
    again = follow(Run(tmp_path / "OUT", variant="two"), "fox", settings=TOP_2)

    assert len(asked) == 1
    assert tops(run) == tops(again) == {"cutouts/fox_1": 3, "cutouts/fox_1_two": 2}
    assert drawings(again) == ["fox"]


def test_a_variants_own_cutouts_may_be_asked_for_otherwise_too(tmp_path: Path) -> None:
    other = SMALL.replace(steps=2)
    follow(Run(tmp_path / "OUT"), "fox")
    follow(Run(tmp_path / "OUT", variant="soft"), "fox", other)

    with pytest.raises(ChangedPlanError, match="top_n 3, now 2"):
        follow(Run(tmp_path / "OUT", variant="soft"), "fox", other, TOP_2)
    run = follow(Run(tmp_path / "OUT", variant="softer"), "fox", other, TOP_2)

    assert tops(run) == {"cutouts/fox_1": 3, "cutouts/fox_soft_1": 3, "cutouts/fox_softer_1": 2}


def test_in_python_all_that_a_run_draws_is_cut_unless_said_otherwise(tmp_path: Path) -> None:
    Run(tmp_path / "OUT").add(named("fox"), SMALL).save()

    run = Run(tmp_path / "OUT").add(named("hen"), SMALL).add_cutouts_of_outputs(TOP_3).save()

    assert tops(run) == {"cutouts/fox_1": 3, "cutouts/hen_1": 3}


def test_images_that_come_while_a_run_works_are_cut_and_no_others(tmp_path: Path) -> None:
    source = tmp_path / "IN"
    source.mkdir()
    run = new_run(tmp_path)
    run.add(named("fox"), SMALL).save()
    run = Run(run.out).add_folder(source, Img2Img(), watch=Watch(interval_s=0.02, idle_exit_s=0.2))
    run.add_cutouts_of_outputs(TOP_3, only_added=True)
    run.begin([PracticeLane()], settings=quick())
    put(source / "a.png")

    run.wait()

    assert tops(run) == {"cutouts/a_upscaled_1": 3}


@pytest.mark.parametrize("there", [(), ("hen.png",)], ids=["to an empty folder", "beside one that is done"])
def test_images_that_come_late_are_cut_out_too_and_the_run_ends(
    tmp_path: Path, draw_things: Simulator, there: tuple[str, ...]
) -> None:
    source = tmp_path / "IN"
    source.mkdir()
    for name in there:
        put(source / name)
    request = Img2Img(prompt="x", steps=1, inherit=True, width=256, height=256)
    run = Run(tmp_path / "OUT").add_folder(source, request, watch=Watch(interval_s=0.05, idle_exit_s=1.0))
    run.add_cutouts_of_outputs(TOP_3, only_added=True)
    run.begin(run.lanes(draw_things.url), settings=quick())
    until(lambda: run.status().counts.left == 0)
    put(source / "late.png")

    result = run.wait()

    made = {f"cutouts/{Path(name).stem}_upscaled_1" for name in ("late.png", *there)}
    assert set(tops(run)) == made
    assert result.counts.left == 0
