"""``sdclient payload``: what it shows is what is sent, and what it makes can be drawn with."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from click.testing import CliRunner, Result
from PIL import Image, PngImagePlugin
from pydantic import JsonValue

from sdclient.cli.payload import command
from sdclient.client import Client
from sdclient.client.connection import encode_body
from sdclient.dialects import DIALECTS
from sdclient.dialects.showing import TASK_STANDS_HERE
from sdclient.errors import ConfigurationError, PayloadError, SDClientError
from sdclient.schemas import Img2Img, Txt2Img, load_request, payload_names, save_payload
from sdclient.simulator import Simulator
from tests.conftest import CommandLine
from tests.integration.scripted_server import A1111_OPTIONS, OPTIONS, as_json, base_url, scripted
from tests.integration.simulator_talk import ask

ALL = list(DIALECTS)


def run(*args: str, text: str | bytes = "") -> Result:
    result = CliRunner().invoke(command, list(args), input=text, standalone_mode=False)
    if isinstance(result.exception, SDClientError):
        raise result.exception
    assert result.exception is None, result.exception
    return result


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Simulator]]:
    """One simulated server of every program."""
    running = {name: Simulator(name, prerendered=True).start() for name in ALL}
    yield running
    for one in running.values():
        one.stop()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "in.png"
    Image.radial_gradient("L").resize((256, 256)).convert("RGB").save(path)
    return path


def last_bodies(server: Simulator) -> list[bytes]:
    """The bodies of the drawing calls so far, encoded again as they came, the name of each try as it is shown."""
    posts = [exchange for exchange in server.log if exchange.method == "POST" and "internal" not in exchange.path]
    return [encode_body({k: _as_shown(k, v) for k, v in exchange.body.items()}) for exchange in posts]


def _as_shown(key: str, value: object) -> JsonValue:
    return TASK_STANDS_HERE if key == "force_task_id" else cast("JsonValue", value)


SETS = ("seed=7", "prompt=a fox", "steps=2", "width=256", "height=256")


def arguments(name: str) -> list[str]:
    request = load_request(name)
    sets = [*SETS, "hires=null"] if request.kind == "txt2img" else list(SETS)
    return [word for text in sets for word in ("--set", text)]


@pytest.mark.parametrize("dialect", ALL)
@pytest.mark.parametrize("name", ["bake", "sdxl-refiner-ultrasharp", "creative-upscale-esrgan"])
def test_what_is_shown_is_byte_for_byte_what_is_sent(
    servers: dict[str, Simulator], picture: Path, name: str, dialect: str
) -> None:
    server = servers[dialect]
    image = ["--image", str(picture)] if isinstance(load_request(name), Img2Img) else []
    shown = run("show", name, *arguments(name), "--url", server.url, "--whole", "--json", *image)
    calls = json.loads(shown.stdout)
    if shown.return_value:
        assert "refused" in shown.stderr
        return
    before = len(last_bodies(server))

    _draw(server, name, picture)

    sent = last_bodies(server)[before:]
    assert sent[0] == encode_body(calls[0]["body"])
    assert len(sent) == len(calls)
    for body, call in zip(sent[1:], calls[1:], strict=True):
        assert {**json.loads(body), "image": ""} == {**call["body"], "image": ""}


@pytest.mark.parametrize("dialect", ALL)
@pytest.mark.parametrize("more", [{}, {"resize_mode": 1}, {"resize_mode": 2}])
def test_an_image_is_shown_brought_to_size_as_it_is_sent(
    servers: dict[str, Simulator], picture: Path, tmp_path: Path, dialect: str, more: dict[str, int]
) -> None:
    server = servers[dialect]
    request = Img2Img(prompt="x", seed=1, width=384, height=200, inherit=True, **more)
    mine = save_payload(request, tmp_path / "mine.json")
    shown = run("show", str(mine), "--image", str(picture), "--url", server.url, "--whole", "--json")

    result = Client(server.url).img2img(picture, request)

    assert last_bodies(server)[-1] == encode_body(json.loads(shown.stdout)[0]["body"])
    assert all(loss.message in shown.stderr for loss in result.losses)


def _draw(server: Simulator, name: str, picture: Path) -> None:
    from sdclient.schemas import apply_sets

    sets = arguments(name)[1::2]
    request = apply_sets(load_request(name), sets)
    client = Client(server.url)
    if isinstance(request, Img2Img):
        client.img2img(picture, request)
    else:
        client.txt2img(request)


@pytest.mark.parametrize("dialect", ["a1111", "drawthings", "sdnext"])
def test_offline_the_newest_key_set_says_what_a_new_server_is_sent(servers: dict[str, Simulator], dialect: str) -> None:
    args = ("show", "sdxl-refiner-ultrasharp", *arguments("sdxl-refiner-ultrasharp"), "--json")

    offline = run(*args, "--dialect", dialect)
    online = run(*args, "--url", servers[dialect].url)

    assert offline.stdout == online.stdout
    assert f"({dialect}-" in offline.stderr


def test_images_are_cut_short_unless_they_are_wanted(picture: Path) -> None:
    args = ("show", "bake", *arguments("bake"), "--dialect", "drawthings", "--image", str(picture), "--json")

    [short], [whole] = (json.loads(run(*args, *more).stdout) for more in ((), ("--whole",)))

    assert len(short["body"]["init_images"][0]) < 60
    assert len(whole["body"]["init_images"][0]) > 1000
    assert short.keys() == {"method", "path", "body"}
    assert {**short["body"], "init_images": 0} == {**whole["body"], "init_images": 0}


def test_a_person_is_shown_the_calls_and_what_gets_lost() -> None:
    shown = run("show", "sdxl-refiner-ultrasharp", "--dialect", "sdnext")

    assert shown.stdout.startswith('POST /sdapi/v1/txt2img\n{\n  "prompt"')
    assert "POST /sdapi/v1/extra-single-image" in shown.stdout
    assert "refiner" in shown.stderr
    assert shown.return_value == 0
    assert run("show", "sdxl-refiner-ultrasharp", "--dialect", "sdnext", "--strict").return_value == 2


def test_an_older_version_is_shown_by_its_key_set() -> None:
    shown = run("show", "sdxl-refiner-ultrasharp", "--keys", "a1111-1.8", "--json")

    assert json.loads(shown.stdout)[0]["body"]["sampler_name"] == "DPM++ 2M Karras"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("show", "bake"), "say for which program"),
        (("show", "bake", "--dialect", "forge", "--keys", "a1111-1.8"), "is of a1111, not of forge"),
        (("show", "bake", "--keys", "a1111-2"), "not known"),
        (("show", "story", "--dialect", "a1111", "--image", __file__), "txt2img takes no image"),
        (("show", "bake", "--url", "a", "--url", "b"), "give --url once"),
        (("snapshot", "--url", "a", "--url", "b"), "give --url once"),
        (("check", "nope"), "no such file"),
        (("check", "bake", "--set", "stepz=1"), "did you mean steps"),
        (("import", "nope.json"), "cannot be read"),
        (("import", "http://mac:7860"), "sdclient payload snapshot --url http://mac:7860"),
        (("import", "-", "--format", "comfy"), "is not one of"),
        (("from-image", "nope.png"), "cannot be read"),
    ],
)
def test_a_wrong_call_is_answered_with_words(args: tuple[str, ...], words: str) -> None:
    result = CliRunner().invoke(command, list(args), standalone_mode=False)

    assert words in str(getattr(result.exception, "message", result.exception))


def test_a_check_says_for_every_program_what_would_be_lost() -> None:
    told = run("check", "bake")

    assert told.return_value == 0
    assert "AUTOMATIC1111 (a1111-1.10): nothing is lost" in told.stdout
    assert "KoboldCpp (koboldcpp-1.102): 7 losses" in told.stdout


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_an_image_given_for_a_payload_is_told_what_reads_it(cli: CommandLine, suffix: str) -> None:
    Image.new("RGB", (64, 64), "red").save(cli.folder / f"my fox.{suffix}")

    ended = cli("payload", "import", f"my fox.{suffix}")

    assert ended.code == 2
    assert f"my fox.{suffix}: an image, and no text" in ended.stderr
    assert f"sdclient payload from-image 'my fox.{suffix}'" in ended.stderr


def test_a_password_in_an_address_given_for_a_payload_is_not_repeated(cli: CommandLine) -> None:
    ended = cli("payload", "import", "http://me:secret@mini:7860/sdapi")

    assert "sdclient payload snapshot --url http://mini:7860/sdapi" in ended.stderr
    assert (ended.code, "secret" in ended.stderr) == (2, False)


def test_a_check_for_one_program_refuses_with_its_exit_code() -> None:
    lines = run("check", "sdxl-refiner-ultrasharp", "--dialect", "sdcpp", "--json")
    strict = run("check", "bake", "--dialect", "forge", "--strict")
    fine = run("check", "bake", "--dialect", "a1111", "--dialect", "drawthings", "--strict")

    assert [lines.return_value, strict.return_value, fine.return_value] == [2, 2, 0]
    told = json.loads(lines.stdout)
    assert (told["dialect"], told["keys"], told["refused"]) == ("sdcpp", "sdcpp-2026-08", True)
    assert told["losses"][0]["field"] == "enlarge"


@pytest.mark.parametrize("name", payload_names())
def test_every_payload_that_ships_passes_a_check(name: str) -> None:
    assert run("check", name).return_value == 0


def test_a_foreign_payload_is_imported_from_stdin_and_drawn(servers: dict[str, Simulator], tmp_path: Path) -> None:
    native = {"model": "sd_v1.5_f16.ckpt", "sampler": "DDIM", "guidance_scale": 3, "width": 128, "height": 128}
    native |= {"steps": 2, "prompt": "a fox", "seed": 5, "sharpness": 2, "color_calibration": "none"}
    out = tmp_path / "mine.json"

    told = run("import", "-", "-o", str(out), text=json.dumps(native))
    Client(servers["drawthings"].url).txt2img(load_request(out))

    assert "color_calibration: the server refuses every request that carries it" in told.stderr
    sent = servers["drawthings"].log[-1].body
    assert {name: sent[name] for name in native if name != "color_calibration"} == {
        name: value for name, value in native.items() if name != "color_calibration"
    }
    assert json.loads(out.read_text(encoding="utf-8"))["about"] == "Imported from stdin"


def test_an_imported_img2img_body_draws_what_the_body_itself_does(a1111: Simulator, tmp_path: Path) -> None:
    picture, source = tmp_path / "wide.png", tmp_path / "body.json"
    Image.radial_gradient("L").resize((256, 128)).convert("RGB").save(picture)
    image = base64.b64encode(picture.read_bytes()).decode()
    body = {"prompt": "a fox", "init_images": [image], "seed": 3, "steps": 2, "denoising_strength": 0.4}
    source.write_text(json.dumps(body), encoding="utf-8")
    run("import", str(source), "--format", "a1111", "-o", str(tmp_path / "mine.json"))

    [raw] = ask(a1111, "img2img", body).images
    [ours] = Client(a1111.url).img2img(picture, load_request(tmp_path / "mine.json")).images

    assert raw.size == (512, 512)
    assert ours.pil.tobytes() == raw.tobytes()


def test_an_import_is_printed_where_no_file_is_named(tmp_path: Path) -> None:
    source = tmp_path / "a.json"
    source.write_text('{"prompt": "x", "cfg_scale": 5, "override_settings": {}}', encoding="utf-8")

    told = run("import", str(source), "--kind", "img2img", "--format", "a1111")

    assert json.loads(told.stdout)["kind"] == "img2img"


def test_a_dash_for_the_output_is_stdout_and_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    told = run("import", "-", "-o", "-", text='{"prompt": "x", "cfg_scale": 5, "override_settings": {}}')
    run("schema", "-o", "./-")

    assert json.loads(told.stdout)["request"]["prompt"] == "x"
    assert [path.name for path in tmp_path.iterdir()] == ["-"]
    assert json.loads((tmp_path / "-").read_bytes())["title"] == "sdclient payload"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "stdin: line 1, column 2: not JSON"),
        ("[]", "stdin: the whole must be a JSON object"),
        ('{"a": 1}', "stdin: this is no payload that is known"),
        ('{"request": {"steps": 3}}', "stdin: is a payload file of sdclient's already"),
    ],
)
def test_what_is_no_payload_is_refused(text: str, words: str) -> None:
    with pytest.raises(PayloadError, match=words):
        run("import", "-", text=text)


def test_text_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xff\xfe{")

    with pytest.raises(PayloadError, match="not UTF-8"):
        run("import", str(path))


@pytest.mark.parametrize("dialect", ALL)
def test_a_snapshot_can_be_drawn_with(servers: dict[str, Simulator], tmp_path: Path, dialect: str) -> None:
    out = tmp_path / "window.json"
    server = servers[dialect]

    told = run("snapshot", "--url", server.url, "-o", str(out))
    native = {"drawthings": {"upscaler": None}} if dialect == "drawthings" else {}
    request = load_request(out).replace(prompt="a fox", width=128, height=128, steps=2, enlarge=None, native=native)
    result = Client(server.url).txt2img(request)

    assert result.image.size == (128, 128)
    assert "left out:" in told.stderr
    assert request.overlays[dialect]["model"]


def test_an_images_settings_are_imported(tmp_path: Path, a1111: Simulator) -> None:
    image, out = tmp_path / "fox.png", tmp_path / "fox.json"
    client = Client(a1111.url)
    drawn = client.txt2img("a red fox", steps=3, seed=9, width=128, height=64, cfg_scale=4, sampler_name="Euler a")
    drawn.image.save(image)

    run("from-image", str(image), "-o", str(out))
    piped = run("from-image", "-", text=image.read_bytes())
    request = load_request(out)

    assert json.loads(piped.stdout)["request"] == json.loads(out.read_bytes())["request"]
    assert (request.prompt, request.steps, request.seed, request.size) == ("a red fox", 3, 9, (128, 64))
    assert (request.cfg_scale, request.sampler_name) == (4, "Euler a")
    assert client.txt2img(request).image.sha256 == drawn.image.sha256


def test_an_image_without_settings_is_refused(picture: Path) -> None:
    with pytest.raises(PayloadError, match=r"in\.png: holds no settings"):
        run("from-image", str(picture))
    with pytest.raises(PayloadError, match="stdin: holds no settings"):
        run("from-image", "-", text=picture.read_bytes())


def test_a_file_is_not_replaced_unless_forced(tmp_path: Path) -> None:
    out = tmp_path / "schema.json"
    run("schema", "-o", str(out))
    first = out.read_bytes()

    with pytest.raises(ConfigurationError, match="is there already"):
        run("schema", "-o", str(out))
    run("losses", "-o", str(out), "--force")

    assert json.loads(first)["title"] == "sdclient payload"
    assert out.read_text(encoding="utf-8").startswith("# What becomes")


def test_each_subcommand_is_helped_with_an_example() -> None:
    for name, sub in command.commands.items():
        told = CliRunner().invoke(command, [name, "--help"])
        assert f"Example:  sdclient payload {name}" in told.stdout
        assert sub.help


def test_the_command_line_ends_with_words_and_a_code(cli: CommandLine) -> None:
    good = cli("payload", "show", "bake", "--dialect", "drawthings", "--json")
    bad = cli("payload", "check", "nope")
    refused = cli("payload", "check", "sdxl-refiner-ultrasharp", "--dialect", "koboldcpp")

    assert (good.code, bad.code, refused.code) == (0, 2, 2)
    assert json.loads(good.stdout)[0]["path"] == "/sdapi/v1/img2img"
    assert bad.stderr.startswith("sdclient: payload 'nope'")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("payload", "snapshot", "http://mac:7860"), "; a server goes into an option: --url http://mac:7860"),
        (("payload", "snapshot", "bake"), "; a server goes into an option: --url http://127.0.0.1:7860"),
        (("payload", "show", "bake", "http://mac:7860"), "; a server goes into an option: --url http://mac:7860"),
        (("txt2img", "a fox", "mine.json"), "; a payload goes into an option: --payload mine.json"),
        (("payload", "schema", "bake"), "Got unexpected extra argument (bake)"),
    ],
)
def test_a_server_or_payload_that_stands_for_itself_is_told_its_option(
    cli: CommandLine, args: tuple[str, ...], words: str
) -> None:
    told = cli(*args)

    assert told.code == 2
    assert told.stderr.rstrip().endswith(words)


def test_a_draw_things_image_is_read_by_its_own_metadata(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    comment = '<exif:UserComment>{"c": "a fox", "uc": "", "steps": 4, "model": "m.ckpt"}</exif:UserComment>'
    info.add_itxt("XML:com.adobe.xmp", comment)
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "PNG", pnginfo=info)
    (tmp_path / "a.png").write_bytes(file.getvalue())

    told = run("from-image", str(tmp_path / "a.png"))

    assert json.loads(told.stdout)["drawthings"] == {"model": "m.ckpt"}


def test_a_template_is_shown_with_a_word_where_a_server_wants_one_and_as_it_is_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    save_payload(Txt2Img(width=512, height=512), file)

    shown = {name: run("show", str(file), "--dialect", name, "--json") for name in ("sdcpp", "a1111")}

    assert {name: one.return_value for name, one in shown.items()} == {"sdcpp": 0, "a1111": 0}
    assert [json.loads(one.stdout)[0]["body"].get("prompt") for one in shown.values()] == ["a fox", None]
    assert ["'a fox' stands for it" in one.stderr for one in shown.values()] == [True, False]


@pytest.mark.parametrize("args", [("check", "-"), ("show", "-", "--dialect", "a1111")])
def test_what_an_import_printed_is_looked_at_from_stdin(args: tuple[str, ...]) -> None:
    printed = run("import", "-", "--format", "a1111", text='{"prompt": "a fox", "steps": 5}').stdout

    told = run(*args, text=printed)

    assert told.return_value == 0
    with pytest.raises(PayloadError, match=r"stdin: request\.stepz|stdin: stepz"):
        run(*args, text='{"request": {"prompt": "a fox", "stepz": 5}}')


def test_a_snapshot_of_names_that_nothing_can_write_is_written(tmp_path: Path) -> None:
    out = tmp_path / "x.json"
    reply = as_json({**A1111_OPTIONS, "sd_model_checkpoint": "xl\ud800"})

    with scripted({OPTIONS: reply}) as server:
        run("snapshot", "--url", base_url(server), "-o", str(out))

    assert "xl?" in out.read_bytes().decode()


UNITS = (
    '{"alwayson_scripts": {"ControlNet": {"args": [{"enabled": true, "%s": "AAAA", "module": "none", "model": "x"}]}}}'
)


def test_a_key_that_one_relative_lacks_is_refused_there_and_the_others_are_told_too(cli: CommandLine) -> None:
    (cli.folder / "e.json").write_text(
        '{"kind": "txt2img", "request": {"prompt": "x", "inherit": true}, "a1111": {"native": %s}}'
        % (UNITS % "input_image")
    )

    ended = cli("payload", "check", "e.json", "--json")
    rows = {row["dialect"]: row for row in map(json.loads, ended.stdout.splitlines())}

    assert (ended.code, len(rows)) == (0, 6)
    assert (rows["a1111"]["refused"], rows["forge"]["refused"]) == (False, True)
    assert rows["forge"]["error"].endswith("input_image: unknown key of a unit; here it is called image")
    assert cli("payload", "check", "e.json", "--dialect", "forge").code == 2


def test_a_key_that_its_own_program_lacks_is_wrong_and_the_others_are_told_all_the_same(cli: CommandLine) -> None:
    (cli.folder / "e.json").write_text(
        '{"kind": "txt2img", "request": {"prompt": "x", "inherit": true}, "a1111": {"native": %s}}'
        % (UNITS % "nobodys")
    )

    ended = cli("payload", "check", "e.json")

    assert ended.code == 2
    assert "sdclient: native.a1111.alwayson_scripts.ControlNet.args[0].nobodys: unknown key of a unit" in ended.stderr
    assert "SD.Next (" in ended.stdout
