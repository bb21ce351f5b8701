"""The plan: what is refused, and what a shard may hold."""

from __future__ import annotations

import hashlib
import json

import pytest

from sdclient.batch.adding import check_new_jobs
from sdclient.batch.plan import (
    FileInput,
    OutputInput,
    Plan,
    decode_shard,
    encode_shard,
    job_id,
    make_job,
    spec_id,
)
from sdclient.errors import PlanError, RunFolderError

SPEC = {"request": {"prompt": "a fox"}}


def plan_of(*jobs: object) -> Plan:
    return Plan({job.id: job for job in jobs}, {spec_id(SPEC): SPEC})  # type: ignore[attr-defined]


def shard_of(*lines: object) -> tuple[str, bytes]:
    data = ("\n".join(json.dumps(line) for line in lines) + "\n").encode()
    return hashlib.sha256(data).hexdigest() + ".jsonl", data


@pytest.mark.parametrize(
    "place", ["", "..", "../a", "/a", "a//b", "a/../b", "a\\b", "a\0b", ".sdclient/x", ".SDCLIENT/x", "a\ud800"]
)
def test_a_place_that_leads_out_or_is_no_text_is_refused(place: str) -> None:
    with pytest.raises(PlanError, match="no place inside"):
        make_job("txt2img", place, SPEC)


def test_two_jobs_with_one_place_are_refused_even_in_other_case() -> None:
    one = make_job("img2img", "a/Fox", SPEC, input=FileInput("../in", "a/Fox.png"))
    two = make_job("img2img", "a/fox", SPEC, input=FileInput("../in", "a/fox.jpg"))

    with pytest.raises(PlanError, match=r"a/Fox\.png and .*a/fox\.jpg"):
        check_new_jobs(Plan(), [one, two])


def test_an_input_that_took_another_s_place_is_told_from_two_that_are_there() -> None:
    before = make_job("img2img", "fox", SPEC, input=FileInput("../in", "fox.png"))
    now = make_job("img2img", "fox", SPEC, input=FileInput("../in", "fox.jpg"))

    with pytest.raises(PlanError, match=r"fox: was planned for \.\./in/fox\.png .* Rename fox\.jpg, or move"):
        check_new_jobs(plan_of(before), [now])


def test_one_job_asked_for_twice_is_refused() -> None:
    job = make_job("txt2img", "a", SPEC)

    with pytest.raises(PlanError, match="twice"):
        check_new_jobs(Plan(), [job, job])


def test_a_known_job_with_another_prompt_is_refused() -> None:
    before = make_job("txt2img", "a", SPEC, changes={"prompt": "a fox"})
    after = make_job("txt2img", "a", SPEC, changes={"prompt": "a hare"})

    with pytest.raises(PlanError, match="planned otherwise in this folder"):
        check_new_jobs(plan_of(before), [after])


def test_a_known_job_with_another_input_is_refused() -> None:
    before = make_job("img2img", "a", SPEC, input=OutputInput("b" * 20, 1))
    after = make_job("img2img", "a", SPEC)

    with pytest.raises(
        PlanError, match=r"planned otherwise in this folder: it was made from image 2 of bbb.* a prompt now"
    ):
        check_new_jobs(plan_of(before), [after])


def test_a_cut_out_may_have_the_name_of_its_image() -> None:
    jobs = [make_job("img2img", "a", SPEC), make_job("segment", "a", SPEC)]

    assert check_new_jobs(Plan(), jobs) == jobs


def test_an_input_that_nobody_makes_is_refused() -> None:
    with pytest.raises(PlanError, match="not in the plan"):
        check_new_jobs(Plan(), [make_job("img2img", "a", SPEC, input=OutputInput("b" * 20))])


def test_half_a_character_in_a_column_is_refused_in_words() -> None:
    job = make_job("txt2img", "a", SPEC, columns={"note": "\ud83d"})

    with pytest.raises(PlanError, match="half a character"):
        encode_shard([job], {spec_id(SPEC): SPEC})


def test_a_shard_whose_content_does_not_match_its_name_is_refused() -> None:
    name, data = encode_shard([make_job("txt2img", "a", SPEC)], {spec_id(SPEC): SPEC})

    with pytest.raises(RunFolderError, match="half copied"):
        decode_shard(name, data[:-1])


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(RunFolderError, match="update sdclient"):
        decode_shard(*shard_of({"format": 99, "something": "new"}))


@pytest.mark.parametrize(
    "line",
    [
        {"job": "../../../etc", "kind": "txt2img", "place": "a", "spec_id": "s"},
        {"job": job_id("txt2img", "../a"), "kind": "txt2img", "place": "../a", "spec_id": "s"},
        {"job": job_id("txt2img", "a"), "kind": "txt2img", "place": "a", "spec_id": "nowhere"},
        {"job": job_id("txt2img", "a")},
        ["no", "object"],
        7,
    ],
    ids=["id that is a path", "place that leads out", "no such spec", "half a job", "a list", "a number"],
)
def test_a_shard_with_a_strange_line_is_refused(line: object) -> None:
    spec = {"spec": "s", "value": {}}

    with pytest.raises(RunFolderError, match="not a plan"):
        decode_shard(*shard_of({"format": 1}, spec, line))


def test_a_revision_has_an_id_of_its_own() -> None:
    assert job_id("txt2img", "a", 1) != job_id("txt2img", "a")
