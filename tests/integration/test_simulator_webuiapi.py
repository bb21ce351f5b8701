"""A client that nobody here wrote, the package `webuiapi`, against the simulated AUTOMATIC1111."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from PIL import Image

from sdclient.simulator import Simulator

webuiapi = pytest.importorskip("webuiapi", reason="webuiapi is part of the dev extra")

SMALL = {"prompt": "a fox", "seed": 3, "steps": 6, "width": 64, "height": 64}


@pytest.fixture(scope="module")
def server() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


def speak_to(server: Simulator, **settings: object) -> object:
    parts = urlsplit(server.url)
    return webuiapi.WebUIApi(host=parts.hostname, port=parts.port, **settings)


@pytest.fixture
def api(server: Simulator) -> Iterator[object]:
    # Its methods add to a default argument that all calls share, and so to each other's requests.
    for method in (webuiapi.WebUIApi.txt2img, webuiapi.WebUIApi.img2img):
        method.__defaults__[
            method.__code__.co_varnames[1 : method.__code__.co_argcount].index("alwayson_scripts")
        ].clear()
    client = speak_to(server)
    yield client
    client.session.close()  # type: ignore[attr-defined]


def tile(**changes: object) -> object:
    return webuiapi.ControlNetUnit(module="tile_resample", model="tile", weight=0.5, **changes)


def test_txt2img_makes_the_image_asked_for(api: object) -> None:
    result = api.txt2img(**SMALL, sampler_name="DPM++ 2M", scheduler="karras")  # type: ignore[attr-defined]

    assert result.image.size == (64, 64)
    assert (result.info["seed"], result.info["sampler_name"]) == (3, "DPM++ 2M")
    assert result.info["extra_generation_params"]["Schedule type"] == "Karras"
    assert result.parameters["steps"] == 6
    assert result.image.info["parameters"] == result.info["infotexts"][0]


def test_hires_fix_enlarges(api: object) -> None:
    result = api.txt2img(**SMALL, enable_hr=True, hr_scale=2, hr_upscaler=webuiapi.HiResUpscaler.Latent)  # type: ignore[attr-defined]

    assert result.image.size == (128, 128)


def test_img2img_repaints(api: object) -> None:
    first = api.txt2img(**SMALL).image  # type: ignore[attr-defined]
    result = api.img2img(images=[first], denoising_strength=0.4, **SMALL)  # type: ignore[attr-defined]

    assert result.image.size == (64, 64)
    assert result.image.tobytes() != first.tobytes()
    assert result.parameters["init_images"] is None


def test_extras_enlarge_one_image_and_many(api: object) -> None:
    image = Image.new("RGB", (24, 16), "teal")
    one = api.extra_single_image(image=image, upscaler_1=webuiapi.Upscaler.ESRGAN_4x, upscaling_resize=3)  # type: ignore[attr-defined]
    many = api.extra_batch_images(images=[image, image], upscaler_1="4x-UltraSharp", upscaling_resize=2)  # type: ignore[attr-defined]

    assert one.image.size == (72, 48)
    assert [made.size for made in many.images] == [(48, 32), (48, 32)]


def test_png_info_reads_the_text_back(api: object) -> None:
    made = api.txt2img(**SMALL).image  # type: ignore[attr-defined]
    result = api.png_info(made)  # type: ignore[attr-defined]

    assert result.info.startswith("a fox\nSteps: 6")
    assert result.parameters["Seed"] == "3"


def test_options_are_read_and_set() -> None:
    with Simulator() as own:
        client = speak_to(own)
        client.set_options({"CLIP_stop_at_last_layers": 2})  # type: ignore[attr-defined]
        options = client.get_options()  # type: ignore[attr-defined]
        client.util_set_model("dreamshaper_8")  # type: ignore[attr-defined]
        model = client.util_get_current_model()  # type: ignore[attr-defined]
        client.session.close()  # type: ignore[attr-defined]

    assert options["CLIP_stop_at_last_layers"] == 2
    assert model.startswith("dreamshaper_8")


@pytest.mark.parametrize(
    "method",
    [
        *("get_samplers", "get_schedulers", "get_upscalers", "get_latent_upscale_modes", "get_sd_models", "get_sd_vae"),
        *("get_loras", "get_face_restorers", "get_realesrgan_models", "get_prompt_styles", "get_embeddings"),
        *(
            "get_scripts",
            "get_memory",
            "get_cmd_flags",
            "get_options",
            "controlnet_model_list",
            "controlnet_module_list",
        ),
    ],
)
def test_lists_are_read(api: object, method: str) -> None:
    assert getattr(api, method)()


def test_names_are_found(api: object) -> None:
    assert "Euler a" in api.util_get_sampler_names()  # type: ignore[attr-defined]
    assert "karras" in api.util_get_scheduler_names()  # type: ignore[attr-defined]
    assert api.refresh_checkpoints() is None  # type: ignore[attr-defined]
    assert api.get_hypernetworks() == []  # type: ignore[attr-defined]
    assert api.controlnet_version() == 3  # type: ignore[attr-defined]


def test_progress_is_told_and_a_job_interrupted() -> None:
    made: list[object] = []
    with Simulator(delay_s=600.0) as slow:
        client = speak_to(slow)
        thread = threading.Thread(target=lambda: made.append(speak_to(slow).txt2img(**SMALL)))  # type: ignore[attr-defined]
        thread.start()
        while client.get_progress()["progress"] == 0:  # type: ignore[attr-defined]
            threading.Event().wait(0.005)
        told = client.get_progress()  # type: ignore[attr-defined]
        client.interrupt()  # type: ignore[attr-defined]
        thread.join(60)
        client.util_wait_for_ready()  # type: ignore[attr-defined]
        client.session.close()  # type: ignore[attr-defined]

    assert told["state"]["sampling_steps"] == 6
    assert made[0].image.size == (64, 64)  # type: ignore[attr-defined]


def test_a_control_unit_takes_effect_and_gives_its_map(api: object) -> None:
    image = Image.new("RGB", (64, 64), "teal")
    result = api.img2img(images=[image], controlnet_units=[tile(image=image)], **SMALL)  # type: ignore[attr-defined]

    assert len(result.images) == 2
    assert "ControlNet 0" in result.info["extra_generation_params"]


def test_a_control_unit_in_txt2img_without_an_image_is_lost_without_a_word(api: object) -> None:
    result = api.txt2img(**SMALL, controlnet_units=[tile()])  # type: ignore[attr-defined]

    assert len(result.images) == 1
    assert "ControlNet 0" not in result.info["extra_generation_params"]


def test_its_detect_call_names_the_images_wrongly_and_is_refused(api: object) -> None:
    with pytest.raises(RuntimeError, match="No image selected"):
        api.controlnet_detect(images=[Image.new("RGB", (8, 8))], module="canny")  # type: ignore[attr-defined]


def test_its_detailer_unit_has_a_key_that_is_gone(api: object) -> None:
    face = webuiapi.ADetailer(ad_model="hand_yolov8n.pt")
    result = api.txt2img(**SMALL, adetailer=[face])  # type: ignore[attr-defined]

    assert "hand_yolov8n.pt" not in str(result.info["extra_generation_params"])


def test_ultimate_upscale_runs_as_a_script(api: object) -> None:
    args = [None, 512, 0, 8, 32, 64, 0.35, 16, 3, True, 0, False, 4, 0, 2, 2048, 2048, 2]
    image = Image.new("RGB", (64, 64), "teal")
    result = api.img2img(images=[image], script_name="Ultimate SD upscale", script_args=args, **SMALL)  # type: ignore[attr-defined]

    assert result.image.size == (128, 128)


def test_credentials_are_sent_and_wrong_ones_refused() -> None:
    with Simulator(auth=("user", "secret")) as guarded:
        good = speak_to(guarded, username="user", password="secret")
        bad = speak_to(guarded, username="user", password="guess")
        made = good.txt2img(**SMALL)  # type: ignore[attr-defined]
        with pytest.raises(RuntimeError, match="Incorrect username or password"):
            bad.txt2img(**SMALL)  # type: ignore[attr-defined]
        for client in (good, bad):
            client.session.close()  # type: ignore[attr-defined]

    assert made.image.size == (64, 64)
