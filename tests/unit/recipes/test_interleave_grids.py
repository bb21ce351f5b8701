"""Grids and the preview page: built from a run's records, by hand and without a server."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from sdclient.batch.commit import commit, make_record
from sdclient.batch.events import Event
from sdclient.batch.identity import new_token
from sdclient.batch.publish import publish_job
from sdclient.batch.record import Outcome, OutFile
from sdclient.batch.survey import Counts
from sdclient.errors import CodecError
from sdclient.images import read_image_input
from sdclient.recipes.interleave import (
    Chapter,
    InterleaveConfig,
    InterleavePlan,
    build_grids,
    draw_grid,
    plan_interleave,
)
from sdclient.recipes.interleave.preview import PreviewPage
from sdclient.run import Run
from sdclient.schemas import Txt2Img

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
Colour = tuple[int, int, int]


def png(colour: Colour, size: tuple[int, int] = (64, 64)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


def finish(run: Run, place: str, data: bytes) -> None:
    """Make one job of a run done, as a worker does."""
    job = next(job for job in run.jobs() if job.place.endswith(place))
    token = new_token()
    part = run.folder.part_folder(job.id, 1, token)
    part.mkdir()
    name = place + "_1.png"
    (part / name).write_bytes(data)
    import hashlib

    one = OutFile(name, f"{job.place}_1.png", hashlib.sha256(data).hexdigest(), len(data))
    record = make_record(job.id, 1, token, Outcome((one,)), {})
    assert commit(run.folder, part, record)
    publish_job(run.folder, record)


def begun(
    folder: Path, chapters: Sequence[int], weights: Sequence[float] = (0.9,), **generation: object
) -> tuple[Run, InterleavePlan, InterleaveConfig]:
    config = InterleaveConfig.model_validate(
        {
            "prompt_config": {"source": "s.txt", "key": "s"},
            "generation_config": generation,
            "style_configs": [
                {"style": "", "file_tag": f"t{number}", "weight": weight} for number, weight in enumerate(weights)
            ],
        }
    )
    found = [Chapter(number, ("a fox",) * count) for number, count in enumerate(chapters)]
    plan = plan_interleave(config, found, Txt2Img(width=64, height=64))
    return Run(folder / "out").add_jobs(plan.jobs).save(), plan, config


def pixel(path: Path, x: int, y: int) -> object:
    with Image.open(path) as image:
        return image.convert("RGB").getpixel((x, y))


@pytest.mark.parametrize(
    ("count", "size"), [(1, (1, 1)), (2, (2, 1)), (3, (2, 2)), (5, (3, 2)), (9, (3, 3)), (10, (4, 3))]
)
def test_a_grid_has_no_empty_row(count: int, size: tuple[int, int]) -> None:
    """Five images made a grid of three by three in the original."""
    sheet = draw_grid([png(RED)] * count)

    assert sheet.size == (size[0] * 64, size[1] * 64)


def test_a_grid_is_filled_row_by_row_on_black() -> None:
    sheet = draw_grid([png(RED), png(GREEN), png(BLUE)])

    assert [sheet.getpixel(point) for point in ((0, 0), (64, 0), (0, 64), (64, 64))] == [RED, GREEN, BLUE, (0, 0, 0)]


def test_an_image_of_another_shape_is_fitted_in_and_never_stretched() -> None:
    sheet = draw_grid([png(RED), png(GREEN, (128, 32))])

    assert [sheet.getpixel((96, y)) for y in (0, 32, 63)] == [(0, 0, 0), GREEN, (0, 0, 0)]


def test_a_grid_of_very_many_images_stays_within_its_limit() -> None:
    sheet = draw_grid([png(WHITE, (256, 128))] * 9, max_side_px=300)

    assert sheet.size == (300, 150)


def test_an_image_that_is_none_is_named() -> None:
    with pytest.raises(CodecError):
        draw_grid([b"no image"])


def test_each_chapter_has_a_grid_of_its_own(tmp_path: Path) -> None:
    """The original's lists were never emptied: the grid of chapter 2 held chapter 1, too."""
    run, plan, config = begun(tmp_path, (1, 1))
    finish(run, "t0 0-0", png(RED))
    finish(run, "t0 1-0", png(BLUE))

    built = build_grids(run, plan, config.generation_config)

    assert [path.name for path in built.grids] == ["t0 grid-0.png", "t0 grid-1.png"]
    assert [pixel(path, 0, 0) for path in built.grids] == [RED, BLUE]
    assert built.missing == ()


def test_a_grid_may_show_all_chapters_where_that_is_asked_for(tmp_path: Path) -> None:
    run, plan, config = begun(tmp_path, (1, 1), grid_all_chapters=True)
    finish(run, "t0 0-0", png(RED))
    finish(run, "t0 1-0", png(BLUE))

    built = build_grids(run, plan, config.generation_config)

    with Image.open(built.grids[1]) as image:
        assert image.size == (128, 64)


def test_a_grid_waits_for_its_images_and_says_how_many(tmp_path: Path) -> None:
    run, plan, config = begun(tmp_path, (2, 1))
    finish(run, "t0 1-0", png(BLUE))

    built = build_grids(run, plan, config.generation_config)

    assert [path.name for path in built.grids] == ["t0 grid-1.png"]
    assert built.missing == ("t0 grid-0: 2 of 2 images are still missing",)


def test_a_grid_whose_image_was_taken_away_says_so(tmp_path: Path) -> None:
    run, plan, config = begun(tmp_path, (1,))
    finish(run, "t0 0-0", png(RED))
    (run.out / "s/progresive/t0/t0 0-0_1.png").unlink()

    built = build_grids(run, plan, config.generation_config)

    assert built.grids == ()
    assert "was made and is gone" in built.missing[0]


def test_an_image_that_was_taken_away_before_it_was_handed_on_holds_up_no_other_grid(tmp_path: Path) -> None:
    run, plan, config = begun(tmp_path, (2,), weights=(0, 0.5), interleave=False)
    for place in ("t0 0-0", "t1 0-0", "t1 0-1"):
        finish(run, place, png(GREEN))
    (run.out / plan.images / "t0 0-0_1.png").unlink()

    built = build_grids(run, plan, config.generation_config)

    assert [path.name for path in built.grids] == ["t1 grid-0.png"]
    assert "was made and is gone" in built.missing[0]


def test_grids_that_are_up_to_date_are_not_built_again(tmp_path: Path) -> None:
    run, plan, config = begun(tmp_path, (1,))
    finish(run, "t0 0-0", png(RED))
    (path,) = build_grids(run, plan, config.generation_config).grids
    before = path.stat().st_mtime_ns

    again = build_grids(run, plan, config.generation_config)

    assert again.grids == (path,)
    assert path.stat().st_mtime_ns == before


def test_a_grid_that_was_painted_over_is_kept_aside(tmp_path: Path) -> None:
    run, plan, config = begun(tmp_path, (1,))
    finish(run, "t0 0-0", png(RED))
    (path,) = build_grids(run, plan, config.generation_config).grids
    path.write_bytes(png(GREEN))

    built = build_grids(run, plan, config.generation_config)

    assert pixel(path, 0, 0) == RED
    assert pixel(path.with_name("t0 grid-0~1.png"), 0, 0) == GREEN
    assert len(built.remarks) == 1


def test_an_image_that_was_handed_on_unchanged_lies_beside_the_others_byte_for_byte(tmp_path: Path) -> None:
    run, plan, config = begun(tmp_path, (2,), (0.0,))
    finish(run, "t0 0-0", png(RED))

    built = build_grids(run, plan, config.generation_config)

    folder = run.out / "s/progresive/t0"
    assert (folder / "t0 0-1_1.png").read_bytes() == (folder / "t0 0-0_1.png").read_bytes()
    with Image.open(built.grids[0]) as image:
        assert image.size == (128, 64)


def test_the_preview_shows_the_newest_images_and_no_more_than_asked_for(tmp_path: Path) -> None:
    page = PreviewPage(tmp_path, 2)
    for name in ("a", "b & <c>", "d"):
        (tmp_path / f"{name}_1.png").write_bytes(read_image_input(png(RED)))
        page(Event("done", Counts(3, 1, 0, 0, 0, 2), place=name))
    page(Event("failed", Counts(3, 3, 0, 0, 0, 0), place="e"))

    text = page.path.read_text(encoding="utf-8")

    assert text.index("d_1.png") < text.index("b &amp; &lt;c&gt;_1.png")
    assert "a_1.png" not in text
    assert "b%20%26%20%3Cc%3E_1.png" in text
    assert 'http-equiv="refresh"' in text


def test_the_preview_stops_renewing_itself_when_the_work_is_over(tmp_path: Path) -> None:
    page = PreviewPage(tmp_path, 2)
    page.close()

    assert 'http-equiv="refresh"' not in page.path.read_text(encoding="utf-8")
    assert "None yet." in page.path.read_text(encoding="utf-8")


def test_a_preview_that_cannot_be_written_does_not_end_the_work(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    page = PreviewPage(tmp_path, 2)
    page.path.unlink()
    page.path.mkdir()

    page.close()

    assert "the preview was not written" in caplog.text
