"""The JSON connection of one server: what it asks once, what it makes of silence."""

from __future__ import annotations

from contextlib import suppress

import pytest

from sdclient.client.connection import Connection
from sdclient.client.generation import execute, prepare, read_reply
from sdclient.dialects.base import Route
from sdclient.errors import (
    BadReplyError,
    CancelledError,
    DeadlineError,
    LossError,
    MissingRouteError,
    NotSentError,
    SDClientError,
)
from sdclient.schemas import Txt2Img
from sdclient.transport import HttpReply, parse_server_url
from tests.stand_in import Sent, StandIn, reply

OPTIONS = {"CLIP_stop_at_last_layers": 1, "sd_model_checkpoint": "xl"}


class Answering(StandIn):
    """Answers each path with what it is given; anything else is not found."""

    def __init__(self, **answers: object) -> None:
        super().__init__()
        self.answers = {"options": OPTIONS, **answers}

    @property
    def asked(self) -> list[str]:
        return [call.name.replace("-", "_") for call in self.sent]

    def answer(self, call: Sent) -> HttpReply:
        answer = self.answers.get(call.name.replace("-", "_"), 404)
        if isinstance(answer, SDClientError):
            raise answer
        return reply(b"", answer) if isinstance(answer, int) else reply(answer)


class KeptAnswering(Answering):
    """Is interrupted from the keyboard while it draws."""

    def answer(self, call: Sent) -> HttpReply:
        if call.name == "txt2img" and call.on_sent is not None:
            call.on_sent()
            raise KeyboardInterrupt
        return super().answer(call)


def connected(transport: Answering) -> Connection:
    return Connection(parse_server_url("http://gpu:7860"), transport)


def test_a_server_that_answers_nothing_in_time_is_said_to_be_busy() -> None:
    transport = Answering(options=DeadlineError("too late"))

    with pytest.raises(DeadlineError, match=r"no answer in 20 s.*loading a model or drawing.*try later"):
        _ = connected(transport).dialect


@pytest.mark.parametrize("password", ["model", "true", "1111"])
def test_a_password_that_is_a_common_word_hides_no_option(password: str) -> None:
    transport = Answering(options={**OPTIONS, "enable_pnginfo": True, "img_max_size_mp": 11111})

    server = Connection(parse_server_url(f"http://anna:{password}@gpu:7860"), transport)

    assert server.dialect.name == "a1111"
    assert server.read_options()["sd_model_checkpoint"] == "xl"


def test_nobody_at_a_doubtful_address_is_told_with_the_doubt() -> None:
    transport = Answering(options=NotSentError("GET http://mini/x: unknown host"))
    server = Connection(parse_server_url("mini"), transport, doubt="no server named 'mini'")

    with pytest.raises(NotSentError, match=r"unknown host; no server named 'mini'$"):
        _ = server.dialect


def test_facts_and_names_are_asked_for_once_and_again_after_forgetting() -> None:
    transport = Answering(loras=[{"name": "a", "alias": "b"}, {"name": 7}, "x", {"name": "a"}])
    server = connected(transport)

    names = [server.names("loras", "name", "alias") for _ in range(2)]
    assert server.facts is server.facts
    server.forget()
    server.names("loras", "name", "alias")

    assert names == [("a", "b"), ("a", "b")]
    assert transport.asked.count("loras") == 2


@pytest.mark.parametrize("error", [DeadlineError("busy"), CancelledError("not wanted")])
def test_what_is_known_of_a_server_that_is_busy_stays_known(error: Exception) -> None:
    now_s = [0.0]
    transport = Answering()
    server = Connection(parse_server_url("http://gpu:7860"), transport, clock=lambda: now_s[0])
    known = server.facts
    transport.answers["options"] = error
    for _ in range(3):
        now_s[0] += 60
        with suppress(CancelledError):
            server.look_again()

    assert server.facts is known


def test_what_is_known_of_a_server_that_was_gone_is_asked_anew() -> None:
    transport = Answering()
    server = connected(transport)
    known = server.facts
    transport.answers["options"] = NotSentError("refused")
    with pytest.raises(NotSentError):
        server.read_options()
    transport.answers["options"] = OPTIONS
    server.look_again()

    assert server.facts is not known


def test_a_version_without_schedules_is_known_to_have_no_such_field() -> None:
    assert connected(Answering()).facts.schedulers == ()
    assert connected(Answering(schedulers=[{"name": "karras", "label": "Karras"}])).facts.schedulers == (
        "karras", "Karras",
    )  # fmt: skip


@pytest.mark.parametrize("answer", [404, {"a": 1}, b"<html>", [1, 2, None]], ids=["404", "object", "page", "numbers"])
def test_a_list_that_is_none_is_unknown_or_empty_and_no_error(answer: object) -> None:
    server = connected(Answering(sd_models=answer, scripts=answer, model_list=answer))

    assert server.facts.models in (None, ())
    assert server.facts.scripts in (None, ())
    assert server.facts.controlnet_models is None


def test_script_titles_are_lower_case_and_models_have_every_name() -> None:
    server = connected(
        Answering(
            scripts={"txt2img": ["ControlNet", 7], "img2img": ["SD Upscale", "ControlNet"], "x": None},
            sd_models=[{"title": "xl.ckpt [a1]", "model_name": "xl", "hash": None}],
            model_list={"model_list": ["tile", 3]},
        )
    )

    assert server.facts.scripts == ("controlnet", "sd upscale")
    assert server.facts.models == ("xl.ckpt [a1]", "xl")
    assert server.facts.controlnet_models == ("tile",)


def test_an_empty_answer_is_none_and_a_page_is_a_bad_reply_with_its_beginning() -> None:
    server = connected(Answering(interrupt=b"  ", memory=b"<html>oh"))

    assert server.ask("interrupt", {}).body is None
    with pytest.raises(BadReplyError, match=r"GET http://gpu:7860/sdapi/v1/memory: 200.*begins '<html>oh'"):
        server.ask("memory")


def test_a_route_the_server_lacks_is_missing_with_its_address() -> None:
    with pytest.raises(MissingRouteError, match=r"http://gpu:7860/x: 404, this server does not have it"):
        connected(Answering()).ask_route(Route("GET", "/x"))


def test_what_is_missing_is_looked_for_again_when_the_answer_is_old() -> None:
    now = [0.0]
    transport = Answering(sd_models=[{"title": "old"}])
    server = Connection(parse_server_url("http://gpu:7860"), transport, clock=lambda: now[0])
    request = Txt2Img(prompt="x", seed=7, model="new")
    with pytest.raises(LossError, match="no model 'new'"):
        prepare(server, request)
    transport.answers["sd_models"] = [{"title": "new"}]
    with pytest.raises(LossError):
        prepare(server, request)

    now[0] = 60.0

    assert prepare(server, request).request.model == "new"
    assert transport.asked.count("sd_models") == 2


@pytest.mark.parametrize("is_active", [True, False])
def test_an_interrupt_at_the_keyboard_stops_the_server_where_the_job_is_ours(*, is_active: bool) -> None:
    transport = KeptAnswering(progress={"active": is_active, "queued": False, "completed": False}, interrupt={})
    prepared = prepare(connected(transport), Txt2Img(prompt="x", seed=7))

    with pytest.raises(KeyboardInterrupt):
        execute(prepared)

    assert transport.asked.count("interrupt") == int(is_active)


def test_names_and_options_of_a_server_can_be_written_whatever_it_spells() -> None:
    options = {**OPTIONS, "sd_model_checkpoint": "xl\ud800", "odd\udfff": ["a\ud800"]}
    connection = connected(Answering(options=options, samplers=[{"name": "Euler\ud800"}]))

    read = connection.read_options()
    names = connection.facts.samplers

    assert (read["sd_model_checkpoint"], read["odd?"]) == ("xl?", ["a?"])
    assert names == ("Euler?",)


def test_a_letter_in_two_surrogates_stays_whole() -> None:
    fox = "\N{FOX FACE}"
    connection = connected(Answering(options={**OPTIONS, "sd_model_checkpoint": fox}))

    assert connection.read_options()["sd_model_checkpoint"] == fox


def test_a_success_that_is_an_error_carries_the_servers_own_words() -> None:
    said = {"error": "HTTPException", "detail": "Sampler not found", "body": "", "errors": ""}
    connection = connected(Answering(txt2img=said))
    prepared = prepare(connection, Txt2Img(prompt="x", seed=1, width=64, height=64))

    with pytest.raises(BadReplyError, match=r"no images.*it says: Sampler not found") as caught:
        read_reply(prepared, execute(prepared).reply)

    assert caught.value.field == "sampler_name"
