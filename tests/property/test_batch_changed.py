"""Laws of asking again for what is planned otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.batch.adding import check_new_jobs
from sdclient.batch.changed import Naming, as_variant, resolve
from sdclient.batch.plan import Job, OutputInput, Plan, Shard, Staged, job_id, latest_jobs, make_job, spec_id, unite
from sdclient.batch.seeds import KeptSeeds, redo_seed
from sdclient.errors import PlanError

SPECS = [{"request": {"steps": steps}} for steps in range(3)]
BY_HASH = {spec_id(spec): spec for spec in SPECS}
chains = st.lists(st.tuples(st.booleans(), st.integers(0, 2)), min_size=1, max_size=8)


def jobs_of(chain: list[tuple[bool, int]]) -> list[Job]:
    """Make jobs of which some work on the one before."""
    jobs: list[Job] = []
    for number, (is_over, spec) in enumerate(chain):
        source = OutputInput(jobs[-1].id) if is_over and jobs else None
        jobs.append(make_job("img2img" if source else "txt2img", f"job{number}", SPECS[spec], input=source))
    return jobs


def otherwise(chain: list[tuple[bool, int]], specs: list[int]) -> list[Job]:
    return jobs_of([(is_over, spec) for (is_over, _), spec in zip(chain, specs, strict=True)])


def plan_of(jobs: list[Job]) -> Plan:
    return Plan({job.id: job for job in jobs}, BY_HASH)


def redone(plan: Plan, asked: list[Job], done: set[str]) -> Plan:
    """Return the plan after the answer "redo", as it is written and read again."""
    found = resolve(plan, asked)
    fresh = check_new_jobs(plan, found.jobs, BY_HASH)
    withdrawn = tuple(before.id for before, _ in found.changed if before.id not in done)
    old = Shard("0", 0, tuple(plan.jobs.values()), BY_HASH)
    return unite([old, Shard("1", len(plan.jobs), tuple(fresh), BY_HASH, withdrawn)])


@given(chains)
def test_what_is_planned_is_asked_for_again_without_a_change(chain: list[tuple[bool, int]]) -> None:
    jobs = jobs_of(chain)

    assert resolve(plan_of(jobs), jobs).jobs == ()


@given(chains, st.data())
def test_after_a_redo_the_same_question_changes_nothing(chain: list[tuple[bool, int]], data: st.DataObject) -> None:
    plan = plan_of(jobs_of(chain))
    done = {job_id for job_id in plan.jobs if data.draw(st.booleans())}
    asked = otherwise(chain, data.draw(st.lists(st.integers(0, 2), min_size=len(chain), max_size=len(chain))))
    after = redone(plan, asked, done)

    again = resolve(after, asked)
    assert (again.jobs, again.changed) == ((), ())


@given(chains, st.data())
def test_after_a_redo_every_place_has_what_was_asked_for_and_its_inputs_are_the_new_ones(
    chain: list[tuple[bool, int]], data: st.DataObject
) -> None:
    plan = plan_of(jobs_of(chain))
    done = {job_id for job_id in plan.jobs if data.draw(st.booleans())}
    asked = otherwise(chain, data.draw(st.lists(st.integers(0, 2), min_size=len(chain), max_size=len(chain))))
    after = redone(plan, asked, done)

    latest = {job.place: job for job in latest_jobs(after.jobs).values()}
    assert {place: job.spec for place, job in latest.items()} == {job.place: job.spec for job in asked}
    for job in latest.values():
        assert job.needs is None or job.needs in {one.id for one in latest.values()}
        assert job.id == job_id(job.kind, job.place, job.revision)
    # What was done stays in the plan; what was not done is asked for only once.
    assert done <= after.jobs.keys()
    assert len(after.jobs) - len(latest) == sum(latest[plan.jobs[one].place].id != one for one in done)


@given(chains)
def test_what_works_on_a_changed_image_is_made_anew_though_nobody_asks(chain: list[tuple[bool, int]]) -> None:
    jobs = jobs_of(chain)
    plan = plan_of(jobs)
    first = replace(jobs[0], spec=spec_id(SPECS[(chain[0][1] + 1) % 3]))

    found = resolve(plan, [first])

    chain_length = 1
    while chain_length < len(jobs) and jobs[chain_length].needs is not None:
        chain_length += 1
    assert [before.place for before, _ in found.changed] == [job.place for job in jobs[:chain_length]]


def test_a_redo_with_another_seed_is_no_change_of_the_plan() -> None:
    first = make_job("txt2img", "fox", SPECS[0])
    second = replace(first, id=job_id("txt2img", "fox", 1), revision=1, changes={"seed": 5})

    assert resolve(plan_of([first, second]), [first]).changed == ()


def test_going_back_to_settings_of_before_is_a_change() -> None:
    first = make_job("txt2img", "fox", SPECS[0])
    asked = make_job("txt2img", "fox", SPECS[1])
    plan = redone(plan_of([first]), [asked], {first.id})

    ((before, after),) = resolve(plan, [first]).changed
    assert (before.revision, after.revision, after.spec) == (1, 2, first.spec)


def redrawn(job: Job, *, run_seed: int = 7) -> Job:
    """Return a job as a redo with another seed plans it."""
    revision = job.revision + 1
    seed = redo_seed(run_seed, job.kind, job.place, revision)
    return replace(job, id=job_id(job.kind, job.place, revision), revision=revision, changes={"seed": seed})


def named(plan: Plan, job: Job, name: str = "") -> Job:
    (found,) = Naming(name, 7).named(plan, [job], BY_HASH, only_beside=False)
    return found


def test_a_changed_payload_keeps_the_seed_of_a_redo() -> None:
    first = make_job("txt2img", "fox", SPECS[0])
    second = redrawn(first)
    asked = make_job("txt2img", "fox", SPECS[1])
    plan = plan_of([first, second])

    ((before, after),) = resolve(plan, [named(plan, asked)]).changed
    assert (before, after.spec, after.changes) == (second, asked.spec, second.changes)


def test_after_that_the_same_question_changes_nothing() -> None:
    first = make_job("txt2img", "fox", SPECS[0])
    asked = make_job("txt2img", "fox", SPECS[1])
    plan = plan_of([first, redrawn(first)])
    after = redone(plan, [named(plan, asked)], set(plan.jobs))

    assert resolve(after, [named(after, asked)]).jobs == ()


@pytest.mark.parametrize("own", [{"seed": 5}, {"seed": 5, "prompt": "a hare"}])
def test_a_seed_that_is_named_is_taken_whatever_a_redo_drew(own: dict[str, int | str]) -> None:
    first = make_job("txt2img", "fox", SPECS[0])
    asked = make_job("txt2img", "fox", SPECS[1], changes=own)
    plan = plan_of([first, redrawn(first)])

    assert named(plan, asked).changes == own


def test_a_seed_that_was_named_is_not_kept_once_none_is_named() -> None:
    first = make_job("txt2img", "fox", SPECS[0], changes={"seed": 5})
    plan = plan_of([first])

    assert named(plan, make_job("txt2img", "fox", SPECS[0])).changes == {}


def test_a_variant_is_drawn_from_the_seed_of_a_redo() -> None:
    first = make_job("txt2img", "fox", SPECS[0])
    second = redrawn(first)

    assert named(plan_of([first, second]), make_job("txt2img", "fox", SPECS[1]), "more").changes == second.changes


@pytest.mark.parametrize("is_redrawn", [False, True])
def test_a_variant_stays_what_it_is_when_the_plain_image_is_redone_after_it(*, is_redrawn: bool) -> None:
    first = make_job("txt2img", "fox", SPECS[0])
    variant = named(plan_of([first]), first, "more")
    planned = [first, variant, redrawn(first), *([redrawn(variant)] if is_redrawn else [])]

    assert resolve(plan_of(planned), [named(plan_of(planned), first, "more")]).jobs == ()


@given(chains, st.sampled_from(["cfg6", "a", "x_1.b"]))
def test_a_variant_has_places_of_its_own_and_the_same_seeds(chain: list[tuple[bool, int]], name: str) -> None:
    jobs = jobs_of(chain)
    found = as_variant(jobs, BY_HASH, name, KeptSeeds(plan_of([]), 7))

    assert [job.place for job in found] == [f"{job.place}_{name}" for job in jobs]
    assert resolve(plan_of(jobs), found).changed == ()
    assert [job.needs for job in found] == [
        None if job.needs is None else found[[one.id for one in jobs].index(job.needs)].id for job in jobs
    ]
    assert all(isinstance(job.changes["seed"], int) for job in found)


def test_what_is_staged_upon_a_plan_takes_the_place_of_what_is_withdrawn() -> None:
    first = make_job("txt2img", "fox", SPECS[0])
    second = replace(first, id=job_id("txt2img", "fox", 1), revision=1)

    assert list(Staged({second.id: second}, {}, {first.id}).upon(plan_of([first])).jobs) == [second.id]


@pytest.mark.parametrize("name", ["a/b", "../up", "", ".", "-" * 41])
def test_a_variant_that_is_no_part_of_a_file_name_is_refused(name: str) -> None:
    with pytest.raises(PlanError, match="a name of letters"):
        as_variant([make_job("txt2img", "fox", SPECS[0])], BY_HASH, name, KeptSeeds(plan_of([]), 7))
