"""The client against a whole simulated server of each dialect: what people type, and what they get."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from sdclient.client import Client, execute, finish
from sdclient.errors import ConfigurationError, LossError, MissingRouteError, PayloadError
from sdclient.images import GeneratedImage
from sdclient.infotext import parse_infotext, read_infotext
from sdclient.schemas import ADetailer, ControlNet, Enlarge, Img2Img, Lora, Refiner, Tiled, Tiles, Txt2Img
from sdclient.simulator import DIALECTS, Simulator
from tests.integration.scripted_server import TXT2IMG, base_url, images, png, scripted

DRAW_THINGS = {"model": "sd_xl_base_1.0_f16.ckpt"}
SMALL = {"width": 128, "height": 128, "steps": 2}


@pytest.fixture(scope="module")
def a1111() -> Iterator[Simulator]:
    with Simulator("a1111") as server:
        yield server


@pytest.fixture(scope="module")
def drawthings() -> Iterator[Simulator]:
    with Simulator("drawthings") as server:
        yield server


@pytest.fixture(params=["a1111", "drawthings"])
def client(request: pytest.FixtureRequest) -> Client:
    server: Simulator = request.getfixturevalue(str(request.param))
    return Client(server.url)


def small(client: Client, **fields: object) -> Txt2Img:
    model = DRAW_THINGS["model"] if client.dialect == "drawthings" else "sd_xl_base_1.0"
    return Txt2Img.from_mapping({"prompt": "a red fox", "seed": 7, "model": model, **SMALL, **fields})


def posts(server: Simulator, path: str) -> list[dict[str, object]]:
    return [exchange.body for exchange in server.log if exchange.path == path and isinstance(exchange.body, dict)]


# ---- drawing ----


def test_a_prompt_becomes_an_image_of_the_size_asked_for_with_its_seed(client: Client) -> None:
    result = client.txt2img(small(client))

    assert result.image.size == (128, 128)
    assert (result.seed, result.seeds, len(result.images)) == (7, (7,), 1)
    assert result.dialect == client.dialect
    assert (result.maps, result.grid, result.changed) == ((), None, ())
    assert result.elapsed_s > 0


def test_the_same_seed_gives_the_same_pixels_and_fields_win_over_the_request(client: Client) -> None:
    one = client.txt2img(small(client))
    two = client.txt2img(small(client, seed=1), seed=7)
    other = client.txt2img(small(client), seed=8)

    assert one.image.facts.pixels_sha256 == two.image.facts.pixels_sha256
    assert one.image.facts.pixels_sha256 != other.image.facts.pixels_sha256


def test_keywords_alone_are_a_request_and_a_seed_is_drawn_and_known(a1111: Simulator) -> None:
    result = Client(a1111.url).txt2img("a red fox", **SMALL)

    assert result.seed is not None
    assert 0 <= result.seed <= 4294967295
    assert posts(a1111, TXT2IMG)[-1]["seed"] == result.seed
    assert result.request.seed == result.seed


def test_an_overlay_of_a_payload_may_hold_the_seed(client: Client) -> None:
    request = small(client).replace(seed=None, overlays={client.dialect: {"seed": 99}})

    assert client.txt2img(request).seed == 99
    assert client.txt2img(request, seed=5).seed == 5


def test_every_image_of_a_batch_comes_back_with_its_own_seed(a1111: Simulator) -> None:
    result = Client(a1111.url).txt2img("a red fox", **SMALL, seed=7, batch_size=2, n_iter=2)

    assert result.seeds == (7, 8, 9, 10)
    assert len({image.facts.pixels_sha256 for image in result.images}) == 4


@pytest.mark.parametrize(
    ("words", "count"),
    [("fox " * 1_500_000, 1), ('"' * 1_500_000, 3), ("\N{FOX FACE}" * 400_000, 3)],
    ids=["six megabytes", "quotation marks", "emoji"],
)
def test_a_prompt_of_megabytes_comes_back_as_often_as_it_is_told(a1111: Simulator, words: str, count: int) -> None:
    result = Client(a1111.url).txt2img(
        prompt=words, negative_prompt=words[:1000], width=64, height=64, steps=1, batch_size=count, inherit=True
    )

    assert len(result.images) == count


def test_a_grid_and_a_detected_map_are_no_images(a1111: Simulator) -> None:
    unit = {"enabled": True, "model": "control_v11p_sd15_canny", "module": "canny", "save_detected_map": True}
    unit["image"] = _b64(png())
    native = {"a1111": {"save_images": True, "alwayson_scripts": {"ControlNet": {"args": [unit]}}}}

    result = Client(a1111.url).txt2img("a red fox", **SMALL, seed=7, batch_size=2, native=native)

    assert [image.size for image in result.images] == [(128, 128)] * 2
    assert len(result.maps) == 1
    assert result.grid is not None
    assert result.grid.size != (128, 128)


@pytest.mark.parametrize("dialect", ["a1111", "forge", "sdnext"])
def test_masks_that_an_option_puts_behind_each_image_are_maps(dialect: str) -> None:
    wanted = {"override_settings": {"return_mask": True, "return_mask_composite": True}}
    request = Img2Img(prompt="a red fox", mask=_white(64), seed=7, n_iter=2, steps=2)
    with Simulator(dialect, options={"return_mask": False, "return_mask_composite": False}) as server:
        client = Client(server.url)
        plain = client.img2img(png(), request)
        result = client.img2img(png(), request, native={dialect: wanted})

    assert [image.facts.pixels_sha256 for image in result.images] == [
        image.facts.pixels_sha256 for image in plain.images
    ]
    assert (result.seeds, len(plain.maps), len(result.maps)) == ((7, 8), 0, 4)
    assert [change.field for change in result.changed] == []


@pytest.mark.parametrize("dialect", ["a1111", "forge", "sdnext"])
def test_a_mask_that_a_server_sends_of_its_own_accord_is_asked_not_to_come(dialect: str) -> None:
    with Simulator(dialect, options={"return_mask": True, "return_mask_composite": True}) as server:
        result = Client(server.url).img2img(png(), "a red fox", mask=_white(64), seed=7, n_iter=2, steps=2)

    assert (len(result.images), result.maps, result.seeds) == (2, (), (7, 8))


def test_a_wrong_field_is_named_before_anything_is_sent(client: Client) -> None:
    with pytest.raises(PayloadError, match=r"step.*did you mean steps"):
        client.txt2img("a red fox", step=3)


@pytest.mark.parametrize("wrong", [3, None, b"a fox", Enlarge(model="x")])
def test_what_is_neither_words_nor_a_request_is_named_before_anything_is_sent(wrong: object) -> None:
    client = Client("http://127.0.0.1:9")

    with pytest.raises(PayloadError, match=rf"^Txt2Img: give a prompt .* not {type(wrong).__name__}: "):
        client.txt2img(wrong)  # type: ignore[arg-type]
    with pytest.raises(PayloadError, match=rf"^Img2Img: give a prompt .* not {type(wrong).__name__}: "):
        client.img2img(png(64, 64), wrong, steps=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_program_draws_over_an_image_and_is_recognised(dialect: str) -> None:
    with Simulator(dialect) as server:
        client = Client(server.url)
        drawn = client.txt2img("a red fox", **SMALL, seed=7, inherit=True)
        over = client.img2img(_gradient((200, 150)), "a bear", seed=7, denoising_strength=0.3, inherit=True, steps=2)

    assert client.dialect == drawn.dialect == dialect
    assert (drawn.image.size, over.image.size) == ((128, 128), (200, 150))
    assert (drawn.seed, drawn.changed) == (7, ())
    assert parse_infotext(drawn.parameters).prompt == "a red fox"
    assert read_infotext(drawn.image.data) == drawn.parameters


# ---- drawing over an image ----


def test_path_bytes_pillow_and_an_earlier_result_are_the_same_image(client: Client, tmp_path: Path) -> None:
    made = client.txt2img(small(client)).image
    path = made.save(tmp_path / "in.png")
    over = Img2Img.from_mapping({**small(client).to_mapping(), "denoising_strength": 0.4})

    results = [client.img2img(source, over) for source in (path, str(path), made.data, made.pil, made)]

    assert {result.image.facts.pixels_sha256 for result in results} == {results[0].image.facts.pixels_sha256}
    assert results[0].image.facts.pixels_sha256 != made.facts.pixels_sha256


@pytest.mark.parametrize(("size", "expected"), [((200, 150), (200, 150)), ((130, 257), (130, 257))])
def test_an_image_of_any_size_is_padded_for_the_server_and_cropped_back(
    client: Client, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    over = Img2Img.from_mapping({**small(client).to_mapping(), "denoising_strength": 0.3})

    result = client.img2img(_gradient(size), over, size="source")

    assert result.image.size == expected
    assert result.parameters == read_infotext(result.image.data)
    assert result.seed == 7


def test_cropping_brings_the_image_down_to_what_the_server_takes(drawthings: Simulator) -> None:
    client = Client(drawthings.url)
    over = Img2Img.from_mapping({**small(client).to_mapping(), "denoising_strength": 0.3})

    result = client.img2img(_gradient((200, 150)), over, size="source", fit="crop")

    assert result.image.size == (192, 128)


def test_padding_comes_off_an_enlarged_result_by_the_same_factor(client: Client) -> None:
    upscaler = "4x-UltraSharp" if client.dialect == "a1111" else "4x_ultrasharp_f16.ckpt"
    over = Img2Img.from_mapping({**small(client).to_mapping(), "enlarge": Enlarge(model=upscaler, scale=2)})

    result = client.img2img(_gradient((200, 150)), over, size="source", denoising_strength=0.3)

    assert result.image.size == (400, 300)


def test_a_word_that_is_no_size_is_refused(client: Client) -> None:
    with pytest.raises(ConfigurationError, match=r"bigger.*not a size"):
        client.img2img(png(128, 128), "x", size="bigger")


# ---- losses ----


def test_check_tells_losses_and_sends_nothing(drawthings: Simulator) -> None:
    client = Client(drawthings.url)
    before = len(posts(drawthings, TXT2IMG))

    losses = client.check(small(client, tiling=True, eta=0.5))

    assert {loss.field for loss in losses.items} == {"tiling", "eta"}
    assert not losses.is_refused
    assert len(posts(drawthings, TXT2IMG)) == before


def test_check_takes_an_img2img_request_that_has_no_image_yet(client: Client) -> None:
    losses = client.check(Img2Img.load("bake"))

    assert not losses.is_refused


def test_what_cannot_be_done_is_refused_with_every_reason(drawthings: Simulator) -> None:
    client = Client(drawthings.url)
    request = small(client, width=100, enlarge=Enlarge(model="4x_ultrasharp_f16.ckpt", scale=3))

    with pytest.raises(LossError) as caught:
        client.txt2img(request)

    assert "width" in str(caught.value)
    assert "enlarge.scale" in str(caught.value)
    assert client.check(request).is_refused


def test_a_strict_client_refuses_every_loss_and_draws_what_loses_nothing(drawthings: Simulator) -> None:
    client = Client(drawthings.url, strict=True)

    with pytest.raises(LossError, match=r"eta"):
        client.txt2img(small(client, eta=0.5))
    assert client.txt2img(small(client)).losses == ()


def test_a_lora_and_a_vae_that_are_missing_are_told_and_one_that_is_there_is_not(a1111: Simulator) -> None:
    client = Client(a1111.url)
    request = small(
        client, vae="sdxl_vea.safetensors", loras=[Lora(model="add_more_details.safetensors"), Lora(model="nothing")]
    )

    losses = client.check(request)

    assert [(loss.field, loss.kind) for loss in losses.items] == [("loras[1].model", "dropped"), ("vae", "dropped")]
    assert "did you mean sdxl_vae.safetensors" in str(losses)


@pytest.mark.parametrize("asked", ["sdxl_vae", "SDXL_VAE.safetensors", "VAE/sdxl_vae.safetensors"])
@pytest.mark.parametrize(
    ("dialect", "option"), [("a1111", "sd_vae"), ("forge", "forge_additional_modules"), ("sdnext", "sd_vae")]
)
def test_a_vae_named_in_another_case_or_without_ending_is_the_one_that_draws(
    dialect: str, option: str, asked: str
) -> None:
    with Simulator(dialect) as server:
        client = Client(server.url)
        exact = small(client, vae="sdxl_vae.safetensors")
        named = client.txt2img(exact.replace(vae=asked))
        native = {dialect: {"override_settings": {option: [asked] if dialect == "forge" else asked}}}
        by_option = client.txt2img(exact.replace(vae=None, native=native))
        image = client.txt2img(exact).images[0].data
        plain = client.txt2img(exact.replace(vae=None)).images[0].data

    assert named.images[0].data == by_option.images[0].data == image != plain
    # Forge itself takes the file's name out of a path.
    said = ["replaced"] * (dialect != "forge" or "/" not in asked)
    assert [[loss.kind for loss in one.losses] for one in (named, by_option)] == [said, said]
    assert (named.changed, by_option.changed) == ((), ())


def test_a_vae_that_none_fits_is_told_and_not_taken_for_a_longer_name() -> None:
    with Simulator("forge") as server:
        client = Client(server.url)
        (loss,) = client.check(small(client, vae="sdxl")).items

    assert (loss.field, loss.kind) == ("vae", "dropped")
    assert "no VAE 'sdxl'" in loss.message


@pytest.mark.parametrize("dialect", ["a1111", "forge", "sdnext"])
def test_a_prompt_style_that_nobody_saved_is_told_and_one_that_is_there_is_not(dialect: str) -> None:
    with Simulator(dialect) as server:
        client = Client(server.url)
        (loss,) = [
            loss
            for loss in client.check(small(client, styles=["cinematic", "cinematik"])).items
            if loss.field == "styles"
        ]
        native = small(client, native={dialect: {"styles": ["nobody's"]}})
        fields = [loss.field for loss in client.check(native).items if loss.kind == "dropped"]

    assert "no prompt style 'cinematik' and would draw without it; did you mean cinematic" in loss.message
    assert fields == ["styles"]


def test_a_lora_that_a_tag_of_the_prompt_names_and_nobody_has_is_told_and_one_that_is_there_is_not(
    a1111: Simulator,
) -> None:
    client = Client(a1111.url)

    losses = client.check(small(client, prompt="a fox <lora:add_more_details:0.5> <lora:add_more_detail:1>"))

    (loss,) = losses.items
    assert (loss.field, loss.kind, loss.severity) == ("prompt", "dropped", "warning")
    assert "no LoRA 'add_more_detail' and would draw without it; did you mean add_more_details" in loss.message


@pytest.mark.parametrize("dialect", ["a1111", "forge"])
def test_a_server_that_is_set_to_jpeg_is_told(dialect: str) -> None:
    with Simulator(dialect, options={"samples_format": "jpg"}) as server:
        result = Client(server.url).txt2img("a fox", width=64, height=64, steps=2, inherit=True)

    assert result.image.facts.format == "JPEG"
    assert [str(change) for change in result.changed] == [
        "format: JPEG came, not PNG; the server's own settings choose it"
    ]


# ---- metadata ----


def test_received_bytes_are_kept_where_the_server_wrote_its_own_metadata(a1111: Simulator) -> None:
    result = Client(a1111.url).txt2img("a red fox", **SMALL, seed=7)

    assert result.received_sha256 == (result.image.sha256,)
    assert result.parameters == read_infotext(result.image.data) == result.image.infotext
    assert parse_infotext(result.parameters).get_int("Seed") == 7
    assert result.info["seed"] == 7


def test_a_draw_things_image_gets_its_settings_and_keeps_its_pixels(drawthings: Simulator) -> None:
    client = Client(drawthings.url)
    prepared = client.prepare(small(client, negative_prompt="blurry", refiner=Refiner(model="/x/y/ref.ckpt")))
    raw = execute(prepared)

    plain, spliced = finish(raw, metadata=False), finish(raw)

    assert plain.image.sha256 == plain.received_sha256[0] == spliced.received_sha256[0] != spliced.image.sha256
    assert plain.image.facts.pixels_sha256 == spliced.image.facts.pixels_sha256
    assert plain.image.pil.tobytes() == spliced.image.pil.tobytes()
    info = parse_infotext(read_infotext(spliced.image.data) or "")
    assert (info.prompt, info.negative_prompt, info.size) == ("a red fox", "blurry", (128, 128))
    assert info.get_int("Seed") == 7
    assert info.get_int("Steps") == 2
    assert info.fields["Model"] == DRAW_THINGS["model"]
    assert info.fields["Sampler"] == "DPM++ 2M Karras"
    assert info.fields["Refiner"] == "ref.ckpt"


def test_metadata_holds_no_host_no_address_no_path_and_no_password(drawthings: Simulator) -> None:
    client = Client(drawthings.url.replace("//", "//anna:hunter2@"))

    result = client.txt2img(small(client))

    data = result.image.data
    for trace in (b"127.0.0.1", b"http", b"localhost", str(client.address.port).encode(), b"/", b"hunter2", b"anna"):
        assert trace not in data[: data.index(b"IDAT")]


def test_a_jpeg_stays_a_jpeg_and_gets_its_settings_too() -> None:
    file = io.BytesIO()
    _gradient((64, 64)).save(file, "JPEG")
    with scripted({TXT2IMG: images(file.getvalue())}) as server:
        result = Client(base_url(server)).txt2img("a fox", width=64, height=64, seed=7)

    assert result.image.extension == ".jpg"
    assert parse_infotext(read_infotext(result.image.data) or "").prompt == "a fox"


# ---- asked and applied ----


def test_what_the_server_says_it_used_instead_is_recorded() -> None:
    info = {
        "seed": 8,
        "all_seeds": [8],
        "steps": 20,
        "sampler_name": "Euler",
        "sd_model_name": "other",
        "extra_generation_params": {},
    }
    request = Txt2Img(
        prompt="a fox",
        width=64,
        height=64,
        seed=7,
        steps=30,
        sampler_name="DDIM",
        model="xl",
        refiner=Refiner(model="ref", switch_at=0.7),
    )
    with scripted({TXT2IMG: images(png(), info=info)}) as server:
        result = Client(base_url(server)).txt2img(request)

    changed = {change.field: change.applied for change in result.changed}
    assert changed == {
        "seed": 8,
        "steps": 20,
        "sampler_name": "Euler",
        "model": "other",
        "refiner": None,
        "switch_at": None,
    }
    assert result.seed == 8


TILE_UNIT = {"enabled": True, "model": "control_v11f1e_sd15_tile", "module": "tile_resample"}


@pytest.mark.parametrize(
    ("size", "changed"),
    [
        ((128, 200), [("height", 200, 192)]),
        ((131, 200), [("width", 131, 128), ("height", 200, 192)]),
        ((128, 192), []),
    ],
)
def test_an_image_of_another_size_than_asked_is_recorded(size: tuple[int, int], changed: list) -> None:
    request = Txt2Img(prompt="a fox", width=size[0], height=size[1], steps=2, seed=7, inherit=True)
    with Simulator("koboldcpp") as server:
        result = Client(server.url).txt2img(request)

    assert [(one.field, one.asked, one.applied) for one in result.changed] == changed
    assert [result.image.size[name == "height"] for name, _, _ in changed] == [applied for _, _, applied in changed]


@pytest.mark.parametrize("fault", [[], ["wrong-size"]])
@pytest.mark.parametrize(("dialect", "told"), [("a1111", "512x512"), ("forge", "512x512"), ("sdnext", "1024x1024")])
def test_an_image_of_another_size_than_its_reply_says_is_recorded_where_none_was_asked(
    dialect: str, told: str, fault: list[str]
) -> None:
    with Simulator(dialect, faults=fault) as server:
        result = Client(server.url).txt2img("a fox", steps=2, seed=7, inherit=True)

    got = "x".join(map(str, result.image.size))
    changed = [str(change).partition(";")[0] for change in result.changed]
    assert changed == ([f"size: the reply says {told}, and the image is {got}"] if fault else [])


@pytest.mark.parametrize(
    ("dialect", "changed"),
    [("sdcpp", [("width", 260, 256), ("height", 196, 192)]), ("a1111", []), ("forge", []), ("sdnext", [])],
)
def test_a_hires_fix_that_came_out_otherwise_is_recorded_where_no_loss_tells_its_size(
    dialect: str, changed: list
) -> None:
    hires = {"first_width": 132, "first_height": 128, "strength": 0.4}
    request = Txt2Img(prompt="a fox", width=260, height=196, steps=2, seed=7, inherit=True, hires=hires)
    with Simulator(dialect) as server:
        result = Client(server.url).txt2img(request)

    told = {loss.field: loss.message for loss in result.losses if loss.field in ("width", "height")}
    assert [(one.field, one.asked, one.applied) for one in result.changed] == changed
    if not changed:
        assert (told["width"][-3:], told["height"][-3:]) == tuple(map(str, result.image.size))
    assert "132" in next(loss.message for loss in result.losses if loss.field == "hires.first_width")


@pytest.mark.parametrize("dialect", ["a1111", "forge", "sdnext"])
def test_a_hires_fix_comes_in_the_size_of_its_second_pass(dialect: str) -> None:
    with Simulator(dialect) as server:
        client = Client(server.url)
        hires = {"first_width": 128, "first_height": 64, "strength": 0.4}
        result = client.txt2img(small(client, width=256, height=128, hires=hires))

    assert (result.image.size, result.changed) == ((256, 128), ())


@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_a_size_that_was_fitted_to_the_servers_steps_is_no_change(fit: str) -> None:
    with Simulator("koboldcpp") as server:
        result = Client(server.url).img2img(
            png(100, 150), Img2Img(prompt="a", steps=2, denoising_strength=0.4, inherit=True), fit=fit
        )

    assert (result.image.size, result.changed) == ((100, 150) if fit == "pad" else (64, 128), ())


def test_a_control_unit_that_failed_inside_the_server_is_noticed(a1111: Simulator) -> None:
    client = Client(a1111.url)
    over = Img2Img.from_mapping({**small(client).to_mapping(), "denoising_strength": 0.4})
    good = ControlNet(model="control_v11f1e_sd15_tile", module="tile_resample", weight=0.5)
    # It ends before it begins, and the extension fails without a word; native keys are sent as they are.
    unit = {**TILE_UNIT, "guidance_start": 0.9, "guidance_end": 0.1}
    bad = {"a1111": {"alwayson_scripts": {"ControlNet": {"args": [unit]}}}}

    done = client.img2img(png(128, 128), over, controls=[good])
    undone = client.img2img(png(128, 128), over, native=bad)

    assert done.changed == ()
    assert [(change.field, change.applied) for change in undone.changed] == [("ControlNet[0]", None)]
    assert "does not say that it did it" in str(undone.changed[0])


@pytest.mark.parametrize(
    ("dialect", "change", "words"),
    [
        ("a1111", {"model": "control_v11f1e_sd15_tyle"}, "no ControlNet model"),
        ("a1111", {"module": "tile_resampel"}, "did you mean tile_resample"),
        ("forge", {}, "write 'control_v11f1e_sd15_tile [a371b31b]'"),
    ],
)
def test_a_unit_of_native_keys_is_looked_up_before_anything_is_drawn(dialect: str, change: dict, words: str) -> None:
    args = [{"enabled": False, "model": "none at all", "module": "none at all"}, {**TILE_UNIT, **change}]
    over = Img2Img(prompt="a", model="sd_xl_base_1.0", init_image=png(128, 128), **SMALL)
    with Simulator(dialect) as server:
        report = Client(server.url).check(
            over.replace(native={dialect: {"alwayson_scripts": {"ControlNet": {"args": args}}}})
        )

    (told,) = [loss for loss in report.items if loss.severity == "error"]
    assert words in told.message


@pytest.mark.parametrize(
    ("dialect", "native", "words"),
    [
        ("a1111", {"override_settings": {"sd_model_checkpoint": "sd_xl_bas_1.0"}}, "sd_model_checkpoint: .*no model"),
        ("forge", {"override_settings": {"sd_model_checkpoint": "nobody's"}}, "sd_model_checkpoint: .*no model"),
        ("sdnext", {"override_settings": {"sd_model_checkpoint": "nobody's"}}, "sd_model_checkpoint: .*no model"),
        ("sdnext", {"sd_model_checkpoint": "nobody's"}, r"native\.sdnext\.sd_model_checkpoint: .*no model"),
        ("sdnext", {"script_name": "nobody's", "script_args": []}, "script_name: this server has no script"),
        ("a1111", {"script_name": "nobody's", "script_args": []}, "script_name: this server has no script"),
    ],
)
def test_what_a_native_key_names_and_a_server_would_pass_over_in_silence_is_refused(
    dialect: str, native: dict, words: str
) -> None:
    with Simulator(dialect) as server, pytest.raises(LossError, match=words):
        Client(server.url).img2img(png(), "a red fox", steps=2, native={dialect: native})


@pytest.mark.parametrize(
    ("dialect", "options", "lost"),
    [
        ("a1111", {"sd_vae": "nobody.pt"}, "sd_vae: no VAE"),
        ("sdnext", {"sd_vae": "nobody.pt"}, "sd_vae: no VAE"),
        ("sdnext", {"sd_vae": "TAESD"}, ""),
        ("a1111", {"sd_vae": "Automatic"}, ""),
        (
            "forge",
            {"forge_additional_modules": ["sdxl_vae.safetensors", "nobody.pt"]},
            "forge_additional_modules: no module",
        ),
    ],
)
def test_a_vae_that_a_native_option_names_and_nobody_has_is_told(dialect: str, options: dict, lost: str) -> None:
    request = Txt2Img.from_mapping({**SMALL, "native": {dialect: {"override_settings": options}}})
    with Simulator(dialect) as server:
        losses = Client(server.url).check(request).items

    told = [f"{loss.field.rpartition('.')[2]}: {loss.message}" for loss in losses if "override_settings" in loss.field]
    assert [one.replace("this server has ", "").partition(" '")[0] for one in told] == [lost] * bool(lost)


def test_a_schedule_that_a_native_key_names_and_nobody_has_is_refused(a1111: Simulator) -> None:
    native = {"a1111": {"sampler_name": "Euler", "scheduler": "nobody's"}}
    drawn = [exchange.path for exchange in a1111.log].count("/sdapi/v1/txt2img")

    with pytest.raises(LossError, match=r"takes Automatic for a schedule it does not know, such as \"nobody's\""):
        Client(a1111.url).txt2img("a red fox", **SMALL, native=native)
    alone = Client(a1111.url).txt2img("a red fox", **SMALL, scheduler="Karras")

    assert [exchange.path for exchange in a1111.log].count("/sdapi/v1/txt2img") == drawn + 1
    assert alone.changed == ()


def test_a_model_that_a_native_option_names_is_compared_with_what_drew() -> None:
    info = {"sd_model_name": "other", "all_seeds": [7]}
    request = Txt2Img.from_mapping(
        {**SMALL, "seed": 7, "native": {"a1111": {"override_settings": {"sd_model_checkpoint": "xl"}}}}
    )
    with scripted({TXT2IMG: images(png(128, 128), info=info)}) as server:
        result = Client(base_url(server)).txt2img(request)

    assert [(one.field, one.asked, one.applied) for one in result.changed] == [("model", "xl", "other")]


@pytest.mark.parametrize(("dialect", "version"), [("a1111", "1.10"), ("a1111", "1.8"), ("forge", ""), ("sdnext", "")])
def test_a_model_named_in_another_case_is_the_one_that_draws(dialect: str, version: str) -> None:
    request = Txt2Img.from_mapping({**SMALL, "prompt": "a red fox", "model": "JUGGERNAUT_REBORN.ckpt"})
    with Simulator(dialect, version=version) as server:
        result = Client(server.url).txt2img(request)

        with pytest.raises(LossError, match="taken for juggernaut_reborn"):
            Client(server.url, strict=True).txt2img(request)
        with pytest.raises(LossError, match="several fit: juggernaut_reborn"):
            Client(server.url).txt2img(request.replace(model="juggernaut"))

    assert parse_infotext(result.parameters).fields["Model"] == "juggernaut_reborn"
    assert result.changed == ()


def test_a_refiner_named_in_part_is_the_one_that_refines(a1111: Simulator) -> None:
    refiner = {"model": "SD_XL_Refiner", "switch_at": 0.7}
    result = Client(a1111.url).txt2img("a red fox", **SMALL, refiner=refiner)

    assert "sd_xl_refiner_1.0" in parse_infotext(result.parameters).fields["Refiner"]
    assert result.changed == ()


def test_a_detector_of_a_native_key_that_did_not_run_is_noticed(a1111: Simulator) -> None:
    units = [{"ad_model": "face_yolov8n.pt"}, {"ad_model": "no_such_detector.pt"}]
    native = {"a1111": {"alwayson_scripts": {"ADetailer": {"args": [True, False, *units]}}}}

    result = Client(a1111.url).txt2img("a red fox", **SMALL, seed=7, native=native)

    assert [(change.field, change.asked) for change in result.changed] == [("adetailer[1]", "no_such_detector.pt")]


@pytest.mark.parametrize("dialect", ["a1111", "forge"])
@pytest.mark.parametrize(("module", "close"), [("tile_resampel", "tile_resample"), ("Canny", None)])
def test_a_preprocessor_is_looked_up_before_anything_is_drawn(dialect: str, module: str, close: str | None) -> None:
    over = Img2Img(prompt="a", model="sd_xl_base_1.0", **SMALL)
    unit = ControlNet(model="control_v11f1e_sd15_tile", module=module)
    with Simulator(dialect) as server:
        report = Client(server.url).check(over.replace(controls=[unit], init_image=png(128, 128)))

    told = [loss for loss in report.items if loss.field == "controls[0].module"]
    assert bool(told) == (close is not None)
    assert all(loss.severity == "error" and f"did you mean {close}" in loss.message for loss in told)


# ---- the other calls ----


def test_lists_and_settings_of_a_whole_server_can_be_read(a1111: Simulator) -> None:
    client = Client(a1111.url)

    assert any(model.model_name == "sd_xl_base_1.0" for model in client.models())
    assert "sdxl_vae.safetensors" in {vae.model_name for vae in client.vaes()}
    assert "DPM++ 2M" in {sampler.name for sampler in client.samplers()}
    assert "Karras" in {scheduler.label for scheduler in client.schedulers()}
    assert "4x-UltraSharp" in {upscaler.name for upscaler in client.upscalers()}
    assert "Latent" in {mode.name for mode in client.latent_upscale_modes()}
    assert "add_more_details" in {lora.name for lora in client.loras()}
    assert "controlnet" in str(client.scripts()["txt2img"])
    assert "controlnet" in {script.name for script in client.script_info()}
    assert client.memory()["ram"]
    assert any("tile" in name for name in client.controlnet_models())
    assert client.progress().is_idle
    client.interrupt()
    client.skip()


def test_an_option_that_is_set_is_there_at_the_next_look() -> None:
    with Simulator("a1111") as server:
        client = Client(server.url)
        before = client.facts.options or {}
        client.set_options(CLIP_stop_at_last_layers=2)

        after = client.facts.options or {}

    assert (before["CLIP_stop_at_last_layers"], after["CLIP_stop_at_last_layers"]) == (1, 2)


def test_an_image_is_enlarged_alone_and_its_metadata_read_back(a1111: Simulator) -> None:
    client = Client(a1111.url)
    made = client.txt2img("a red fox", **SMALL, seed=7).image

    large = client.extra_single_image(made, upscaler="4x-UltraSharp", scale=2)

    assert large.size == (256, 256)
    assert client.png_info(made).prompt == "a red fox"


def test_an_upscaler_that_is_not_there_is_refused_with_the_nearest_name(a1111: Simulator) -> None:
    with pytest.raises(ConfigurationError, match=r"has no upscaler '4x-Ultrasharp'; did you mean 4x-UltraSharp"):
        Client(a1111.url).extra_single_image(png(), upscaler="4x-Ultrasharp")


def test_draw_things_cannot_enlarge_alone_and_says_so(drawthings: Simulator) -> None:
    with pytest.raises(MissingRouteError, match=r"Draw Things has no extra single image"):
        Client(drawthings.url).extra_single_image(png(), upscaler="x")


def test_a_client_shows_its_address_and_what_answers_there(client: Client) -> None:
    assert repr(client) == f"Client({client.url!r})"
    assert client.title in ("AUTOMATIC1111", "Draw Things")
    assert client.connection.address is client.address


def test_credentials_open_a_server_that_asks_for_them() -> None:
    with Simulator("a1111", auth=("anna", "hunter2")) as server:
        result = Client(server.url, auth=("anna", "hunter2")).txt2img("a fox", **SMALL)

    assert isinstance(result.image, GeneratedImage)


def _gradient(size: tuple[int, int]) -> Image.Image:
    return Image.linear_gradient("L").resize(size).convert("RGB")


def _white(side: int) -> bytes:
    return png(side, side, colour=(255, 255, 255))


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_an_extension_that_failed_inside_the_server_is_noticed_and_one_that_ran_is_not(a1111: Simulator) -> None:
    request = Txt2Img(prompt="x", width=512, height=512, steps=2, tiled=Tiled(diffusion=Tiles(width=256, height=256)))
    client = Client(a1111.url)

    ran = client.txt2img(request.replace(adetailer=[ADetailer(model="face_yolov8n.pt")]))
    failed = client.txt2img(request.replace(adetailer=[ADetailer(model="no_such_detector.pt")]))

    assert ran.changed == ()
    assert [(one.field, one.applied) for one in failed.changed] == [("adetailer", None)]
