"""Which jobs people mean by the names and patterns they type."""

from __future__ import annotations

import pytest

from sdclient.batch.again import wanted
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
        ("elsewhere/*.png", []),
    ],
)
def test_a_name_or_pattern_means_the_jobs_whose_images_it_fits(typed: str, places: list[str]) -> None:
    wish = wanted([typed])

    assert [job.place for job in JOBS if wish(job)] == places
    assert wish.unmet(JOBS) == ([] if places else [typed])
