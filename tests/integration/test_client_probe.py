"""The doctor's probe: what has an effect, what is ignored, and what cannot be told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sdclient.doctor.probe import probe_server, small_request, variants
from sdclient.schemas import HiresFix, Img2Img, Lora, Refiner, Tiled, Tiles, Txt2Img, save_payload
from sdclient.simulator import Simulator
from tests.integration.scripted_server import TXT2IMG, base_url, images, png, scripted


@pytest.fixture(scope="module")
def drawthings() -> Iterator[Simulator]:
    with Simulator("drawthings") as server:
        yield server


@pytest.fixture(scope="module")
def a1111() -> Iterator[Simulator]:
    with Simulator("a1111") as server:
        yield server


def told(url: str, payload: str | None) -> dict[str, str]:
    return {finding.text: finding.level for finding in probe_server(url, payload, ())}


def test_a_refiner_that_fits_the_model_is_said_to_work(drawthings: Simulator, tmp_path: Path) -> None:
    request = Txt2Img(
        prompt="a fox", model="sd_xl_base_1.0_f16.ckpt", refiner=Refiner(model="sd_xl_refiner_1.0_f16.ckpt")
    )

    found = told(drawthings.url, str(save_payload(request, tmp_path / "x.json")))

    assert found["refiner: has an effect"] == "good"


def test_a_part_that_changes_no_pixel_is_ignored_in_silence(tmp_path: Path) -> None:
    request = Txt2Img(prompt="x", refiner=Refiner(model="ref"), loras=[Lora(model="a")])
    path = save_payload(request, tmp_path / "x.json")
    same, other = images(png(256, 256)), images(png(256, 256, (9, 9, 9)))

    with scripted({TXT2IMG: [same, same, same, other]}) as server:
        findings = probe_server(base_url(server), str(path), ())

    assert [(one.level, one.text.partition(":")[0]) for one in findings[1:]] == [
        ("wrong", "refiner"),
        ("good", "loras[0] (a)"),
    ]
    assert "ignores it in silence" in findings[1].text


def test_a_bake_is_probed_part_by_part(a1111: Simulator) -> None:
    found = told(a1111.url, "bake")

    assert found["controls[0] (control_v11f1e_sd15_tile): has an effect"] == "good"
    assert any(text.startswith("loras[0]") for text in found)


def test_a_refiner_that_draw_things_leaves_out_in_silence_is_found(tmp_path: Path) -> None:
    def with_refiner(model: str) -> dict[str, str]:
        request = Txt2Img(prompt="x", model="sd_xl_base_1.0_f16.ckpt", refiner=Refiner(model=model, switch_at=0.6))
        return told(server.url, str(save_payload(request, tmp_path / f"{model}.json")))

    with Simulator("drawthings") as server:
        there, missing = with_refiner("sd_xl_refiner_1.0_f16.ckpt"), with_refiner("nope.ckpt")

    assert there["refiner: has an effect"] == "good"
    assert [level for text, level in missing.items() if text.startswith("refiner: changes nothing")] == ["wrong"]


def test_without_a_payload_one_plain_image_is_drawn(a1111: Simulator) -> None:
    (text,) = told(a1111.url, None)

    assert text.startswith("drew a small image in ")


def test_what_the_server_says_it_did_not_do_is_told_too(a1111: Simulator, tmp_path: Path) -> None:
    unit = {"enabled": True, "model": "control_v11f1e_sd15_tile", "guidance_start": 0.9, "guidance_end": 0.1}
    native = {"a1111": {"alwayson_scripts": {"ControlNet": {"args": [unit]}}}}
    path = save_payload(Img2Img(prompt="x", denoising_strength=0.5, native=native), tmp_path / "x.json")

    found = told(a1111.url, str(path))

    assert [level for text, level in found.items() if "does not say that it did it" in text] == ["wrong"]


def test_a_server_that_draws_something_else_every_time_cannot_be_compared() -> None:
    def drawn(red: int) -> bytes:
        return images(png(256, 256, (red, 0, 0)))

    with scripted({TXT2IMG: [drawn(9), drawn(99)]}) as server:
        found = told(base_url(server), None)

    assert any("one seed gives two images" in text for text in found)


def test_what_cannot_be_drawn_is_a_finding() -> None:
    with scripted({TXT2IMG: images(png(64, 64))}) as server:
        (finding,) = probe_server(base_url(server), None, ())

    assert finding.level == "wrong"
    assert "could not be drawn" in finding.text


def test_a_variant_that_cannot_be_drawn_is_only_a_note(tmp_path: Path) -> None:
    request = Txt2Img(prompt="x", refiner=Refiner(model="ref"))
    path = save_payload(request, tmp_path / "x.json")
    good = images(png(256, 256))

    with scripted({TXT2IMG: [good, good, images(png(8, 8))]}) as server:
        findings = probe_server(base_url(server), str(path), ())

    assert findings[-1].level == "note"
    assert findings[-1].text.startswith("refiner: without it nothing could be drawn")


def test_a_request_made_small_keeps_its_parts_and_every_part_has_a_variant() -> None:
    request = Txt2Img(
        width=1024,
        height=768,
        steps=30,
        n_iter=4,
        refiner=Refiner(model="r"),
        hires=HiresFix(first_width=512, first_height=384, strength=0.5),
        loras=[Lora(model="a"), Lora(model="b")],
        tiled=Tiled(vae=Tiles()),
    )

    small = small_request(request)

    assert (small.size, small.steps, small.image_count, small.tiled) == ((256, 256), 8, 1, None)
    assert [variant.part for variant in variants(small)] == ["refiner", "hires", "loras[0] (a)", "loras[1] (b)"]
    assert [len(variant.request.loras) for variant in variants(small)] == [2, 2, 1, 1]


def test_a_part_that_is_known_to_be_left_out_is_not_probed(tmp_path: Path) -> None:
    request = Txt2Img(model="sd_xl_base_1.0", refiner=Refiner(model="sd_xl_refiner_1.0"), sampler_name="Euler")
    path = save_payload(request, tmp_path / "x.json")

    with Simulator("sdnext") as server:
        findings = probe_server(server.url, str(path), ())

    assert findings[0].level == "good"
    assert not [one for one in findings if one.text.startswith("refiner")]


def test_what_the_server_refuses_is_not_drawn(tmp_path: Path) -> None:
    path = save_payload(Txt2Img(model="no_such_model"), tmp_path / "x.json")

    with Simulator("a1111") as server:
        (finding,) = probe_server(server.url, str(path), ())
        posts = [exchange for exchange in server.log if exchange.method == "POST"]

    assert (finding.level, finding.text) == ("note", "not probed, for the server would refuse it: model")
    assert posts == []


def test_a_payload_that_is_wrong_is_not_probed_and_its_mistake_not_told_again(a1111: Simulator) -> None:
    [found] = probe_server(a1111.url, "bake", ['loras=[{"name":"x"}]'])

    assert (found.level, found.text) == ("note", "not probed, for the payload is wrong")
