"""What an import leaves out, and the words for it: just that, by name, with the reason."""

from __future__ import annotations

import pytest

from sdclient.dialects import DIALECTS, ServerFacts
from sdclient.dialects.importing import import_payload
from sdclient.dialects.importing.image import import_infotext
from sdclient.errors import PayloadError


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ([1, 2], "SD upscale takes 4 arguments in all, not 2"),
        ([None, 64, "None", "much"], "[3] (scale_factor): must be float, not 'much'"),
    ],
)
def test_a_script_that_cannot_run_is_left_out_by_its_name_beside_its_arguments(args: list, reason: str) -> None:
    body = {"prompt": "x", "sampler_index": "Euler", "script_name": "SD upscale", "script_args": args}

    found = import_payload(body, form="a1111", kind="img2img")

    assert found.left_out == {
        "script_args": reason,
        "script_name": "SD upscale cannot run with these script_args, so both are left out",
    }
    assert "a1111" not in found.request.for_dialect("a1111").native


def test_a_label_in_another_letter_case_is_taken_for_the_servers_own() -> None:
    app = import_payload({"sampler": "euler a trailing", "seed_mode": "SCALE ALIKE", "steps": 9}, form="drawthings")
    unit = {"model": "m", "enabled": True, "control_mode": "balanced"}
    web = import_payload({"prompt": "x", "alwayson_scripts": {"controlnet": {"args": [unit]}}}, form="a1111")

    body = DIALECTS["drawthings"].compile(app.request.for_dialect("drawthings"), ServerFacts("drawthings")).call.body
    assert (body["sampler"], body["seed_mode"]) == ("Euler A Trailing", "Scale Alike")
    (sent,) = web.request.for_dialect("a1111").native["a1111"]["alwayson_scripts"]["controlnet"]["args"]
    assert sent["control_mode"] == "Balanced"
    assert app.left_out == web.left_out == {}


def test_a_label_that_no_letter_case_saves_is_left_out_with_the_nearest() -> None:
    found = import_payload({"sampler": "Euler B", "steps": 9}, form="drawthings")

    assert found.left_out.keys() == {"sampler"}
    assert "did you mean Euler a" in found.left_out["sampler"]


@pytest.mark.parametrize(
    ("settings", "label", "reason"),
    [
        ("Steps: 500, Seed: 1", "Steps", "less than or equal to 150, not 500"),
        # The second image of a batch from seed 4294967295, as A1111 writes it.
        ("Steps: 9, Seed: 4294967296", "Seed", "not 4294967296; one is drawn in its place"),
        ("Steps: 9, Size: 32x64", "Size", "greater than or equal to 64, not 32"),
        ("Steps: 9, Clip skip: two", "Clip skip", "no such number: 'two'"),
        ("Steps: 9, Refiner: fine, Refiner switch at: 1.5", "Refiner switch at", "less than or equal to 1, not 1.5"),
        ("Steps: 9, Upscaler: 4x, Upscale factor: 99", "Upscale factor", "less than or equal to 8, not 99"),
        ("Steps: 9, Size: 64x64, Hires upscale: 1e308", "Hires upscale", "less than or equal to 8192, not 640000"),
        ("Steps: 9, Size: 64x64, Hires resize: 32x32", "Hires resize", "greater than or equal to 64, not 32"),
        ("Steps: 9, Size: 64x64, Hires first pass: 32x32", "Hires first pass", "greater than or equal to 64, not 32"),
        ("Steps: 9, Size: 64x64, Hires upscale: 2, Denoising strength: 3", "Denoising strength", "to 1, not 3"),
    ],
)
def test_of_an_images_words_only_what_no_request_takes_is_left_out(settings: str, label: str, reason: str) -> None:
    found = import_infotext(f"a fox\n{settings}, CFG scale: 4")

    assert list(found.left_out) == [label]
    assert reason in found.left_out[label]
    assert (found.request.prompt, found.request.cfg_scale) == ("a fox", 4)


def test_a_hires_fix_that_no_request_takes_leaves_its_first_pass() -> None:
    found = import_infotext("a fox\nSteps: 9, Size: 512x768, Hires upscale: 99")

    assert (found.request.size, found.request.hires) == ((512, 768), None)


def test_several_values_that_no_request_takes_are_each_named() -> None:
    found = import_infotext("a fox <lora:detail:99>\nSteps: 0, Seed: -5, CFG scale: nan, Size: 64x9999")

    assert found.left_out.keys() == {"Steps", "Seed", "CFG scale", "Size"}
    # The tag does on the server what it did there.
    assert found.request.to_mapping() == {"prompt": "a fox <lora:detail:99>", "negative_prompt": ""}


def test_a_prompt_that_no_request_takes_is_refused() -> None:
    with pytest.raises(PayloadError, match="the image's settings: prompt: "):
        import_infotext("half a character: \ud800\nSteps: 9, Seed: 1, Size: 64x64")
