"""What the doctor finds, against both simulated servers and against nobody."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdclient.client import Client
from sdclient.doctor import USUAL_PORTS, Finding, look_around, look_at_folder, look_at_machine, look_at_server
from sdclient.errors import ConfigurationError
from sdclient.schemas import Enlarge, HiresFix, Lora, Refiner, Txt2Img, save_payload
from sdclient.simulator import DIALECTS, Simulator
from tests.integration.faulty_server import answer
from tests.integration.scripted_server import OPTIONS, as_json, base_url, scripted


@pytest.fixture(scope="module")
def a1111() -> Iterator[Simulator]:
    with Simulator("a1111") as server:
        yield server


@pytest.fixture(scope="module")
def drawthings() -> Iterator[Simulator]:
    with Simulator("drawthings") as server:
        yield server


def texts(findings: list[Finding], level: str) -> list[str]:
    return [one.text for one in findings if one.level == level]


def port_of(server: Simulator) -> int:
    return Client(server.url).address.port


def test_a_whole_a1111_is_described(a1111: Simulator) -> None:
    findings = look_at_server(a1111.url, None, ())

    assert [one.level for one in findings] == ["good", "good"]
    assert findings[0].text.startswith("AUTOMATIC1111 answers")
    assert findings[1].text.startswith("6 models: sd_xl_base_1.0.safetensors, ")
    assert "[" not in findings[1].text


def test_draw_things_is_described_with_what_cannot_be_known(drawthings: Simulator) -> None:
    findings = look_at_server(drawthings.url, None, ())

    assert findings[0].text.startswith("Draw Things answers")
    assert findings[0].text.endswith("(SIMULATED by sdclient)")
    assert any("does not tell what it is drawing" in text for text in texts(findings, "note"))
    assert any("cannot be listed over the API; its window shows " in text for text in texts(findings, "note"))
    assert texts(findings, "wrong") == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_program_is_looked_at_without_drawing(dialect: str) -> None:
    with Simulator(dialect) as server:
        findings = look_at_server(server.url, None, ())
        posts = [exchange.path for exchange in server.log if exchange.method == "POST"]

    assert findings[0].level == "good"
    assert texts(findings, "wrong") == []
    assert posts == []


@pytest.mark.parametrize("payload", ["sdxl-refiner-ultrasharp", "bake"])
def test_a_shipped_payload_is_fine_on_both_and_every_file_it_names_is_spoken_of(
    payload: str, a1111: Simulator, drawthings: Simulator
) -> None:
    there = look_at_server(a1111.url, payload, ())
    unknown = look_at_server(drawthings.url, payload, ())

    assert texts(there, "wrong") == texts(unknown, "wrong") == []
    assert any("installed on this server: " in text and "(model)" in text for text in texts(there, "good"))
    assert any("cannot be known here" in text and "(model)" in text for text in texts(unknown, "note"))


def test_an_upscaler_that_draw_things_lacks_is_told_by_the_first_image() -> None:
    with Simulator("drawthings") as server:
        notes = texts(look_at_server(server.url, "sdxl-refiner-ultrasharp", ()), "note")

    assert any("the first image will tell" in text and "(enlarge.model)" in text for text in notes)


def test_what_draw_things_leaves_out_in_silence_is_no_matter_of_the_first_image() -> None:
    with Simulator("drawthings") as server:
        notes = texts(look_at_server(server.url, "sdxl-refiner-ultrasharp", ()), "note")

    told = {when: text for text in notes for when in ("the first image will tell", "--probe") if when in text}
    assert "(model)" in told["the first image will tell"]
    assert "(refiner.model)" in told["--probe"]
    assert "(model)" not in told["--probe"]


def test_names_that_are_not_installed_are_told_once_each_with_close_ones(a1111: Simulator, tmp_path: Path) -> None:
    request = Txt2Img(
        width=512,
        height=512,
        model="sd_xl_base_1.1",
        vae="sdxl_vea",
        refiner=Refiner(model="sd_xl_refiner_1.0"),
        hires=HiresFix(first_width=256, first_height=256, upscaler="Latent"),
        enlarge=Enlarge(model="4x-UltraShrap"),
        loras=[Lora(model="add_more_detail"), Lora(model="sdxl_render_v2.0")],
    )
    path = save_payload(request, tmp_path / "mine.json")

    findings = look_at_server(a1111.url, str(path), ())

    told = texts(findings, "wrong") + texts(findings, "note")
    for field, close in (
        ("model", "sd_xl_base_1.0"),
        ("vae", "sdxl_vae"),
        ("enlarge.model", "4x-UltraSharp"),
        ("loras[0].model", "add_more_details"),
    ):
        about = [text for text in told if text.startswith(f"{field}:")]
        assert len(about) == 1
        assert close in about[0]
    good = next(text for text in texts(findings, "good") if text.startswith("installed"))
    assert all(name in good for name in ("sd_xl_refiner_1.0", "Latent", "sdxl_render_v2.0"))


def test_a_payload_that_asks_the_impossible_is_wrong_with_every_reason(drawthings: Simulator) -> None:
    findings = look_at_server(
        drawthings.url, "sdxl-refiner-ultrasharp", ("width=1000", "sampler_name=NoSuch", "enlarge.scale=3")
    )

    wrong = texts(findings, "wrong")
    for reason in ("no sampler 'NoSuch'", "multiples of 64: 1000 is none", "enlarges 2 or 4 times, not 3"):
        assert len([text for text in wrong if reason in text]) == 1
    assert not any("as asked" in text for text in texts(findings, "good"))


def test_a_payload_that_cannot_be_read_is_a_finding_and_no_crash(a1111: Simulator, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"request": {"stepz": 3}}')

    assert any("no such file" in text for text in texts(look_at_server(a1111.url, "no-such", ()), "wrong"))
    assert any("stepz" in text for text in texts(look_at_server(a1111.url, str(bad), ()), "wrong"))


def test_where_a_name_cannot_be_looked_up_all_is_done_as_asked_only_as_far_as_is_known(
    drawthings: Simulator, tmp_path: Path
) -> None:
    request = Txt2Img(
        model="sd_xl_base_1.0_f16.ckpt", sampler_name="Euler a", refiner=Refiner(model="nope.ckpt", switch_at=0.5)
    )
    path = save_payload(request, tmp_path / "mine.json")

    findings = look_at_server(drawthings.url, str(path), ())

    assert texts(findings, "good")[-1] == "Draw Things does everything as asked, as far as can be known here"


def test_a_request_that_is_done_as_asked_is_said_to_be(a1111: Simulator, tmp_path: Path) -> None:
    path = save_payload(Txt2Img(model="sd_xl_base_1.0", steps=3), tmp_path / "mine.json")

    findings = look_at_server(a1111.url, str(path), ())

    assert texts(findings, "good")[-1] == "AUTOMATIC1111 does everything as asked"


def test_a_server_that_is_drawing_says_that_images_will_wait() -> None:
    busy = as_json({"progress": 0.25, "state": {"job": "scripts_txt2img", "job_count": 1}})
    with scripted({"/sdapi/v1/progress": busy}) as server:
        findings = look_at_server(base_url(server), None, ())

    assert any("drawing for somebody right now, 25% done" in text for text in texts(findings, "note"))


def test_a_server_without_models_is_wrong() -> None:
    with scripted({"/sdapi/v1/sd-models": as_json([])}) as server:
        findings = look_at_server(base_url(server), None, ())

    assert any("no models are installed" in text for text in texts(findings, "wrong"))


@pytest.mark.parametrize(
    ("reply", "level"),
    [
        pytest.param(answer(b"<html>"), "no server", id="a page"),
        pytest.param(as_json({"detail": "no"}, "401 No"), "wrong", id="a password"),
    ],
)
def test_who_is_not_a_server_or_wants_a_password_is_one_finding(reply: bytes, level: str) -> None:
    with scripted({OPTIONS: reply}) as server:
        (finding,) = look_at_server(base_url(server), None, ())

    assert finding.level == level
    assert finding.subject == base_url(server)


def test_macos_gets_a_hint_about_its_walls_and_others_do_not(tmp_path: Path) -> None:
    url = "http://no-such-host.invalid:7860"

    (mac,) = look_at_server(url, None, (), platform="darwin")
    (linux,) = look_at_server(url, None, (), platform="linux")

    assert "Local Network" in mac.text
    assert "Local Network" not in linux.text
    assert "Files and Folders" not in str(look_at_folder(tmp_path, platform="darwin"))


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        look_at_server("http://", None, ())


def test_looking_around_finds_the_servers_and_passes_the_silence_by(a1111: Simulator, drawthings: Simulator) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ports = (port_of(a1111), free.getsockname()[1], port_of(drawthings))
        findings = look_around(None, (), ports=ports)

    assert {one.subject for one in findings} == {a1111.url, drawthings.url}


def test_looking_around_in_silence_says_what_to_do() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        (finding,) = look_around(None, (), ports=(free.getsockname()[1],))

    assert finding.level == "no server"
    assert "sdclient simulate" in finding.text
    assert str(finding).startswith("NONE   this machine: nothing answers at the usual ports (")
    assert finding.to_json() == {
        "level": "no server",
        "subject": "this machine",
        "topic": "server",
        "text": finding.text,
        "facts": {},
    }


def test_a_folder_is_tried_out_and_left_as_it_was(tmp_path: Path) -> None:
    findings = look_at_folder(tmp_path)

    assert findings[0].level == "good"
    assert "GB free" in findings[0].text
    assert findings[0].facts["free_bytes"]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_yet_is_tried_one_above(tmp_path: Path) -> None:
    findings = look_at_folder(tmp_path / "new" / "deeper")

    assert (findings[0].level, findings[1].level) == ("note", "good")
    assert "not there yet" in findings[0].text
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_called_so_is_looked_for_one_above(tmp_path: Path) -> None:
    findings = look_at_folder(tmp_path / ("x" * 400))

    assert (findings[0].level, findings[1].facts["tried"]) == ("note", str(tmp_path))


def test_a_folder_that_something_keeps_in_step_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / ".stfolder").mkdir()

    assert any("Syncthing seems to keep it in step" in text for text in texts(look_at_folder(tmp_path), "note"))


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="wants a folder that nobody can write to")
def test_a_folder_that_cannot_be_written_is_wrong_with_a_hint_on_macos() -> None:
    findings = look_at_folder(Path("/proc"), platform="darwin")

    assert findings[0].level == "wrong"
    assert "does not make a folder" in findings[0].text
    assert findings[0].text.endswith("Files and Folders, and allow your terminal")


def test_a_part_that_is_left_out_anyway_is_not_said_to_miss_its_file(tmp_path: Path) -> None:
    request = Txt2Img(prompt="x", refiner=Refiner(model="no_such_refiner"))
    path = save_payload(request, tmp_path / "x.json")

    with Simulator("sdnext") as server:
        findings = look_at_server(server.url, str(path), ())

    assert [one.text.partition(":")[0] for one in findings if "no_such_refiner" in one.text] == []
    assert [one.level for one in findings if one.text.startswith("refiner: dropped")] == ["note"]


def test_a_template_without_a_prompt_is_not_held_against_it(tmp_path: Path) -> None:
    path = save_payload(Txt2Img(width=512, height=512, steps=4), tmp_path / "x.json")

    with Simulator("sdcpp") as server:
        findings = look_at_server(server.url, str(path), ())

    assert texts(findings, "wrong") == []


def test_a_part_of_a_models_name_is_not_called_installed(a1111: Simulator, tmp_path: Path) -> None:
    request = Txt2Img(model="sd_xl_base", refiner=Refiner(model="SD_XL_REFINER_1.0"), width=512, height=512)
    path = save_payload(request, tmp_path / "x.json")

    findings = look_at_server(a1111.url, str(path), ())

    (note,) = (text for text in texts(findings, "note") if text.startswith("model:"))
    assert note == (
        "model: replaced: this server knows no model 'sd_xl_base'; it is taken for sd_xl_base_1.0.safetensors, "
        "the only one that fits"
    )
    assert any(text.startswith("refiner.model: replaced: ") for text in texts(findings, "note"))
    assert not any("SD_XL_REFINER_1.0" in text for text in texts(findings, "good"))


@pytest.mark.parametrize("name", ["sd_xl_base_1.0.safetensors", "sd_xl_base_1.0", "hash", "title"])
def test_a_model_is_found_by_every_whole_name_it_has(a1111: Simulator, tmp_path: Path, name: str) -> None:
    listed = Client(a1111.url).models()[0]
    spelled = {"hash": listed.hash, "title": listed.title}.get(name, name)
    path = save_payload(Txt2Img(model=spelled, width=512, height=512), tmp_path / "x.json")

    findings = look_at_server(a1111.url, str(path), ())

    assert any(text == f"installed on this server: {spelled} (model)" for text in texts(findings, "good"))


def test_a_server_is_taken_for_what_is_said_and_what_it_looks_like_is_told(a1111: Simulator) -> None:
    findings = look_at_server(a1111.url, None, (), dialect="forge")

    assert findings[0].text.startswith("it answers, and is taken for Forge as you say")
    assert findings[1].facts == {"looks_like": "a1111"}


def _own_address() -> str:
    """The address of this machine in its network; no packet is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as looking:
        try:
            looking.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address beside loopback")
        return str(looking.getsockname()[0])


@pytest.mark.parametrize("url", ["http://{}:{}", "http://user:secret@{}:{}"])
def test_a_server_that_lets_everyone_in_is_warned_of_even_where_a_password_is_sent(url: str) -> None:
    host = _own_address()
    with Simulator("a1111", host="0.0.0.0") as server:  # noqa: S104 - that is what is looked at
        findings = look_at_server(url.format(host, port_of(server)), None, ())

    assert [one.level for one in findings if one.topic == "auth"] == ["note"]
    assert "secret" not in str(findings)


def test_a_server_that_asks_for_its_password_is_not_warned_of() -> None:
    host = _own_address()
    with Simulator("a1111", host="0.0.0.0", auth=("user", "secret")) as server:  # noqa: S104 - that is what is looked at
        findings = look_at_server(f"http://user:secret@{host}:{port_of(server)}", None, ())

    assert [one for one in findings if one.topic == "auth"] == []
    assert findings[0].level == "good"


def test_a_mac_is_kept_awake_by_its_own_program_and_where_it_is_missing_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    missing = look_at_machine(platform="darwin")
    (tmp_path / "caffeinate").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "caffeinate").chmod(0o755)

    found = look_at_machine(platform="darwin")

    assert (found.level, found.text) == ("good", "kept awake during runs by caffeinate")
    assert (missing.level, missing.text) == ("note", "cannot be kept awake from here; switch sleep off")


def test_the_usual_ports_are_those_of_the_programs() -> None:
    assert USUAL_PORTS == (7860, 7861, 1234, 5001)


def test_windows_keeps_itself_awake_by_a_call() -> None:
    assert look_at_machine(platform="win32").level == "good"
