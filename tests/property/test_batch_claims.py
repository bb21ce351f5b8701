"""Laws of claims, standings and counts."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sdclient.batch.beats import BEAT_BYTES, Beat, Watcher, parse_beat
from sdclient.batch.claims import (
    MAX_FAILED,
    TORN,
    End,
    Epoch,
    claim_name,
    count_failures,
    parse_claim_name,
    parse_end,
    standing,
)
from sdclient.batch.identity import ProcessIdentity
from sdclient.batch.plan import Job, OutputInput, job_id, make_job
from sdclient.batch.survey import count, survey

ends = st.builds(
    End,
    st.sampled_from(["released", "failed", "set_aside"]),
    st.sampled_from(["", "SomeError"]),
    st.just("words"),
    st.sampled_from(["a", "b"]),
    healthy=st.booleans(),
    killed_server=st.booleans(),
    resets=st.booleans(),
)
owners = st.sampled_from(["alive", "dead"])
histories = st.lists(st.tuples(owners, st.none() | ends), max_size=8).map(
    lambda listed: tuple(Epoch(number, owner, end) for number, (owner, end) in enumerate(listed, start=1))
)


def is_stale(epoch: Epoch) -> bool:
    return epoch.owner == "dead"


@given(histories)
def test_a_job_is_claimable_unless_somebody_lives_on_it_or_it_is_set_aside(epochs: tuple[Epoch, ...]) -> None:
    found = standing(epochs, is_stale)

    is_held = bool(epochs) and epochs[-1].end is None and not is_stale(epochs[-1])
    assert (found.state == "claimed") == is_held
    assert (found.next_epoch is None) == (found.state in ("claimed", "set_aside"))


@given(histories)
def test_epochs_only_grow(epochs: tuple[Epoch, ...]) -> None:
    found = standing(epochs, is_stale)

    assert found.next_epoch is None or found.next_epoch == (epochs[-1].number if epochs else 0) + 1


@given(histories)
def test_nothing_is_claimable_after_three_failed_tries(epochs: tuple[Epoch, ...]) -> None:
    found = standing(epochs, is_stale)

    failures = count_failures([epoch.end for epoch in epochs if epoch.end is not None])
    if failures >= MAX_FAILED:
        assert found.next_epoch is None


@given(histories)
def test_nothing_is_claimable_after_two_servers_died_of_it(epochs: tuple[Epoch, ...]) -> None:
    deadly = End("failed", "AnswerLostError", "lost", "a", killed_server=True)
    number = epochs[-1].number + 1 if epochs else 1
    found = standing((*epochs, Epoch(number, "dead", deadly), Epoch(number + 1, "dead", deadly)), is_stale)

    assert found.state == "set_aside"
    assert found.because


@given(histories)
def test_after_a_retry_a_job_is_claimable_again(epochs: tuple[Epoch, ...]) -> None:
    number = epochs[-1].number + 1 if epochs else 1
    retried = (*epochs, Epoch(number, "alive", End("released", resets=True)))

    assert standing(retried, is_stale) == standing(retried, lambda _: False)
    assert standing(retried, is_stale).state == "waiting"


@given(histories)
def test_kills_and_releases_are_no_attempts(epochs: tuple[Epoch, ...]) -> None:
    number = epochs[-1].number + 1 if epochs else 1
    before = standing(epochs, lambda _: True)
    after = standing((*epochs, Epoch(number, "dead"), Epoch(number + 1, "dead", End("released"))), lambda _: True)

    assert after.failures == before.failures


@given(ends)
def test_an_end_reads_back_as_it_was_written(end: End) -> None:
    assert parse_end(end.to_bytes()) == (end if end.error else replace(end, error="", message=""))


@given(ends, st.data())
def test_an_end_cut_anywhere_counts_as_failed(end: End, data: st.DataObject) -> None:
    whole = end.to_bytes()
    cut = data.draw(st.integers(0, len(whole) - 2))

    assert parse_end(whole[:cut]) is TORN


@given(st.binary(max_size=200))
def test_any_bytes_at_all_can_be_read_as_an_end_or_a_beat(data: bytes) -> None:
    assert parse_end(data).ended in ("released", "failed", "set_aside")
    parse_beat(data)


@given(st.text("0123456789abcdef", min_size=20, max_size=20), st.integers(1, 10**9))
def test_a_claim_name_reads_back(job: str, epoch: int) -> None:
    assert parse_claim_name(claim_name(job, epoch)) == (job, epoch, False)
    assert parse_claim_name(claim_name(job, epoch) + ".end") == (job, epoch, True)


@st.composite
def runs(draw: st.DrawFn) -> tuple[dict[str, Job], set[str], dict[str, tuple[Epoch, ...]]]:
    jobs: list[Job] = []
    for number in range(draw(st.integers(0, 10))):
        above = draw(st.sampled_from([None, "missing", *[job.id for job in jobs]]))
        place, revision = f"job{number // 2}", number % 2 if draw(st.booleans()) else number + 2
        job = make_job("img2img", place, "spec", input=OutputInput(above) if above else None)
        jobs.append(replace(job, id=job_id(job.kind, place, revision), revision=revision))
    order = draw(st.permutations(jobs))
    done = {job.id for job in jobs if draw(st.booleans())}
    claims = {job.id: epochs for job in jobs if (epochs := draw(histories))}
    return {job.id: job for job in order}, done, claims


@given(runs())
def test_counts_always_add_up(run: tuple[dict[str, Job], set[str], dict[str, tuple[Epoch, ...]]]) -> None:
    jobs, done, claims = run
    counts = count(jobs, done, survey(jobs, done, claims, is_stale).values())

    assert counts.done + counts.failed + counts.set_aside + counts.claimed + counts.waiting == counts.jobs
    # A place counts once, but for revisions that are still open though a later one is planned.
    places = {job.place for job in jobs.values()}
    assert len(places) <= counts.jobs <= len(places) + len(jobs.keys() - done)


@given(runs())
def test_what_needs_a_job_that_is_set_aside_is_set_aside_in_any_order_of_the_plan(
    run: tuple[dict[str, Job], set[str], dict[str, tuple[Epoch, ...]]],
) -> None:
    jobs, done, claims = run
    found = survey(jobs, done, claims, is_stale)

    assert list(found) == [job for job in jobs if job not in done]
    for open_job, one in found.items():
        needs = jobs[open_job].needs
        if needs is not None and needs not in done and (needs not in jobs or found[needs].state == "set_aside"):
            assert one.state == "set_aside"
            assert one.next_epoch is None


@given(st.integers(0, 10**12), st.text(max_size=80), st.text(max_size=30), st.sets(st.text(max_size=30), max_size=30))
def test_a_beat_has_one_size_and_reads_back(counter: int, label: str, start: str, kinds: set[str]) -> None:
    who = ProcessIdentity(
        "8b5f0b3c-3d3a-4c55-8f4e-d9c7c4e1a001", "pid:[4026531836]", 4711, start.encode("ascii", "ignore").decode()[:10]
    )
    beat = Beat(counter, who, label, frozenset(kinds))

    data = beat.to_bytes()

    found = parse_beat(data)
    assert len(data) == BEAT_BYTES
    assert found is not None
    assert (found.counter, found.identity) == (counter, who)
    assert found.kinds in (frozenset(), frozenset(kinds))


@given(st.lists(st.tuples(st.floats(0.01, 40), st.sampled_from([b"1", b"2", None])), min_size=1, max_size=30))
def test_nobody_is_stale_whose_beat_changed_within_the_lease(looks: list[tuple[float, bytes | None]]) -> None:
    watcher = Watcher(lease_s=90, beat_s=10)
    now, changed_at, before = 0.0, 0.0, b"nothing yet"
    for pause_s, data in looks:
        now += pause_s
        if data != before:
            changed_at, before = now, data  # type: ignore[assignment]
        watcher.observe({} if data is None else {"worker": data}, now)
        if watcher.is_stale("worker"):
            assert now - changed_at >= 90
