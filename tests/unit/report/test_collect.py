"""Reading a run folder: everything that is there, and a note for everything that is not right."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from sdclient.batch.beats import BeatWriter
from sdclient.batch.plan import FileInput, job_id
from sdclient.errors import RunFolderError
from sdclient.files import format_row
from sdclient.report.collect import make_report, read_run
from sdclient.report.model import Before, ImageCard, RunReport
from sdclient.report.write import write_report
from tests.unit.report.builder import OTHER, SPEC, TOKEN, RunBuilder, moment, png


def report_of(run: RunBuilder) -> RunReport:
    return make_report(read_run(run.fresh()))


def card_of(report: RunReport, name: str) -> ImageCard:
    [card] = [card for card in report.images if card.place.endswith(name)]
    return card


def test_a_report_counts_jobs_images_and_attempts(studied: RunBuilder) -> None:
    report = report_of(studied)

    assert report.counts.to_json() == {
        "jobs": 7,
        "done": 5,
        "failed": 1,
        "set_aside": 1,
        "claimed": 0,
        "waiting": 0,
    }
    assert [card.place for card in report.images] == [
        "generated/Italian/fox_1.png",
        "baked/Italian/fox_1_upscaled_1.png",
        "generated/Greek/fox_1.png",
        "baked/Greek/fox_1_upscaled_1.png",
    ]
    assert len(report.attempts) == 7
    assert report.name == "OUT"
    assert report.notes == ()


def test_a_card_knows_prompt_seed_columns_and_where_it_comes_from(studied: RunBuilder) -> None:
    card = card_of(report_of(studied), "baked/Italian/fox_1_upscaled_1.png")

    assert card.prompt == "a fox"
    assert card.facts["seed"] == "7"
    assert card.columns == {"nation": "Italian", "category": "family"}
    assert (card.width_px, card.height_px) == (64, 48)
    assert card.before == Before("generated/Italian/fox_1.png", is_there=True)
    assert [cutout.name for cutout in card.cutouts] == ["fox_01.png", "fox_02.png"]
    assert card_of(report_of(studied), "generated/Italian/fox_1.png").prompt == "a Italian fox"


def test_the_key_of_a_run_follows_its_seed_and_name_and_nothing_else(studied: RunBuilder) -> None:
    one = make_report(read_run(studied.fresh()), now=dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc))

    assert one.run_key == report_of(studied).run_key
    assert one.made_at == "2026-01-01T00:00:00+00:00"


def test_an_image_that_was_deleted_is_noted_and_kept_as_gone(studied: RunBuilder) -> None:
    (studied.out / "generated/Greek/fox_1.png").unlink()

    report = report_of(studied)

    assert card_of(report, "generated/Greek/fox_1.png").state == "gone"
    assert card_of(report, "baked/Greek/fox_1_upscaled_1.png").before == Before(
        "generated/Greek/fox_1.png", is_there=False
    )
    assert report.notes == ("generated/Greek/fox_1.png: was made and is gone; restore it, or redo it",)


def test_an_image_that_was_replaced_by_hand_is_noted(studied: RunBuilder) -> None:
    (studied.out / "generated/Greek/fox_1.png").write_bytes(png((1, 2, 3), (30, 30)) + b"more")

    report = report_of(studied)

    assert card_of(report, "generated/Greek/fox_1.png").state == "changed"
    assert "changed or replaced by hand" in report.notes[0]


def test_an_image_that_was_redone_is_shown_once_and_what_was_drawn_over_the_old_one_knows_it(
    builder: RunBuilder,
) -> None:
    old = builder.plan("fox")
    record = builder.commit(old, png((1, 2, 3)))
    bake = builder.plan("baked", kind="img2img", source=old)
    builder.commit(bake)
    kept = builder.folder.state / "replaced" / old.id / record.files[0].name
    kept.parent.mkdir(parents=True)
    kept.write_bytes(png((1, 2, 3)))
    again = replace(old, id=job_id(old.kind, old.place, 1), revision=1)
    builder.folder.add([again], {old.spec: SPEC})
    builder.commit(again, png((9, 9, 9)))

    report = report_of(builder)

    # Where the old one stood.
    assert [card.key for card in report.images] == [f"{again.id}-0", f"{bake.id}-0"]
    assert report.images[1].before == Before(f".sdclient/replaced/{old.id}/fox_1.png", is_there=True)
    assert report.notes == ()


def test_an_image_that_was_not_published_yet_is_found_with_its_record(builder: RunBuilder) -> None:
    job = builder.plan("fox")
    builder.commit(job)
    (builder.out / "fox_1.png").rename(builder.folder.done_folder(job.id) / "fox_1.png")

    [card] = report_of(builder).images

    assert (card.state, card.place) == ("there", f".sdclient/done/{job.id[:2]}/{job.id}/fox_1.png")


def test_an_image_published_aside_is_found_there(builder: RunBuilder) -> None:
    job = builder.plan("fox")
    builder.commit(job)
    (builder.out / "fox_1.png").rename(builder.out / f"fox_1~{job.id[:8]}.png")
    (builder.out / "fox_1.png").write_bytes(b"a file of the user's")

    [card] = report_of(builder).images

    assert card.place == f"fox_1~{job.id[:8]}.png"
    assert card.state == "there"


def test_a_record_that_points_outside_is_noted_and_not_followed(builder: RunBuilder) -> None:
    job = builder.plan("fox")
    builder.commit(job)
    path = builder.folder.done_folder(job.id) / "record.json"
    path.write_text(path.read_text().replace("fox_1.png", "../../etc/passwd.png"), encoding="utf-8")

    report = report_of(builder)

    assert report.images == ()
    assert len(report.notes) >= 1


def test_an_image_that_became_a_link_is_noted_and_not_followed(studied: RunBuilder) -> None:
    path = studied.out / "generated/Greek/fox_1.png"
    path.unlink()
    path.symlink_to(studied.out / "generated/Italian/fox_1.png")

    report = report_of(studied)

    assert len(report.images) == 3
    assert "is a link" in report.notes[0]
    assert card_of(report, "baked/Greek/fox_1_upscaled_1.png").before is None


def test_a_damaged_record_is_noted_and_the_rest_is_shown(studied: RunBuilder) -> None:
    job = next(job for job in studied.folder.read_plan().jobs.values() if job.place == "generated/Greek/fox")
    (studied.folder.done_folder(job.id) / "record.json").write_bytes(b'{"job": ')

    report = report_of(studied)

    assert len(report.images) == 3
    assert any("damaged" in note for note in report.notes)


def test_a_torn_log_gives_all_that_can_be_read(studied: RunBuilder) -> None:
    path = studied.folder.state / "log" / f"{TOKEN}.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b'torn,"in the middle\n', *lines[2:-1], lines[-1][:20]]))

    report = report_of(studied)

    assert len(report.attempts) == 6
    assert [note for note in report.notes if "line 3" in note]


def test_a_log_cut_inside_its_last_row_is_noted(studied: RunBuilder) -> None:
    path = studied.folder.state / "log" / f"{TOKEN}.csv"
    path.write_bytes(path.read_bytes()[:-20])

    report = report_of(studied)

    assert f"log/{TOKEN}.csv: cut inside its last row, which is left out" in report.notes


def test_a_log_whose_row_is_still_being_written_is_not_called_cut(builder: RunBuilder) -> None:
    builder.commit(builder.plan("fox"))
    BeatWriter(builder.folder.state / "beats" / TOKEN, beat_s=10, lease_s=90).beat()
    path = builder.folder.state / "log" / f"{TOKEN}.csv"
    path.write_bytes(path.read_bytes() + b"half a row")

    assert report_of(builder).notes == ()


def test_a_line_of_a_log_that_cannot_be_read_is_noted_once(studied: RunBuilder) -> None:
    path = studied.folder.state / "log" / f"{TOKEN}.csv"
    path.write_bytes(path.read_bytes() + b'torn,"in the middle\n')

    notes = write_report(studied.fresh()).notes

    assert len([note for note in notes if "cannot be read" in note]) == 1


def test_a_log_of_a_newer_format_is_read_by_its_column_names(builder: RunBuilder) -> None:
    job = builder.plan("fox")
    builder.commit(job, logged=False)
    columns = ["colour_of_the_sky", "status", "job", "attempt", "started", "execute_s"]
    cells = ["blue", "done", job.id, "1", moment(0), "5"]
    (builder.folder.state / "log" / f"{TOKEN}.csv").write_bytes(format_row(columns) + format_row(cells))

    [attempt] = report_of(builder).attempts

    assert attempt["colour_of_the_sky"] == "blue"


def test_a_log_without_the_columns_that_count_is_left_out_with_a_note(builder: RunBuilder) -> None:
    builder.commit(builder.plan("fox"))
    (builder.folder.state / "log" / f"{OTHER}.csv").write_bytes(format_row(["a", "b"]) + format_row(["1", "2"]))

    report = report_of(builder)

    assert len(report.attempts) == 1
    assert "of another format" in report.notes[0]


def test_a_log_that_cannot_be_read_is_noted(builder: RunBuilder) -> None:
    builder.commit(builder.plan("fox"))
    (builder.folder.state / "log" / f"{OTHER}.csv").mkdir()

    report = report_of(builder)

    assert len(report.attempts) == 1
    assert len(report.notes) == 1


def test_a_folder_among_the_logs_keeps_no_table_from_being_written_and_is_noted_once(builder: RunBuilder) -> None:
    builder.commit(builder.plan("fox"))
    (builder.folder.state / "log" / "mine.csv").mkdir()

    notes = write_report(builder.fresh()).notes

    assert [note for note in notes if "mine.csv" in note] == [
        f"{builder.folder.state / 'log' / 'mine.csv'}: a folder, and no log; left out"
    ]
    assert "fox" in (builder.out / "attempts.csv").read_text(encoding="utf-8")


def test_the_row_of_a_worker_killed_after_its_commit_is_rebuilt(builder: RunBuilder) -> None:
    builder.commit(builder.plan("fox"), logged=False)

    [attempt] = report_of(builder).attempts

    assert (attempt["status"], attempt["execute_s"], attempt["server"]) == ("done", "8.0", "mini")


def test_inputs_that_this_machine_does_not_see_are_noted_once(builder: RunBuilder) -> None:
    for name in ("a", "b"):
        builder.commit(builder.plan(name, kind="img2img", source=FileInput("../SOURCES", f"{name}.png")))

    report = report_of(builder)

    assert [card.before for card in report.images] == [
        Before("../SOURCES/a.png", is_there=False),
        Before("../SOURCES/b.png", is_there=False),
    ]
    assert len(report.notes) == 1
    assert report.notes[0].startswith("../SOURCES: the folder with the inputs is not there")


def test_an_input_beside_the_run_is_what_its_image_was_drawn_over(builder: RunBuilder) -> None:
    (builder.out.parent / "SOURCES").mkdir()
    (builder.out.parent / "SOURCES" / "a.png").write_bytes(png())
    builder.commit(builder.plan("a", kind="img2img", source=FileInput("../SOURCES", "a.png")))

    [card] = report_of(builder).images

    assert card.before == Before("../SOURCES/a.png", is_there=True)


def test_an_input_that_is_no_image_by_its_name_is_not_shown(builder: RunBuilder) -> None:
    (builder.out.parent / "secret.txt").write_text("secret")
    builder.commit(builder.plan("a", kind="img2img", source=FileInput("..", "secret.txt")))

    [card] = report_of(builder).images

    assert card.before == Before("../secret.txt", is_there=False)


def test_cut_outs_of_a_folder_have_a_card_of_their_own(builder: RunBuilder) -> None:
    (builder.out.parent / "IN").mkdir()
    (builder.out.parent / "IN" / "cat.png").write_bytes(png())
    job = builder.plan(
        "cat", kind="segment", source=FileInput("../IN", "cat.png"), spec={"segment": {"model": "classical"}}
    )
    builder.commit(job, png(), b"{}", names=("cat_01.png", "objects.json"), facts={"objects": 1})

    [card] = report_of(builder).images

    assert card.place == "../IN/cat.png"
    assert [cutout.place for cutout in card.cutouts] == ["cat/cat_01.png"]
    assert (card.state, card.replayable) == ("there", False)


def test_crops_and_masks_beside_cut_outs_are_none(builder: RunBuilder) -> None:
    made = builder.plan("cat")
    builder.commit(made)
    job = builder.plan("cuts/cat", kind="segment", source=made, spec={"segment": {"model": "classical"}})
    record = builder.commit(job, png(), png(), png(), names=("cat_01.png", "cat_01_crop.png", "cat_01_mask.png"))
    roles = zip(record.files, ("cutout", "crop", "mask"), strict=True)
    files = tuple(replace(one, facts={**one.facts, "role": role}) for one, role in roles)
    (builder.folder.done_folder(job.id) / "record.json").write_bytes(replace(record, files=files).to_bytes())

    [card] = report_of(builder).images

    assert [cutout.name for cutout in card.cutouts] == ["cat_01.png"]


def test_a_prompt_of_ten_megabytes_is_cut_and_its_length_said(builder: RunBuilder) -> None:
    builder.commit(builder.plan("fox", changes={"prompt": "x" * 10_000_000}))

    [card] = report_of(builder).images

    assert card.prompt.endswith("… (10,000,000 characters)")
    assert len(card.prompt) < 2100


def test_a_run_that_was_only_planned_has_a_report(builder: RunBuilder) -> None:
    builder.plan("fox")

    report = report_of(builder)

    assert report.counts.waiting == 1
    assert report.images == report.attempts == report.servers == ()


def test_folders_that_a_copy_left_out_are_no_failure(builder: RunBuilder) -> None:
    builder.commit(builder.plan("fox"))
    for name in ("claims", "replies", "beats", "parts"):
        shutil.rmtree(builder.folder.state / name)

    assert len(report_of(builder).images) == 1


def test_a_plan_that_is_damaged_is_an_error(builder: RunBuilder) -> None:
    builder.plan("fox")
    [path] = (builder.folder.state / "plan").glob("*.jsonl")
    path.write_bytes(path.read_bytes()[:-5])

    with pytest.raises(RunFolderError):
        read_run(builder.fresh())


def test_many_notes_are_shortened(builder: RunBuilder) -> None:
    for number in range(60):
        builder.commit(builder.plan(f"fox{number}"))
        (builder.out / f"fox{number}_1.png").unlink()

    notes = report_of(builder).notes

    assert len(notes) == 51
    assert notes[-1] == "… and 10 more of these"


def test_a_worker_that_beats_is_listed(builder: RunBuilder) -> None:
    from sdclient.batch.beats import BeatWriter

    path: Path = builder.folder.state / "beats" / TOKEN
    BeatWriter(path, beat_s=10, lease_s=90, label="study").beat()

    assert report_of(builder).workers == ("worker aaaaaaaa (study)",)
