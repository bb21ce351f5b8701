"""The simulated KoboldCpp: clamps, silent failures, a short queue, connections that end."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator

import pytest

from sdclient.simulator import Simulator
from sdclient.simulator.facts import array_at, load
from tests.integration.simulator_talk import SMALL, Heard, ask, encoded, generate, rows


@pytest.fixture(scope="module")
def server() -> Iterator[Simulator]:
    with Simulator("koboldcpp") as running:
        yield running


@pytest.fixture(scope="module")
def old() -> Iterator[Simulator]:
    with Simulator("koboldcpp", version="1.76") as running:
        yield running


def pixels(server: Simulator, route: str = "txt2img", **changes: object) -> bytes:
    return generate(server, route, **changes).images[0].tobytes()


# --- routes


def test_the_absent_routes_of_the_table_are_404_with_a_page(server: Simulator) -> None:
    absent = [str(path) for path in array_at(load("others"), "koboldcpp", "endpoints", "absent")]
    heard = [ask(server, path.removeprefix("POST "), {} if "POST" in path else None) for path in absent]

    assert {(one.status, one.headers["content-type"]) for one in heard} == {(404, "text/html")}


def test_only_the_ending_of_a_path_counts(server: Simulator) -> None:
    heard = ask(server, "/behind/a/proxy/sdapi/v1/txt2img/", SMALL)

    assert heard.status == 200
    assert ask(server, "/any/sdapi/v1/options").document == {
        "samples_format": "png",
        "sd_model_checkpoint": "sd_xl_base_1.0",
    }


def test_lists_are_short(server: Simulator) -> None:
    assert [row["name"] for row in rows(server, "samplers")] == array_at(load("others"), "koboldcpp", "sampler_list")
    assert rows(server, "sd-models")[0]["sha256"] == "8" * 64
    assert rows(server, "upscalers") == rows(server, "latent-upscale-modes") == []


def test_a_server_that_only_writes_text_has_nothing_to_list_and_fails_in_silence() -> None:
    with Simulator("koboldcpp", models=[]) as some:
        lists = rows(some, "sd-models"), rows(some, "samplers")
        options, heard = ask(some, "options").document, ask(some, "txt2img", SMALL)

    assert lists == ([], [])
    assert options["sd_model_checkpoint"] == "inactive"
    assert (heard.status, heard.document["images"]) == (200, [""])


def test_its_text_side_tells_the_version(server: Simulator, old: Simulator) -> None:
    told = [ask(some, "/api/extra/version").document for some in (server, old)]

    assert [(one["result"], one["version"]) for one in told] == [("KoboldCpp", "1.102"), ("KoboldCpp", "1.76")]


def test_looking_at_images_needs_another_model(server: Simulator) -> None:
    heard = ask(server, "interrogate", {"image": encoded()})

    assert (heard.status, heard.document["detail"]["type"]) == (503, "service_unavailable")  # type: ignore[index]


# --- replies


def test_a_reply_tells_nothing_beside_the_image(server: Simulator, old: Simulator) -> None:
    new, former = generate(server).document, generate(old).document

    assert {key: new[key] for key in ("parameters", "info", "animated")} == {
        "parameters": {},
        "info": "",
        "animated": False,
    }
    assert sorted(former) == ["images", "info", "parameters"]


def test_there_is_always_exactly_one_image(server: Simulator) -> None:
    assert len(generate(server, batch_size=4, n_iter=2).images) == 1


@pytest.mark.parametrize(
    "change",
    [{"init_images": ["no image"]}, {"width": 8192, "height": 8192}, {"init_images": [encoded()], "mask": "x"}],
    ids=["bad init image", "too large", "bad mask"],
)
def test_a_failure_looks_like_success(server: Simulator, change: dict[str, object]) -> None:
    heard = ask(server, "txt2img", {**SMALL, **change})

    assert (heard.status, heard.document["images"]) == (200, [""])


@pytest.mark.parametrize(
    "body", [b"{", [1], b'{"prompt": "' + b"x" * (33 * 1024 * 1024) + b'"}'], ids=["no JSON", "a list", "33 MB"]
)
def test_a_body_it_cannot_take_is_a_500_with_an_object_in_detail(server: Simulator, body: object) -> None:
    heard = ask(server, "txt2img", body)

    assert (heard.status, heard.document["detail"]["type"]) == (500, "bad_input")  # type: ignore[index]


@pytest.mark.parametrize(
    "change", [{"width": "wide"}, {"steps": [4]}, {"cfg_scale": {}}, {"prompt": 5}, {"width": 1e999}], ids=str
)
def test_an_exception_while_generating_ends_the_connection(server: Simulator, change: dict[str, object]) -> None:
    with pytest.raises(http.client.RemoteDisconnected):
        ask(server, "txt2img", {**SMALL, **change})

    assert server.log[-1].status == 0


# --- requests


@pytest.mark.parametrize(
    ("asked", "clamped"),
    [({"steps": 500}, {"steps": 80}), ({"steps": 0}, {"steps": 1}), ({"cfg_scale": 90}, {"cfg_scale": 25})],
    ids=str,
)
def test_numbers_out_of_range_are_clamped(
    server: Simulator, asked: dict[str, object], clamped: dict[str, object]
) -> None:
    assert pixels(server, **asked) == pixels(server, **clamped)


def test_null_is_the_default_and_numbers_may_be_text(server: Simulator) -> None:
    assert pixels(server, steps=None) == pixels(server, steps="20") == pixels(server, steps=20)


def test_an_unknown_sampler_is_the_default(server: Simulator) -> None:
    assert pixels(server, sampler_name="nobody") == pixels(server)
    assert pixels(server, sampler_name="DPM++ 2M") != pixels(server)


def test_a_drawn_seed_is_never_told(server: Simulator) -> None:
    assert pixels(server, seed=-1) != pixels(server, seed=-1)


@pytest.mark.parametrize(
    ("version", "asked", "made"),
    [
        ("1.102", (100, 200), (64, 192)),
        ("1.102", (10, 10), (64, 64)),
        ("1.102", (1280, 640), (1280, 640)),
        ("1.76", (1280, 640), (1024, 512)),
    ],
)
def test_the_size_may_differ_from_what_was_asked(version: str, asked: tuple[int, int], made: tuple[int, int]) -> None:
    with Simulator("koboldcpp", version=version) as some:
        heard = generate(some, width=asked[0], height=asked[1])

    assert heard.images[0].size == made


def test_an_owner_may_clamp_more() -> None:
    with Simulator("koboldcpp", options={"sdclamped": 128}) as some:
        image = generate(some, width=512, height=256).images[0]
        many, few = pixels(some, steps=80), pixels(some, steps=40)

    assert image.size == (128, 64)
    assert many == few


def test_init_images_decide_whether_it_is_img2img(server: Simulator) -> None:
    with_image = {"init_images": ["data:image/png;base64," + encoded()], "denoising_strength": 0.2}

    assert pixels(server, "txt2img", **with_image) == pixels(server, "img2img", **with_image)
    assert pixels(server, "img2img") == pixels(server, "txt2img")


def test_a_mask_limits_what_is_repainted(server: Simulator, old: Simulator) -> None:
    change = {"init_images": [encoded()], "denoising_strength": 0.9, "mask": encoded((64, 64), "black")}
    plain = {key: value for key, value in change.items() if key != "mask"}

    assert pixels(server, **change) != pixels(server, **plain)
    assert pixels(server, **change, inpainting_mask_invert=1) == pixels(server, **plain)
    assert pixels(old, **change) == pixels(old, **plain)


def test_1_76_knows_no_schedule_and_no_prefix(old: Simulator, server: Simulator) -> None:
    prefixed = ask(old, "img2img", {**SMALL, "init_images": ["data:image/png;base64," + encoded()]})

    assert pixels(old, scheduler="karras") == pixels(old)
    assert pixels(server, scheduler="karras") != pixels(server)
    assert prefixed.document["images"] == [""]


def test_six_wait_and_the_next_is_sent_away_at_once() -> None:
    heard: list[Heard] = []
    with Simulator("koboldcpp", delay_s=600.0) as slow:
        threads = [threading.Thread(target=_ask_unheard, args=(slow,)) for _ in range(7)]
        for thread in threads:
            thread.start()
        while len(slow._workshop.pending) < 6:
            threading.Event().wait(0.001)
        heard.append(ask(slow, "txt2img", SMALL))
    for thread in threads:
        thread.join(60)

    assert heard[0].status == 503
    assert heard[0].document["detail"] == {
        "msg": "Server is busy; please try again later.",
        "type": "service_unavailable",
    }


def _ask_unheard(server: Simulator) -> None:
    """Ask, and expect to be sent home when the server stops."""
    with pytest.raises(http.client.HTTPException):
        ask(server, "txt2img", SMALL)


@pytest.mark.parametrize("settings", [{"auth": ("a", "b")}, {"options": {"width": 3}}, {"version": "2"}], ids=str)
def test_a_set_up_that_makes_no_sense_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="koboldcpp"):
        Simulator("koboldcpp", **settings)  # type: ignore[arg-type]
