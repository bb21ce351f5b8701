"""What an import leaves out, and the words for it: just that, by name, with the reason."""

from __future__ import annotations

import pytest

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
