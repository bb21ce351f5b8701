"""What an import leaves out, and the words for it: just that, by name, with the reason."""

from __future__ import annotations

import pytest

from sdclient.dialects import DIALECTS, ServerFacts
from sdclient.dialects.importing import import_payload


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
