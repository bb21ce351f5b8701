"""Laws of the plan and its shards."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sdclient.batch.adding import check_new_jobs
from sdclient.batch.folder import RunFolder
from sdclient.batch.plan import (
    FileInput,
    Job,
    OutputInput,
    Shard,
    decode_shard,
    encode_shard,
    is_plain_place,
    job_id,
    job_seed,
    make_job,
    spec_id,
    unite,
)
from sdclient.batch.record import OutFile, Record, parse_record

# Everything UTF-8 can say, the separators that only look like line ends among it.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.sampled_from(
    ["\u2028", "a\x85b", "\x0b", "é", "e\u0301"]
)
parts = texts.filter(lambda text: is_plain_place(text) and "/" not in text)
places = st.lists(parts, min_size=1, max_size=3).map("/".join).filter(is_plain_place)
specs = st.dictionaries(texts, texts | st.integers() | st.booleans(), max_size=3)


@st.composite
def jobs_of(draw: st.DrawFn) -> tuple[list[Job], dict[str, dict[str, object]]]:
    spec = draw(specs)
    names = draw(
        st.lists(
            places, min_size=1, max_size=6, unique_by=lambda place: make_job("txt2img", place, "x").place.casefold()
        )
    )
    jobs: list[Job] = []
    for name in names:
        earlier = [OutputInput(job.id, draw(st.integers(0, 3))) for job in jobs]
        source = draw(st.sampled_from([None, FileInput("../in", f"{name}.png"), *earlier]))
        columns = draw(st.dictionaries(texts, texts, max_size=2))
        jobs.append(make_job("txt2img", name, spec, input=source, changes=draw(specs), columns=columns))
    return jobs, {spec_id(spec): spec}


@given(jobs_of())
def test_a_shard_reads_back_as_it_was_written(given: tuple[list[Job], dict[str, dict[str, object]]]) -> None:
    jobs, specs = given

    shard = decode_shard(*encode_shard(jobs, specs, follows=3))

    assert list(shard.jobs) == jobs
    assert shard.specs == specs
    assert shard.follows == 3


@given(jobs_of(), st.randoms())
def test_the_order_in_which_shards_are_read_makes_no_difference(
    given: tuple[list[Job], dict[str, dict[str, object]]], rng: object
) -> None:
    jobs, specs = given
    shards = [Shard(f"{number % 2}{job.id}", number // 2, (job,), specs) for number, job in enumerate(jobs)]
    shuffled = sorted(shards, key=lambda _: rng.random())  # type: ignore[attr-defined]

    assert list(unite(shuffled).jobs) == list(unite(shards).jobs)


@given(jobs_of(), st.integers(1, 5))
def test_the_plan_does_not_depend_on_how_many_machines_make_it(
    given: tuple[list[Job], dict[str, dict[str, object]]], machines: int
) -> None:
    jobs, specs = given
    with tempfile.TemporaryDirectory() as scratch:
        folders = [RunFolder.create(Path(scratch), run_seed=1) for _ in range(machines)]

        added = [len(folder.add(jobs, specs)) for folder in folders]

        assert sum(added) == len(jobs)
        assert [list(folder.read_plan().jobs.values()) for folder in folders] == [jobs] * machines


@given(jobs_of())
def test_planning_again_adds_nothing(given: tuple[list[Job], dict[str, dict[str, object]]]) -> None:
    jobs, specs = given
    plan = unite([decode_shard(*encode_shard(jobs, specs))])

    assert check_new_jobs(plan, jobs) == []


@given(places, st.integers(0, 2**32 - 1), st.sampled_from(["txt2img", "img2img", "segment"]))
def test_ids_and_seeds_are_the_same_for_both_spellings_of_a_name(place: str, run_seed: int, kind: str) -> None:
    import unicodedata

    other = unicodedata.normalize("NFD", place)

    assert job_id(kind, other) == job_id(kind, place)
    assert job_seed(run_seed, kind, other) == job_seed(run_seed, kind, place)
    assert 0 <= job_seed(run_seed, kind, place) < 2**32


@given(st.text(max_size=40))
def test_a_plain_place_stays_inside_the_output_folder(text: str) -> None:
    if is_plain_place(text):
        root = Path("/out/folder")
        target = (root / text).resolve()
        assert target != root
        assert target.is_relative_to(root)


@given(st.lists(st.tuples(parts, places, st.integers(0, 2**40), specs), max_size=3), specs)
def test_a_record_reads_back_as_it_was_written(
    files: list[tuple[str, str, int, dict[str, object]]], facts: dict[str, object]
) -> None:
    taken = {"name", "place", "sha256", "size_bytes", "job", "epoch", "token", "files"}
    made = tuple(
        OutFile(name, place, "0" * 64, size, {key: value for key, value in extra.items() if key not in taken})
        for name, place, size, extra in files
        if name != "record.json"
    )
    record = Record("a" * 20, 7, "b" * 32, made, {key: value for key, value in facts.items() if key not in taken})

    assert parse_record(record.to_bytes(), "here") == record
