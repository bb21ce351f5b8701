"""The plan of the nations study: places, dependencies, seeds."""

from __future__ import annotations

import re

import pytest

from sdclient.batch.adding import check_new_jobs
from sdclient.batch.plan import OutputInput, Plan
from sdclient.errors import ConfigurationError, PlanError
from sdclient.recipes.nations import QueueEntry, Study, StudyPayloads, load_study, plan_nations
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.segment import SegmentSettings

STUDY = load_study()
ALL = StudyPayloads(Txt2Img(), Img2Img(), SegmentSettings("classical"))
QUEUE = [QueueEntry("Italian", "family", 2), QueueEntry("Greek", "working", 1)]


def seeds(queue: list[QueueEntry], kind: str, run_seed: int = 7) -> dict[str, object]:
    listed = plan_nations(queue, STUDY, ALL, paired_run_seed=run_seed)
    return {job.place: job.changes["seed"] for job in listed.jobs if job.kind == kind}


def test_images_get_the_names_of_the_study() -> None:
    listed = plan_nations(QUEUE, STUDY, ALL)

    assert [job.place for job in listed.jobs] == [
        "generated/Italian/family/Italian_family_1",
        "generated/Italian/family/Italian_family_2",
        "generated/Greek/working/Greek_working_1",
        "baked/Italian/family/Italian_family_1_1_upscaled",
        "baked/Italian/family/Italian_family_2_1_upscaled",
        "baked/Greek/working/Greek_working_1_1_upscaled",
        "cutouts/Italian/family/Italian_family_1_1_upscaled_1",
        "cutouts/Italian/family/Italian_family_2_1_upscaled_1",
        "cutouts/Greek/working/Greek_working_1_1_upscaled_1",
    ]


def test_every_bake_waits_for_its_own_image_and_every_cut_for_its_bake() -> None:
    jobs = {job.place: job for job in plan_nations(QUEUE, STUDY, ALL).jobs}

    made = jobs["generated/Italian/family/Italian_family_2"]
    baked = jobs["baked/Italian/family/Italian_family_2_1_upscaled"]
    cut = jobs["cutouts/Italian/family/Italian_family_2_1_upscaled_1"]

    assert (made.kind, baked.kind, cut.kind) == ("txt2img", "img2img", "segment")
    assert (made.input, baked.input, cut.input) == (None, OutputInput(made.id), OutputInput(baked.id))


def test_every_image_of_a_request_is_baked_and_cut() -> None:
    payloads = StudyPayloads(Txt2Img(batch_size=2), None, SegmentSettings("classical"))

    places = [job.place for job in plan_nations([QueueEntry("Greek", "family", 1)], STUDY, payloads).jobs]

    assert places[1:] == ["cutouts/Greek/family/Greek_family_1_1", "cutouts/Greek/family/Greek_family_1_2"]


def test_nation_and_category_are_columns_of_every_image() -> None:
    """The original's category was whatever text happened to be in the prompt."""
    listed = plan_nations([QueueEntry("Greek", "working", 2)], STUDY, StudyPayloads(Txt2Img()))

    assert [job.columns for job in listed.jobs] == [
        {"nation": "Greek", "category": "working", "number": "1"},
        {"nation": "Greek", "category": "working", "number": "2"},
    ]


def test_a_repeated_entry_means_so_many_more() -> None:
    queue = [QueueEntry("Greek", "family", 2), QueueEntry("Italian", "family", 1), QueueEntry("Greek", "family", 1)]

    places = [job.place for job in plan_nations(queue, STUDY, StudyPayloads(Txt2Img())).jobs]

    assert [place.rpartition("/")[2] for place in places] == [
        "Greek_family_1",
        "Greek_family_2",
        "Greek_family_3",
        "Italian_family_1",
    ]


def test_a_larger_count_adds_only_the_difference() -> None:
    """The original began at 1 again and wrote over what it had made before."""
    before = plan_nations([QueueEntry("Greek", "family", 2)], STUDY, ALL)
    plan = Plan({job.id: job for job in before.jobs}, before.specs)

    fresh = check_new_jobs(plan, plan_nations([QueueEntry("Greek", "family", 3)], STUDY, ALL).jobs)

    assert [job.place for job in fresh] == [
        "generated/Greek/family/Greek_family_3",
        "baked/Greek/family/Greek_family_3_1_upscaled",
        "cutouts/Greek/family/Greek_family_3_1_upscaled_1",
    ]


def test_planning_does_not_change_the_payloads_it_was_given() -> None:
    """The original wrote each prompt into one dictionary that all requests shared."""
    generate = Txt2Img.load("sdxl-refiner-ultrasharp")
    before = generate.model_dump_json()

    listed = plan_nations(QUEUE, STUDY, StudyPayloads(generate))

    assert generate.model_dump_json() == before
    assert len({job.spec for job in listed.jobs}) == 1
    assert listed.jobs[0].changes["prompt"] != listed.jobs[2].changes["prompt"]


def test_without_pairing_no_seed_is_planned_and_each_follows_from_its_place() -> None:
    assert all("seed" not in job.changes for job in plan_nations(QUEUE, STUDY, ALL).jobs)


@pytest.mark.parametrize("kind", ["txt2img", "img2img"])
def test_paired_seeds_are_one_list_for_every_nation(kind: str) -> None:
    """With seed -1 the original's sets could neither be compared nor made again."""
    queue = [QueueEntry(nation, "family", 3) for nation in ("Greek", "Italian", "Czech")]

    found = seeds(queue, kind)

    by_nation = [[seed for place, seed in found.items() if nation in place] for nation in ("Greek", "Italian", "Czech")]
    assert by_nation[0] == by_nation[1] == by_nation[2]
    assert len(set(map(str, by_nation[0]))) == 3


def test_paired_seeds_differ_by_category_run_and_kind() -> None:
    queue = [QueueEntry("Greek", "family", 1), QueueEntry("Greek", "working", 1)]

    found = [*seeds(queue, "txt2img").values(), *seeds(queue, "txt2img", 8).values(), *seeds(queue, "img2img").values()]

    assert len(set(map(str, found))) == 6
    assert all(isinstance(seed, int) and 0 <= seed < 2**32 for seed in found)


def test_paired_seeds_do_not_depend_on_what_else_is_queued() -> None:
    alone = seeds([QueueEntry("Greek", "family", 1)], "txt2img")
    among = seeds([QueueEntry("Italian", "family", 5), QueueEntry("Greek", "family", 2)], "txt2img")

    assert among.items() >= alone.items()


def test_pairing_changes_no_job_id_so_that_a_mix_up_is_refused() -> None:
    plain = plan_nations(QUEUE, STUDY, ALL)
    paired = plan_nations(QUEUE, STUDY, ALL, paired_run_seed=7)

    with pytest.raises(PlanError, match="planned otherwise in this folder: seed"):
        check_new_jobs(Plan({job.id: job for job in plain.jobs}, plain.specs), paired.jobs)


@pytest.mark.parametrize(
    "payloads", [StudyPayloads(Txt2Img(seed=5)), StudyPayloads(Txt2Img(), Img2Img(seed=5))], ids=["generate", "bake"]
)
def test_pairing_and_a_fixed_seed_contradict_each_other(payloads: StudyPayloads) -> None:
    with pytest.raises(ConfigurationError, match=r"payload gives every image the seed 5; take the seed out"):
        plan_nations(QUEUE, STUDY, payloads, paired_run_seed=7)


def test_names_from_a_data_set_cannot_leave_the_folder() -> None:
    study = Study({('../Mars: "red"', "a/b"): "x"})

    place = plan_nations([QueueEntry('../Mars: "red"', "a/b", 1)], study, StudyPayloads(Txt2Img())).jobs[0].place

    assert re.fullmatch(r"generated/[^/]+/[^/]+/[^/]+", place)
    assert not set(':"\\') & set(place)
    assert ".." not in place.split("/")
