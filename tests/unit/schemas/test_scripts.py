"""The typed parts that extensions bring."""

import pytest

from sdclient.dialects.tables import adetailer_keys
from sdclient.errors import PayloadError
from sdclient.schemas import ADetailer, ControlNet, Img2Img, SDUpscale, Txt2Img, UltimateUpscale


def test_every_field_of_a_detector_is_one_of_the_extensions() -> None:
    table = adetailer_keys()

    assert {f"ad_{name}" for name in ADetailer.model_fields} <= set(table)
    assert {name for name in table if name.removeprefix("ad_") not in ADetailer.model_fields} == {
        name for name in table if name.startswith("ad_use_") or name == "ad_tab_enable"
    }


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ADetailer(model="f", inpaint_width=512), "go together"),
        (lambda: ADetailer(model="f", confidence=1.5), "confidence: "),
        (lambda: ADetailer(model="f", ad_steps=9), "ad_steps: unknown field"),
        (ADetailer, "model: missing"),
        (lambda: UltimateUpscale(redraw="Chequered"), "redraw: "),
        (lambda: UltimateUpscale(tile_width=0), "tile_width: "),
        (lambda: SDUpscale(scale=5), "scale: "),
        (lambda: Img2Img(sd_upscale=SDUpscale(), ultimate_upscale=UltimateUpscale()), "keep one of the two"),
        (lambda: Txt2Img(sd_upscale=SDUpscale()), "sd_upscale: unknown field"),
        (lambda: ControlNet(model="m", union_control_type="tile"), "union_control_type: "),
        (lambda: Txt2Img(adetailer=[{"model": "f", "stepz": 1}]), r"adetailer\[0\]\.stepz: unknown field; did you"),
    ],
)
def test_what_is_wrong_is_refused_with_its_field(make, words: str) -> None:
    with pytest.raises(PayloadError, match=words):
        make()


def test_a_units_mask_goes_with_its_image(png) -> None:
    with pytest.raises(PayloadError, match="mask goes with image"):
        ControlNet(model="m", mask=png(8, 8))

    assert ControlNet(model="m", image=png(8, 8), mask=png(8, 8)).mask == png(8, 8)


def test_parts_are_taken_as_plain_objects() -> None:
    request = Img2Img(adetailer=[{"model": "f", "inpaint_width": 512.0, "inpaint_height": 512}])

    assert request.adetailer == (ADetailer(model="f", inpaint_width=512, inpaint_height=512),)
    assert request.replace(ultimate_upscale={"scale": 2}).ultimate_upscale == UltimateUpscale(scale=2)
