"""Pre-rendered replies: painted once, costing nothing, and exactly on time."""

from __future__ import annotations

import threading
import time

import pytest

from sdclient.simulator import DIALECTS, Simulator
from tests.integration.simulator_talk import SMALL, Heard, ask, encoded, generate


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_size_is_painted_once_and_given_out_again(dialect: str) -> None:
    sizes = {"width": 256, "height": 128, "upscaler": None}
    body = {**SMALL, **sizes} if dialect == "drawthings" else {**SMALL, "width": 256, "height": 128}
    with Simulator(dialect, prerendered=True) as server:
        first, second = (ask(server, "txt2img", {**body, "prompt": prompt, "seed": 1}) for prompt in ("a", "b"))

    assert first.status == second.status == 200
    assert first.images[0].size == (256, 128)
    assert first.document["images"] == second.document["images"]
    assert "parameters" not in first.images[0].info


@pytest.mark.parametrize("dialect", DIALECTS)
def test_init_images_are_measured_and_not_decoded(dialect: str) -> None:
    # Only the header of this file is whole.
    torn = encoded((128, 128))[:80]
    extra = {"upscaler": None} if dialect == "drawthings" else {}
    with Simulator(dialect, prerendered=True) as server:
        heard = ask(server, "img2img", {**SMALL, "width": 128, "height": 128, "init_images": [torn], **extra})

    assert heard.status == 200
    assert heard.images[0].size == (128, 128)


def test_rules_about_sizes_still_hold() -> None:
    with Simulator("drawthings", prerendered=True) as server:
        heard = ask(server, "img2img", {**SMALL, "init_images": [encoded((32, 64))]})
        broken = ask(server, "img2img", {**SMALL, "init_images": ["AAAA"]})

    assert (heard.status, broken.status) == (422, 422)


def test_what_is_told_is_still_what_was_asked() -> None:
    with Simulator(prerendered=True) as server:
        info = generate(server, seed=77, prompt="an owl", batch_size=2).info

    assert (info["seed"], info["prompt"], info["all_seeds"]) == (77, "an owl", [77, 78])


def test_controls_masks_and_extras_work_without_pixels() -> None:
    unit = {"enabled": True, "module": "tile_resample", "model": "tile", "image": encoded((64, 64))}
    scripts = {"ControlNet": {"args": [unit]}}
    with Simulator(prerendered=True) as server:
        controlled = generate(
            server, "img2img", init_images=[encoded()], mask=encoded(), alwayson_scripts=scripts, width=128
        )
        enlarged = ask(server, "extra-single-image", {"image": encoded((16, 8)), "upscaler_1": "Lanczos"})
        same = ask(server, "extra-single-image", {"image": encoded((16, 8)), "upscaler_1": "None"})

    assert [image.size for image in controlled.images] == [(128, 64), (128, 64)]
    assert enlarged.status == same.status == 200


def test_replies_leave_exactly_on_time() -> None:
    delay_s, count = 0.1, 5
    with Simulator("koboldcpp", prerendered=True, delay_s=delay_s) as server:
        generate(server)
        started_s = time.monotonic()
        for _ in range(count):
            generate(server)
        took_s = time.monotonic() - started_s

    assert took_s >= count * delay_s
    # Far looser than what is promised: other processes share this machine.
    assert took_s < 2 * count * delay_s


def test_progress_moves_and_an_interrupt_ends_it() -> None:
    heard: list[Heard] = []
    with Simulator(prerendered=True, delay_s=600.0) as server:
        thread = threading.Thread(target=lambda: heard.append(generate(server, steps=10_000_000)))
        thread.start()
        seen: list[float] = []
        while len(set(seen)) < 3 or seen[-1] <= 0.01:
            seen.append(ask(server, "progress").document["progress"])  # type: ignore[arg-type]
        step = ask(server, "progress").document["state"]["sampling_step"]  # type: ignore[index]
        ask(server, "interrupt", {})
        thread.join(60)

    assert step > 0
    assert heard[0].images[0].size == (64, 64)
