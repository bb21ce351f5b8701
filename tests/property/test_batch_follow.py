"""Laws of what follows an image that is made once more."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from sdclient.batch.adding import check_new_jobs
from sdclient.batch.follow import Sources, by_any_revision, inputs_first, to_plan_anew
from sdclient.batch.plan import Job, OutputInput, Plan, Shard, job_id, make_job, spec_id, unite

SPEC: dict[str, JsonValue] = {"request": {"steps": 1}}
BY_HASH = {spec_id(SPEC): SPEC}
# Of each job the number of the one before that it works on; its own number or more: of none.
trees = st.lists(st.integers(0, 9), min_size=1, max_size=9)


def jobs_of(tree: list[int]) -> list[Job]:
    jobs: list[Job] = []
    for number, above in enumerate(tree):
        source = OutputInput(jobs[above].id) if above < number else None
        jobs.append(make_job("img2img" if source else "txt2img", f"job{number}", SPEC, input=source))
    return jobs


def as_redone(job: Job, source: str | None = None) -> Job:
    """Return a job's next revision; without a source on the same output as before."""
    after = replace(job, id=job_id(job.kind, job.place, job.revision + 1), revision=job.revision + 1)
    return after if source is None else replace(after, input=OutputInput(source))


def with_outdated(jobs: list[Job], done: set[str], data: st.DataObject) -> Plan:
    """Return a plan in which some were planned once more without what works on them, in whatever order."""
    again = [as_redone(job) for job in jobs if data.draw(st.booleans())]
    withdrawn = [job_id(job.kind, job.place) for job in again if job_id(job.kind, job.place) not in done]
    shards = [Shard("0", 0, tuple(jobs), BY_HASH), Shard("1", len(jobs), tuple(again), BY_HASH, tuple(withdrawn))]
    return unite(shards)


def redone(plan: Plan, asked: set[str], done: set[str]) -> tuple[list[Job], Plan]:
    """Return what a redo takes up, and the plan after it."""
    sources = Sources(plan)
    before = to_plan_anew(sources, asked, done)
    ids = {job.id: as_redone(job).id for job in before}
    after = [
        as_redone(job, None if (source := sources.of(job)) is None else ids.get(source.id, source.id)) for job in before
    ]
    fresh = check_new_jobs(plan, after, BY_HASH)
    withdrawn = tuple(job.id for job in before if job.id not in done)
    old = Shard("0", 0, tuple(plan.jobs.values()), BY_HASH, tuple(plan.withdrawn))
    return before, unite([old, Shard("1", len(plan.jobs), tuple(fresh), BY_HASH, withdrawn)])


@given(trees, st.data())
def test_after_a_redo_all_that_grows_out_of_it_works_on_the_latest_images(tree: list[int], data: st.DataObject) -> None:
    jobs = jobs_of(tree)
    done = {job.id for job in jobs if data.draw(st.booleans())}
    plan = with_outdated(jobs, done, data)
    done |= {job for job in plan.jobs if data.draw(st.booleans())}
    asked = {job for job in Sources(plan).latest if data.draw(st.booleans())}

    before, after = redone(plan, asked, done)

    sources = Sources(after)
    places = {plan.jobs[one].place for one in Sources(plan).below(asked)}
    assert not [job for job in sources.latest.values() if job.place in places and sources.is_outdated(job)]
    # All that was asked for and done is made once more, nothing above it, and what is not done is asked for once.
    assert {plan.jobs[one].place for one in asked & done} <= {job.place for job in before} <= places
    assert {job.id for job in before if job.id in done} <= after.jobs.keys()
    assert not {job.id for job in before if job.id not in done} & after.jobs.keys()
    assert {job.place for job in sources.latest.values()} == {job.place for job in jobs}


@given(trees, st.data())
def test_a_second_look_after_a_redo_finds_nothing_that_must_follow(tree: list[int], data: st.DataObject) -> None:
    jobs = jobs_of(tree)
    done = {job.id for job in jobs if data.draw(st.booleans())}
    plan = with_outdated(jobs, done, data)
    asked = {job for job in Sources(plan).latest if data.draw(st.booleans())}

    _, after = redone(plan, asked, done)

    sources = Sources(after)
    now = {newest.id for one in asked if (newest := sources.newest(one)) is not None}
    assert len(now) == len(asked)
    assert to_plan_anew(sources, now, frozenset()) == []


@given(st.permutations(range(6)))
def test_inputs_come_before_what_works_on_them_whatever_the_order(order: list[int]) -> None:
    chain = jobs_of([9, 0, 1, 2, 3, 4])
    above = {job.id: one for one, job in pairwise(chain)}

    found = inputs_first([chain[number] for number in order], lambda job: above.get(job.id))

    assert found == chain


def test_a_revision_that_was_withdrawn_is_known_by_its_place() -> None:
    third = as_redone(as_redone(make_job("txt2img", "fox", SPEC)))

    assert by_any_revision([third]) == {job_id("txt2img", "fox", number): third for number in range(3)}
