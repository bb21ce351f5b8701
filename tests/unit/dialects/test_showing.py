"""Calls as they would be sent: in order, images cut short, the rest as it is."""

import base64

from sdclient.dialects import DIALECTS, ServerFacts
from sdclient.dialects.base import TASK_KEY
from sdclient.dialects.showing import IMAGE_STANDS_HERE, TASK_STANDS_HERE, calls_of, compile_for_show, shortened
from sdclient.schemas import Enlarge, Img2Img, Txt2Img

A1111 = DIALECTS["a1111"]
FACTS = ServerFacts("a1111")


def test_calls_come_in_the_order_of_sending() -> None:
    request = Txt2Img(prompt="a fox", model="m", seed=7, enlarge=Enlarge(model="u"))

    first, second = calls_of(compile_for_show(request, A1111, FACTS), A1111)

    assert (first["method"], first["path"]) == ("POST", "/sdapi/v1/txt2img")
    assert first["body"] == {
        "prompt": "a fox",
        "seed": 7,
        "override_settings": {"sd_model_checkpoint": "m"},
        TASK_KEY: TASK_STANDS_HERE,
    }
    assert second["path"] == "/sdapi/v1/extra-single-image"
    assert second["body"]["image"] == IMAGE_STANDS_HERE


def test_a_seed_is_drawn_as_a_client_would() -> None:
    bodies = [calls_of(compile_for_show(Txt2Img(model="m"), A1111, FACTS), A1111)[0]["body"] for _ in range(2)]

    assert bodies[0]["seed"] != bodies[1]["seed"]


def test_overlays_are_merged() -> None:
    request = Txt2Img(seed=1, overlays={"a1111": {"steps": 9}, "drawthings": {"steps": 5}})

    assert calls_of(compile_for_show(request, A1111, FACTS), A1111)[0]["body"]["steps"] == 9


def test_an_image_is_cut_short_unless_it_is_wanted_whole(png) -> None:
    compiled = compile_for_show(Img2Img(model="m", seed=1, init_image=png(128, 64)), A1111, FACTS)

    [short] = calls_of(compiled, A1111)
    [whole] = calls_of(compiled, A1111, whole=True)

    [text] = short["body"]["init_images"]
    assert text.startswith("iVBORw0KGgo")
    assert text.endswith(" characters)")
    assert whole["body"] == {**compiled.call.body, TASK_KEY: TASK_STANDS_HERE}


def test_an_image_that_is_still_to_come_is_a_blank_of_the_requests_size() -> None:
    compiled = compile_for_show(Img2Img(model="m", seed=1, width=192, height=128), A1111, FACTS)
    plain = compile_for_show(Img2Img(model="m", seed=1), A1111, FACTS)

    assert (compiled.call.body["width"], compiled.call.body["height"]) == (192, 128)
    assert (plain.call.body["width"], plain.call.body["height"]) == (512, 512)


def test_only_images_are_cut_short(png) -> None:
    image = base64.b64encode(png(64, 64)).decode()
    value = {"a": ["x" * 500, image, f"data:image/png;base64,{image}"], "b": {"c": "ü" * 200}, "d": 1.5, "e": None}

    cut = shortened(value)

    assert cut["a"][0] == "x" * 500
    assert cut["a"][1] == f"{image[:24]}… ({len(image)} characters)"
    assert cut["a"][2].startswith("data:image/png;base64,iV")
    assert len(cut["a"][2]) < 100
    assert (cut["b"], cut["d"], cut["e"]) == ({"c": "ü" * 200}, 1.5, None)
