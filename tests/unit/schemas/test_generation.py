"""Requests: strict about what is wrong, friendly about how it is written."""

import pickle

import numpy as np
import pytest
from PIL import Image

from sdclient.errors import ConfigurationError, PayloadError
from sdclient.schemas import ControlNet, HiresFix, Img2Img, Lora, Refiner, Tiled, Tiles, Txt2Img


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({"step": 3}, "Txt2Img: step: unknown field; did you mean steps?", id="typo"),
        pytest.param({"guidance_scale": 3}, "unknown field; here it is called cfg_scale", id="diffusers"),
        pytest.param({"num_inference_steps": 3}, "here it is called steps", id="diffusers-steps"),
        pytest.param({"enable_hr": True}, "here it is called hires=HiresFix(", id="webuiapi"),
        pytest.param({"override_settings": {}}, "here it is called model, vae or clip_skip", id="a1111"),
        pytest.param({"alwayson_scripts": {}}, 'here it is called native={"a1111"', id="scripts"),
        pytest.param({"zzz": 1}, "Txt2Img: zzz: unknown field", id="nothing-close"),
        pytest.param({"steps": "20"}, "steps: Input should be a valid integer, not '20'", id="text-for-number"),
        pytest.param({"steps": True}, "steps: Input should be a valid integer, not True", id="bool-for-number"),
        pytest.param({"steps": 20.5}, "steps: Input should be a valid integer", id="half-step"),
        pytest.param({"steps": 151}, "steps: Input should be less than or equal to 150, not 151", id="too-large"),
        pytest.param({"steps": 0}, "steps: Input should be greater than or equal to 1, not 0", id="too-small"),
        pytest.param({"cfg_scale": float("nan")}, "cfg_scale: Input should be a finite number", id="nan"),
        pytest.param({"cfg_scale": float("inf")}, "cfg_scale: Input should be a finite number", id="infinity"),
        pytest.param({"seed": 2**32}, "seed: Input should be less than or equal to 4294967295", id="seed"),
        pytest.param({"tiling": 1}, "tiling: Input should be a valid boolean", id="number-for-bool"),
        pytest.param({"native": {"comfy": {}}}, "native: 'comfy' is no dialect; known are a1111", id="dialect"),
        pytest.param({"refiner": {"model": "x", "switch_att": 0.1}}, "refiner.switch_att: unknown field", id="nested"),
        pytest.param({"refiner": {"model": "x", "start": 0.1}}, "it is called switch_at", id="nested-elsewhere"),
        pytest.param({"refiner": {"switch_at": 0.1}}, "refiner.model: missing", id="nested-missing"),
        pytest.param({"loras": [{"model": "x", "weight": 99}]}, "loras[0].weight: Input should be", id="in-a-list"),
        pytest.param({"loras": [{"file": "x"}]}, "loras[0].file: unknown field; here it is called model", id="file"),
        pytest.param({"controls": [{"model": "x", "weigth": 1}]}, "did you mean weight?", id="in-a-list-typo"),
        pytest.param({"prompt": {"x": {"y": 1}}}, "prompt: Input should be a valid string", id="object-for-text"),
        pytest.param({"refiner": {"model": "x", "checkpoint": 1}}, "it is called model", id="part-name"),
        pytest.param({"loras": [{"model": "x", "enable_hr": 2}]}, "loras[0].enable_hr: unknown field", id="no-hint"),
        pytest.param({"styles": [{"a": 1}]}, "styles[0]: Input should be", id="list-of-text"),
        pytest.param({"mask": "x.png"}, "Txt2Img: mask: unknown field", id="other-kind"),
    ],
)
def test_what_is_wrong_is_refused_with_its_path_and_a_close_name(values: dict, message: str) -> None:
    with pytest.raises(PayloadError) as caught:
        Txt2Img(**values)

    assert message in str(caught.value)


def test_every_problem_gets_a_line_of_its_own() -> None:
    with pytest.raises(PayloadError) as caught:
        Txt2Img(step=3, steps=999, cfg_scale="5")

    assert len(str(caught.value).splitlines()) == 3


def test_a_long_value_is_cut_short_in_a_message() -> None:
    with pytest.raises(PayloadError) as caught:
        Txt2Img(steps="9" * 5000)

    assert len(str(caught.value)) < 200


def test_numpy_numbers_whole_floats_and_lists_are_taken() -> None:
    request = Txt2Img(steps=30.0, cfg_scale=np.float32(5), seed=np.int64(7), width=np.array(512)[()], styles=["a", "b"])

    assert (request.steps, request.cfg_scale, request.seed, request.width) == (30, 5.0, 7, 512)
    assert [type(value) for value in (request.steps, request.seed, request.cfg_scale)] == [int, int, float]
    assert request.styles == ("a", "b")


def test_a_numpy_array_is_no_number() -> None:
    with pytest.raises(PayloadError, match="steps"):
        Txt2Img(steps=np.array([3, 4]))


def test_images_come_from_paths_bytes_and_pillow(tmp_path, png) -> None:
    data = png()
    path = tmp_path / "in.png"
    path.write_bytes(data)

    from_path = Img2Img(init_image=path)
    from_text = Img2Img(init_image=str(path))
    from_bytes = Img2Img(init_image=data)
    from_pillow = Img2Img(init_image=Image.new("RGB", (64, 64)))

    assert from_path.init_image == from_text.init_image == from_bytes.init_image == data
    assert from_pillow.init_image is not None
    assert from_pillow.init_image.startswith(b"\x89PNG")


@pytest.mark.parametrize("bad", [b"no image", "/no/such/file.png", 7, "data:image/png;base64,@@@"])
def test_what_is_no_image_is_refused_with_the_field(bad: object) -> None:
    with pytest.raises(ConfigurationError, match="init_image"):
        Img2Img(init_image=bad)


def test_an_image_is_decoded_once_and_shared_by_copies(png) -> None:
    request = Img2Img(init_image=png())

    copy = request.replace(steps=3).for_dialect("a1111")

    assert copy.init_image is request.init_image


def test_an_image_is_not_in_the_repr(png) -> None:
    request = Img2Img(init_image=png(512, 512), steps=3)

    assert repr(request) == "Img2Img(steps=3)"


def test_a_request_cannot_be_changed() -> None:
    request = Txt2Img(steps=3)

    with pytest.raises(ValueError, match="frozen"):
        request.steps = 4  # type: ignore[misc] # that is what is tested

    assert request.steps == 3


def test_replace_validates_the_copy_and_keeps_the_original() -> None:
    request = Txt2Img(steps=3, refiner=Refiner(model="r"))

    copy = request.replace(steps=9)

    assert (request.steps, copy.steps, copy.refiner) == (3, 9, Refiner(model="r"))
    with pytest.raises(PayloadError, match="steps"):
        request.replace(steps=0)


def test_a_part_replaces_with_validation_too() -> None:
    assert Refiner(model="r").replace(switch_at=0.5) == Refiner(model="r", switch_at=0.5)
    with pytest.raises(PayloadError, match="Refiner: switch: unknown field; here it is called switch_at"):
        Refiner(model="r").replace(switch=0.5)


def test_unset_fields_stay_unset_through_copies() -> None:
    request = Txt2Img(steps=3).replace(cfg_scale=5).for_dialect("a1111")

    assert request.model_fields_set == {"steps", "cfg_scale"}


def test_a_replaced_field_wins_over_the_overlays() -> None:
    request = Txt2Img(steps=3, overlays={"a1111": {"steps": 9, "model": "m"}})

    assert request.for_dialect("a1111").steps == 9
    assert request.replace(steps=5).for_dialect("a1111").steps == 5
    assert request.replace(steps=5).for_dialect("a1111").model == "m"


def test_replaced_native_keys_win_over_those_of_the_overlays_one_by_one() -> None:
    request = Txt2Img(overlays={"drawthings": {"native": {"sharpness": 1, "crop_top": 20}}})

    copy = request.replace(native={"drawthings": {"sharpness": 2}}).for_dialect("drawthings")

    assert copy.native == {"drawthings": {"sharpness": 2, "crop_top": 20}}


def test_an_overlay_without_native_keys_survives_replaced_native_keys() -> None:
    request = Txt2Img(overlays={"a1111": {"steps": 3}})

    assert request.replace(native={"a1111": {"eta": 0.5}}).for_dialect("a1111").steps == 3


def test_overlays_can_be_replaced_as_a_whole() -> None:
    request = Txt2Img(steps=3, overlays={"a1111": {"steps": 9}}).replace(overlays={})

    assert request.for_dialect("a1111").steps == 3


def test_an_overlay_is_merged_into_parts_field_by_field_and_replaces_lists() -> None:
    request = Txt2Img(
        refiner=Refiner(model="base-name", switch_at=0.7),
        loras=[Lora(model="a"), Lora(model="b")],
        overlays={"drawthings": {"refiner": {"model": "file.ckpt"}, "loras": [{"model": "c"}], "native": {"fps": 5}}},
    )

    merged = request.for_dialect("drawthings")

    assert merged.refiner == Refiner(model="file.ckpt", switch_at=0.7)
    assert merged.loras == (Lora(model="c"),)
    assert merged.native == {"drawthings": {"fps": 5}}
    assert not merged.overlays


def test_overlays_of_several_names_are_merged_in_order() -> None:
    request = Txt2Img(overlays={"a1111": {"steps": 5, "native": {"eta": 1}}, "forge": {"steps": 8, "native": {"x": 1}}})

    merged = request.for_dialect("a1111", "forge")

    assert merged.steps == 8
    assert merged.native == {"a1111": {"eta": 1}, "forge": {"x": 1}}


def test_a_wrong_whole_names_the_overlay() -> None:
    request = Txt2Img(overlays={"a1111": {"refiner": {"switch_at": 0.5}}})

    with pytest.raises(PayloadError, match=r"Txt2Img with the overlay a1111: refiner\.model: missing"):
        request.for_dialect("a1111")


def test_sizes_and_counts_are_worked_out() -> None:
    assert Txt2Img(batch_size=2, n_iter=3).image_count == 6
    assert Txt2Img(width=512, height=768).size == (512, 768)
    assert Txt2Img(width=512).size is None


def test_the_first_pass_must_not_be_larger_than_the_image() -> None:
    with pytest.raises(PayloadError, match=r"\(1024x512\) must not be larger .*or do without: hires=null"):
        Txt2Img(width=768, height=768, hires=HiresFix(first_width=1024, first_height=512))


def test_a_control_starts_before_it_ends() -> None:
    with pytest.raises(PayloadError, match=r"ControlNet: guidance_end \(0.1\) must not be below guidance_start"):
        ControlNet(model="tile", guidance_start=0.9, guidance_end=0.1)


@pytest.mark.parametrize(
    "values",
    [
        {"native": {"a1111": {"infotext": "\ud800"}}},
        {"native": {"a1111": {"\udfff": 1}}},
        {"overlays": {"a1111": {"native": {"script_args": [{"x": "é\ud800"}]}}}},
    ],
    ids=["text", "key", "deep"],
)
def test_half_a_character_is_refused_where_nobody_else_looks(values: dict) -> None:
    with pytest.raises(PayloadError, match="half a character"):
        Txt2Img(**values)


def test_requests_survive_pickling(png) -> None:
    request = Img2Img(
        init_image=png(), steps=3, tiled=Tiled(vae=Tiles()), native={"a1111": {"eta": 0.5}}, overlays={"a1111": {}}
    )

    copy = pickle.loads(pickle.dumps(request))  # noqa: S301 - our own bytes

    assert copy == request
    assert copy.model_fields_set == request.model_fields_set


def test_from_mapping_names_the_source() -> None:
    with pytest.raises(PayloadError, match=r"^night\.json: steps: "):
        Txt2Img.from_mapping({"steps": 0}, where="night.json")
