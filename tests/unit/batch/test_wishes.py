"""Which jobs people mean by the names and patterns they type."""

from __future__ import annotations

import pytest

from sdclient.batch.again import Wish, wanted
from sdclient.batch.plan import make_job

JOBS = [
    make_job(kind, place, {"steps": 1})
    for kind, place in (
        ("txt2img", "animals"),
        ("txt2img", "animals/fox"),
        ("txt2img", "animals/bear"),
        ("img2img", "animals/fox.v2_upscaled"),
        ("segment", "cutouts/fox_1"),
    )
]


@pytest.mark.parametrize(
    ("typed", "places"),
    [
        ("animals/fox", ["animals/fox"]),
        ("animals/fox_1.png", ["animals/fox"]),
        ("animals/fox_12", ["animals/fox"]),
        ("animals/fox.v2_upscaled_1", ["animals/fox.v2_upscaled"]),
        ("animals/fox.v2_upscaled_1.webp", ["animals/fox.v2_upscaled"]),
        ("*/fox_1.png", ["animals/fox"]),
        ("animals/*.png", ["animals/fox", "animals/bear", "animals/fox.v2_upscaled"]),
        ("*/b*_1.png", ["animals/bear"]),
        ("cutouts/fox_1/fox_1_01.png", ["cutouts/fox_1"]),
        ("cutouts/*/*_cat.png", ["cutouts/fox_1"]),
        ("*/fox_[23].png", ["animals/fox"]),
        ("animals/b*_[!1]*", ["animals/bear"]),
        ("animals/*_[[]2].png", []),
        ("elsewhere/*.png", []),
    ],
)
def test_a_name_or_pattern_means_the_jobs_whose_images_it_fits(typed: str, places: list[str]) -> None:
    wish = wanted([typed])

    assert [job.place for job in JOBS if wish(job)] == places
    assert wish.unmet(JOBS) == ([] if places else [typed])


@pytest.mark.parametrize(
    "typed", ["a fox", "a fox_1.png", "a f*_1.png", "a f*_[2].png", "a fox_2.png", "a\nfox_1.png", "a\nf*", "?\nfox"]
)
def test_a_name_with_a_line_break_is_met_as_it_is_and_as_the_tables_show_it(typed: str) -> None:
    broken, cut = make_job("txt2img", "a\nfox", {"steps": 1}), make_job("segment", "of a\nfox_1", {"steps": 1})

    assert wanted([typed])(broken)
    assert not wanted([typed])(cut)
    assert wanted(["of a fox_1/fox_1_01.png"])(cut)
    assert wanted(["of a f*_1/*_01.png"])(cut)


@pytest.mark.parametrize(
    ("typed", "places"),
    [
        ("*_[23].png", ["animals/fox", "cutouts/fox_1"]),
        ("*[23].png", ["animals/fox", "cutouts/fox_1"]),
        ("animals/*_[23]", ["animals/fox"]),
        ("*_[4-9].png", ["animals/bear"]),
        ("*_1[0-2].png", ["animals/bear"]),
        ("*_?.png", [job.place for job in JOBS]),
        ("*_??.png", ["animals/bear", "cutouts/fox_1"]),
        ("*_0[!2].png", ["cutouts/fox_1"]),
        ("*_0[!1-3].png", []),
        ("*_5.png", []),
    ],
)
def test_a_pattern_with_a_number_fits_jobs_that_made_an_image_of_such_a_number(typed: str, places: list[str]) -> None:
    made = {
        "animals/fox": {"1", "2"},
        "animals/bear": {"1", "11", "4"},
        "cutouts/fox_1": {"01", "02", "03", "1", "2", "3"},
    }

    wish = Wish([typed], [], lambda job: made.get(job.place, {"1"}))

    assert [job.place for job in JOBS if wish(job)] == places
