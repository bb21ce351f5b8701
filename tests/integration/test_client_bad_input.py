"""What a person reads when a server, a reply or an input is wrong: over a real socket, message by message."""

from __future__ import annotations

import base64
import logging
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from sdclient.client import Client, execute, finish
from sdclient.errors import (
    AnswerLostError,
    AuthenticationError,
    BadReplyError,
    CodecError,
    ConfigurationError,
    LossError,
    MissingRouteError,
    NotSentError,
    OverloadError,
    RejectedError,
    SDClientError,
    ServerBusyError,
    ServerError,
    ServerFaultError,
    WrongServerError,
)
from sdclient.schemas import Enlarge, Txt2Img
from tests.integration.faulty_server import answer
from tests.integration.scripted_server import (
    EXTRAS,
    OPTIONS,
    TXT2IMG,
    as_json,
    base_url,
    images,
    paths,
    png,
    scripted,
)

HTML = b"<!doctype html><html><body><h1>Router</h1>Please log in</body></html>"
SMALL = Txt2Img(prompt="a fox", width=64, height=64, seed=7)
SMALL_THERE = SMALL.replace(width=128, height=128, inherit=True)


def failure(reply: bytes, *, dialect: str = "a1111", path: str = TXT2IMG) -> SDClientError:
    """Return the error that this reply to a generation ends in."""
    with scripted({path: reply}, dialect=dialect) as server, pytest.raises(SDClientError) as caught:
        Client(base_url(server)).txt2img(SMALL if dialect == "a1111" else SMALL_THERE)
    return caught.value


# ---- nobody there, or somebody else ----


def test_a_server_that_is_not_there_is_named_with_its_address() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    with pytest.raises(NotSentError, match=rf"127\.0\.0\.1:{port}.*refused"):
        Client(f"http://127.0.0.1:{port}").txt2img(SMALL)


def test_an_unknown_host_is_said_to_be_unknown() -> None:
    with pytest.raises(NotSentError, match=r"no-such-host.invalid"):
        Client("http://no-such-host.invalid:7860").txt2img(SMALL)


def test_a_port_where_something_else_talks_is_a_wrong_server() -> None:
    with scripted({OPTIONS: b"SSH-2.0-OpenSSH_9.6\r\n"}) as server, pytest.raises(WrongServerError, match=r"port"):
        Client(base_url(server)).txt2img(SMALL)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        pytest.param(answer(HTML), "no JSON object.*begins '<!doctype html>", id="html page"),
        pytest.param(answer(HTML, "404 Not Found"), "404.*--api", id="404 page"),
        pytest.param(as_json([1, 2]), "no JSON object", id="json list"),
        pytest.param(as_json({"hello": 1}), r"no Stable Diffusion server.*an object with hello", id="other json"),
        pytest.param(answer(b""), "it is empty", id="empty"),
        pytest.param(
            answer(b"", "302 Found", "Location: http://anna:hunter2@other.example/login?token=abc"),
            r"302, redirects to http://other\.example/login;",
            id="redirect",
        ),
    ],
)
def test_a_server_that_is_not_sdapi_is_said_to_be_none(reply: bytes, words: str) -> None:
    with scripted({OPTIONS: reply}) as server, pytest.raises(WrongServerError, match=words) as caught:
        Client(base_url(server)).txt2img(SMALL)

    assert f"127.0.0.1:{server.port}" in str(caught.value)
    assert "token" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


# ---- credentials ----


def test_a_server_that_wants_a_password_says_so_and_what_to_do() -> None:
    with scripted({OPTIONS: as_json({"detail": "Not authenticated"}, "401 Unauthorized")}) as server:
        with pytest.raises(
            AuthenticationError, match=r"401.*Not authenticated; give user and password: .*password_env.*http://user:"
        ):
            Client(base_url(server)).options()
        with pytest.raises(AuthenticationError, match=r"401.*check user and password"):
            Client(base_url(server), auth=("anna", "hunter2")).options()


def test_credentials_are_sent_and_appear_in_no_repr_no_message_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = base64.b64encode(b"anna:hunter2").decode()

    with scripted({TXT2IMG: as_json({"detail": "no"}, "401 Unauthorized")}) as server:
        client = Client(f"http://anna:hunter2@127.0.0.1:{server.port}")
        with pytest.raises(AuthenticationError) as caught:
            client.txt2img(SMALL)

    assert {request.headers["authorization"] for request in server.requests} == {f"Basic {secret}"}
    seen = " ".join([repr(client), str(caught.value), repr(caught.value), repr(client.address), caplog.text])
    assert "hunter2" not in seen
    assert secret not in seen


@pytest.mark.parametrize("status", ["401 No", "500 Oops", "200 OK"])
def test_a_page_that_shows_our_own_request_does_not_bring_the_password_into_messages(status: str) -> None:
    secret = base64.b64encode(b"anna:hunter2").decode()
    page = answer(f"you sent Authorization: Basic {secret} for anna with hunter2".encode(), status)

    with scripted({TXT2IMG: page}) as server, pytest.raises(ServerError) as caught:
        Client(base_url(server), auth=("anna", "hunter2")).txt2img(SMALL)

    assert "hunter2" not in caught.value.body + str(caught.value)
    assert secret not in caught.value.body + str(caught.value)
    assert "you sent" in caught.value.body


# ---- statuses ----


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        pytest.param(answer(b"", "404 Not Found"), MissingRouteError, "this server does not have it", id="404"),
        pytest.param(
            as_json({"detail": "Init image not found"}, "404 Not Found"), RejectedError, "Init image", id="404 of a job"
        ),
        pytest.param(
            as_json(
                {"detail": [{"loc": ["body", "steps"], "msg": "value is not a valid integer"}]},
                "422 Unprocessable Entity",
            ),
            RejectedError,
            r"refused \(steps\): steps: value is not a valid integer",
            id="422 list",
        ),
        pytest.param(
            as_json(
                {"error": "OutOfMemoryError", "detail": "", "body": "", "errors": "CUDA out of memory"}, "500 Oops"
            ),
            OverloadError,
            "out of memory.*smaller",
            id="500 memory",
        ),
        pytest.param(
            as_json({"error": "ValueError", "detail": "", "errors": "boom"}, "500 Oops"),
            ServerFaultError,
            "boom; look at its log",
            id="500",
        ),
        pytest.param(answer(HTML, "502 Bad Gateway"), ServerFaultError, "502.*Please log in", id="502 page"),
        pytest.param(
            as_json({"detail": "queue is full"}, "503 Busy", "Retry-After: 7"), ServerBusyError, "queue", id="503"
        ),
        pytest.param(answer(b"", "307 There", "Location: /x"), WrongServerError, "redirects to /x", id="redirect"),
    ],
)
def test_a_status_becomes_the_error_that_says_who_must_act(reply: bytes, kind: type[SDClientError], words: str) -> None:
    error = failure(reply)

    assert type(error) is kind
    assert re.search(words, str(error))


def test_a_busy_server_passes_on_how_long_it_asks_to_wait() -> None:
    error = failure(as_json({}, "429 Too Many", "Retry-After: 7"))

    assert isinstance(error, ServerBusyError)
    assert error.retry_after_s == 7


def test_a_refusal_of_draw_things_is_shown_in_its_own_words() -> None:
    body = {"error": "HTTPException", "detail": 'Unrecognized keys: ["stray"]', "body": "", "errors": ""}

    error = failure(as_json(body, "422 Unprocessable Entity"), dialect="drawthings")

    assert isinstance(error, RejectedError)
    assert 'Unrecognized keys: ["stray"]' in str(error)
    assert "update" in str(error)


# ---- success by its status, nonsense by its content ----


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        pytest.param(answer(HTML), "no JSON.*begins '<!doctype", id="html"),
        pytest.param(answer(b'{"a": NaN}'), r"is JSON that holds NaN, which is no number \(it begins", id="nan"),
        pytest.param(answer(b'{"a": -Infinity}'), "JSON that holds -Infinity, which is no number", id="infinity"),
        pytest.param(
            answer(b'{"a": 1e999}'), "JSON that holds a number too large for any program", id="a large number"
        ),
        pytest.param(answer(b"[" + b"9" * 5000 + b"]"), "JSON that holds a number without end", id="endless number"),
        pytest.param(answer(b'{"a":' * 100_000), "is JSON that is nested too deep to be read", id="deep"),
        pytest.param(answer(b'{"a": "\xff"}'), "is no JSON", id="no text"),
        pytest.param(as_json({"info": ""}), "no images", id="images missing"),
        pytest.param(as_json({"images": None}), "no images", id="images null"),
        pytest.param(as_json({"images": []}), "no images", id="images empty"),
        pytest.param(as_json({"images": [""]}), "image 1 of the reply is empty", id="empty text"),
        pytest.param(as_json({"images": [7]}), "no text but a int", id="a number"),
        pytest.param(as_json([1]), "JSON list", id="list"),
        pytest.param(as_json({"images": ["%%%%"]}), "image 1: base64 holds '%'", id="broken base64"),
        pytest.param(as_json({"images": ["QUJD"]}), "image 1: not an image.*b'ABC'", id="no image"),
        pytest.param(images(png()[:-20]), "image 1: .*(cut off|damaged)", id="truncated"),
        pytest.param(images(png(64, 128)), "image 1 is 64x128, 64x64 was asked for", id="size"),
        pytest.param(images(png(colour=(0, 0, 0))), "image 1 is black all over.*--no-half-vae", id="black"),
        pytest.param(images(png(), png(), info={"all_seeds": [1, 2]}), "2 images came back, 1 were asked", id="many"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n{", "1073741824 bytes announced", id="a gigabyte"
        ),
    ],
)
def test_nonsense_in_a_success_is_a_bad_reply_that_names_call_and_image(reply: bytes, words: str) -> None:
    error = failure(reply)

    assert isinstance(error, BadReplyError), repr(error)
    assert re.search(words, str(error))
    assert "POST http://127.0.0.1" in str(error)
    assert len(str(error)) < 500


def test_a_reply_larger_than_the_images_asked_for_can_be_is_refused_by_its_length() -> None:
    with scripted({TXT2IMG: b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n{"}) as server:
        prepared = Client(base_url(server)).prepare(SMALL)
        with pytest.raises(BadReplyError, match=r"larger than 16\.\d+ MiB \(30000000 bytes announced\)"):
            execute(prepared)

    # Minutes are no fault: without progress told, nothing but the user ends a call that is alive.
    assert prepared.limits.deadline_s is None


def test_a_reply_cut_without_a_length_is_said_to_be_perhaps_cut() -> None:
    error = failure(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"images": ["iVBO')

    assert isinstance(error, BadReplyError)
    assert "may have been cut" in str(error)


def test_a_lost_answer_says_that_the_server_may_have_drawn() -> None:
    error = failure(b"")

    assert isinstance(error, AnswerLostError)
    assert "may have done the work" in str(error)


# ---- inputs ----


def test_an_init_file_that_is_no_image_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_text("not an image at all")

    with scripted({}) as server, pytest.raises(CodecError, match=r"notes\.png.*not an image"):
        Client(base_url(server)).img2img(str(path), prompt="x")

    assert paths(server) == []


def test_an_init_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with scripted({}) as server, pytest.raises(ConfigurationError, match=r"gone\.png: no such file"):
        Client(base_url(server)).img2img(tmp_path / "gone.png", prompt="x")


def test_a_model_the_server_does_not_have_is_refused_with_the_closest_name() -> None:
    models = as_json([{"title": "juggernaut_reborn.safetensors [1a2b]", "model_name": "juggernaut_reborn"}])

    with scripted({"/sdapi/v1/sd-models": models}) as server, pytest.raises(LossError, match=r"juggernaut_reborn") as e:
        Client(base_url(server)).txt2img(SMALL.replace(model="juggernaut_rebon"))

    assert "nothing was sent" in str(e.value)
    assert paths(server) == []


def test_a_draw_things_request_without_a_model_is_refused_before_sending() -> None:
    with scripted({}, dialect="drawthings") as server, pytest.raises(LossError, match=r"name a model"):
        Client(base_url(server)).txt2img(SMALL.replace(width=128, height=128))

    assert paths(server) == []


# ---- follow-up calls ----

ENLARGED = SMALL.replace(enlarge=Enlarge(model="ESRGAN", scale=2))
EXTRA_OK = as_json({"image": base64.b64encode(png(128, 128)).decode(), "html_info": ""})


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(as_json({"errors": "boom"}, "500 Oops"), id="500"),
        pytest.param(as_json({}, "503 Busy"), id="503"),
        pytest.param(as_json({"image": ""}), id="no image"),
        pytest.param(b"", id="lost"),
    ],
)
def test_a_follow_up_that_fails_once_is_repeated_alone(fault: bytes) -> None:
    with scripted({TXT2IMG: images(png()), EXTRAS: [fault, EXTRA_OK]}) as server:
        client = Client(base_url(server))
        result = finish(execute(client.prepare(ENLARGED), sleep=lambda _: None))

    assert result.image.size == (128, 128)
    assert paths(server) == [TXT2IMG, EXTRAS, EXTRAS]


def test_a_follow_up_that_fails_for_good_says_that_the_image_was_drawn() -> None:
    with scripted({TXT2IMG: images(png()), EXTRAS: as_json({"errors": "boom"}, "500 Oops")}) as server:
        prepared = Client(base_url(server)).prepare(ENLARGED)
        with pytest.raises(ServerFaultError, match=r"was drawn, but to enlarge it failed 3 times.*extra-single.*boom"):
            execute(prepared, sleep=lambda _: None)

    assert paths(server) == [TXT2IMG, EXTRAS, EXTRAS, EXTRAS]


def test_a_follow_up_whose_answer_is_lost_for_good_stays_a_lost_answer() -> None:
    with scripted({TXT2IMG: images(png()), EXTRAS: b""}) as server:
        prepared = Client(base_url(server), deadline_s=60).prepare(ENLARGED)
        with pytest.raises(AnswerLostError, match=r"the image was drawn, but to enlarge it failed 3 times"):
            execute(prepared, sleep=lambda _: None)


def test_a_script_that_gives_any_number_of_images_is_taken_with_all_of_them() -> None:
    native = {"a1111": {"script_name": "x/y/z plot", "script_args": []}}
    scripts = as_json({"txt2img": ["x/y/z plot"], "img2img": []})
    replies = {TXT2IMG: images(png(), png(72, 64)), "/sdapi/v1/scripts": scripts}

    with scripted(replies) as server:
        result = Client(base_url(server)).txt2img(SMALL.replace(native=native))

    assert [image.size for image in result.images] == [(64, 64), (72, 64)]
    assert result.seeds == (7, None)


def test_a_seed_or_a_text_out_of_all_bounds_is_not_taken_over() -> None:
    info = {"all_seeds": [10**30], "infotexts": ["x" * 2_000_000]}

    with scripted({TXT2IMG: images(png(), info=info)}) as server:
        result = Client(base_url(server)).txt2img(SMALL)

    assert result.seed is None
    assert result.parameters.startswith("a fox\n")


def test_a_follow_up_that_is_refused_is_not_repeated() -> None:
    refusing = scripted({TXT2IMG: images(png()), EXTRAS: as_json({"detail": "bad"}, "422 No")})

    with refusing as server, pytest.raises(RejectedError, match="bad"):
        Client(base_url(server)).txt2img(ENLARGED)

    assert paths(server) == [TXT2IMG, EXTRAS]


def test_an_upscaler_that_rounds_down_to_eight_pixels_is_believed_and_one_that_does_not_enlarge_is_not() -> None:
    def enlarged(side: int) -> bytes:
        return as_json({"image": base64.b64encode(png(side, side)).decode()})

    request = SMALL.replace(width=72, height=72, enlarge=Enlarge(model="ESRGAN", scale=1.5))
    with scripted({TXT2IMG: images(png(72, 72)), EXTRAS: [enlarged(104), enlarged(72)]}) as server:
        client = Client(base_url(server))
        good = client.txt2img(request)
        with pytest.raises(BadReplyError, match=r"72x72, 108x108 was asked for"):
            client.txt2img(request)

    assert good.image.size == (104, 104)


# ---- routes that Draw Things does not have ----


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(Client.samplers, id="samplers"),
        pytest.param(Client.schedulers, id="schedulers"),
        pytest.param(Client.upscalers, id="upscalers"),
        pytest.param(Client.latent_upscale_modes, id="latent upscale modes"),
        pytest.param(Client.models, id="models"),
        pytest.param(Client.vaes, id="vaes"),
        pytest.param(Client.loras, id="loras"),
        pytest.param(Client.scripts, id="scripts"),
        pytest.param(Client.script_info, id="script info"),
        pytest.param(Client.memory, id="memory"),
        pytest.param(Client.progress, id="progress"),
        pytest.param(Client.interrupt, id="interrupt"),
        pytest.param(Client.skip, id="skip"),
        pytest.param(Client.controlnet_models, id="controlnet models"),
    ],
)
def test_what_draw_things_lacks_says_so_without_asking(ask: Callable[[Client], object]) -> None:
    with scripted({}, dialect="drawthings") as server:
        client = Client(base_url(server))
        with pytest.raises(MissingRouteError, match=r"Draw Things has no .*: its API does not offer it"):
            ask(client)

    assert paths(server, "GET") == [OPTIONS]
    assert paths(server) == []


def test_a_list_that_is_none_and_an_object_that_is_none_are_bad_replies() -> None:
    with scripted({"/sdapi/v1/samplers": as_json({}), "/sdapi/v1/memory": as_json([])}) as server:
        client = Client(base_url(server))
        with pytest.raises(BadReplyError, match=r"a list was expected, dict came"):
            client.samplers()
        with pytest.raises(BadReplyError, match=r"an object was expected, list came"):
            client.memory()


@pytest.mark.parametrize("scale", [9, "2", None, True, float("nan")])
def test_a_scale_no_upscaler_has_is_refused(scale: float) -> None:
    with scripted({}) as server, pytest.raises(ConfigurationError, match=rf"scale {scale!r}: must be a number"):
        Client(base_url(server)).extra_single_image(png(), upscaler="x", scale=scale)


@pytest.mark.parametrize("body", [{}, {"image": ""}, {"image": "QUJD"}], ids=["missing", "empty", "no image"])
def test_an_enlargement_without_an_image_is_a_bad_reply(body: object) -> None:
    with scripted({EXTRAS: as_json(body)}) as server, pytest.raises(BadReplyError, match=r"extra-single-image at http"):
        Client(base_url(server)).extra_single_image(png(), upscaler="x")
