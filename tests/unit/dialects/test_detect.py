"""Which program answers, from cheap GETs."""

import pytest

from sdclient.dialects import DIALECTS, Dialect, detect_server, dialect_named
from sdclient.dialects.detect import detect, who_answers
from sdclient.dialects.facts import drawthings_keys
from sdclient.errors import ConfigurationError, NotSentError, WrongServerError

A1111_OPTIONS = {"sd_model_checkpoint": "m", "CLIP_stop_at_last_layers": 1, "samples_format": "png", "sd_vae": "x"}


@pytest.mark.parametrize(
    ("options", "name"), [(A1111_OPTIONS, "a1111"), (dict.fromkeys(drawthings_keys()), "drawthings")]
)
def test_a_program_is_told_by_its_options(options: dict, name: str) -> None:
    assert detect(options).name == name


FORGE = {**A1111_OPTIONS, "forge_preset": "xl"}
SDNEXT = {**A1111_OPTIONS, "diffusers_offload_mode": "none"}
SMALL = {"samples_format": "png", "sd_model_checkpoint": "m"}
IDLE = {**SMALL, "sd_model_checkpoint": "inactive"}
SCHEDULES = [{"name": "automatic"}, {"name": "karras"}]


@pytest.mark.parametrize(
    ("answers", "name", "version"),
    [
        pytest.param({"options": dict.fromkeys(drawthings_keys())}, "drawthings", None, id="drawthings"),
        pytest.param({"options": A1111_OPTIONS}, "a1111", "1.8", id="a1111-without-schedules"),
        pytest.param({"options": A1111_OPTIONS, "schedulers": SCHEDULES}, "a1111", "1.9", id="a1111-with"),
        pytest.param(
            {"options": A1111_OPTIONS, "schedulers": [*SCHEDULES, {"name": "beta"}]}, "a1111", "1.10", id="a1111-beta"
        ),
        pytest.param({"options": A1111_OPTIONS, "schedulers": [7, {}, {"name": 3}]}, "a1111", "1.8", id="a1111-odd"),
        pytest.param({"options": FORGE}, "forge", None, id="forge-by-options"),
        pytest.param({"options": A1111_OPTIONS, "sd-modules": []}, "forge", None, id="forge-by-modules"),
        pytest.param({"options": SDNEXT}, "sdnext", None, id="sdnext-by-options"),
        pytest.param(
            {"options": A1111_OPTIONS, "version": {"updated": "2026-07-01", "hash": "058a7f0c", "x": 1}},
            "sdnext",
            "2026-07-01 058a7f0c",
            id="sdnext-by-version",
        ),
        pytest.param({"options": SMALL, "capabilities": {"version": "master-1"}}, "sdcpp", "master-1", id="sdcpp"),
        pytest.param({"options": SMALL, "capabilities": {"version": "\x1b[0m"}}, "sdcpp", None, id="sdcpp-odd"),
        pytest.param({"options": SMALL, "schedulers": []}, "sdcpp", None, id="older-sdcpp"),
        pytest.param({"options": SMALL}, "koboldcpp", None, id="koboldcpp"),
        pytest.param({"options": IDLE}, "koboldcpp", None, id="idle-koboldcpp"),
        pytest.param(
            {"options": SMALL, "extra/version": {"result": "KoboldCpp", "version": "1.102"}, "schedulers": []},
            "koboldcpp",
            "1.102",
            id="koboldcpp-with-version",
        ),
        pytest.param(
            {"options": SMALL, "extra/version": {"result": "x", "version": "1"}}, "koboldcpp", None, id="other"
        ),
    ],
)
def test_six_programs_are_told_apart_by_cheap_gets(answers: dict, name: str, version: str | None) -> None:
    asked = []

    def ask(path: str) -> object:
        asked.append(path)
        return next((body for end, body in answers.items() if path.endswith(end)), None)

    found = detect_server(ask)

    assert (found.dialect.name, found.version) == (name, version)
    assert asked[0] == "/sdapi/v1/options"
    assert len(asked) <= 4
    assert len(set(asked)) == len(asked)


def test_what_a_question_raises_is_passed_on() -> None:
    def ask(path: str) -> object:
        raise NotSentError(path)

    with pytest.raises(NotSentError):
        detect_server(ask)


@pytest.mark.parametrize("body", [None, [], "<html>", {}, {"hello": 1}])
def test_no_such_server_is_said_with_its_address(body: object) -> None:
    with pytest.raises(WrongServerError, match=r"^http://x: what answers is no Stable Diffusion server"):
        detect_server(lambda _: body, server="http://x")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 200, "an object with no keys"),
        ({"hello": 1, "world": 2}, 200, "an object with hello, world"),
        (dict.fromkeys("abcdef"), 200, "an object with a, b, c, d, …"),
        ([], 200, "no JSON object"),
        (None, 200, "no JSON object"),
        ("<html>", 200, "no JSON object"),
        (A1111_OPTIONS, 404, "status 404"),
    ],
)
def test_what_is_no_such_server_is_said(body: object, status: int, words: str) -> None:
    with pytest.raises(WrongServerError) as caught:
        detect(body, status=status)

    assert words in str(caught.value)
    assert caught.value.status == status


def test_dialects_are_found_by_name() -> None:
    assert list(DIALECTS) == ["a1111", "drawthings", "forge", "koboldcpp", "sdcpp", "sdnext"]
    assert dialect_named("a1111") is DIALECTS["a1111"]
    with pytest.raises(ConfigurationError, match=r"'drawthing': not spoken here; did you mean drawthings\?"):
        dialect_named("drawthing")
    with pytest.raises(ConfigurationError, match="known are a1111, drawthings, forge, koboldcpp, sdcpp, sdnext"):
        dialect_named("comfyui")


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))
def test_every_dialect_says_what_a_client_must_know(dialect: Dialect) -> None:
    assert dialect.overlay_names[-1] == dialect.name
    assert dialect.title
    assert dialect.granularity_px in (8, 64)
    assert {dialect.route(kind).method for kind in ("txt2img", "img2img")} == {"POST"}


def test_a_named_dialect_stands_where_only_something_missing_speaks_against_it() -> None:
    def ask(path: str) -> object:
        return SMALL if path.endswith("/options") else None

    assert detect_server(ask).dialect.name == "koboldcpp"
    assert who_answers(dialect_named("sdcpp"), ask, server="here") is None


def test_a_named_dialect_stands_where_nothing_known_answers() -> None:
    assert who_answers(dialect_named("a1111"), lambda _: {"odd": 1}, server="here") is None
