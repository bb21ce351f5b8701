"""Every fault the simulator knows, and what the client makes of it: which error, whether a second try is safe, which words."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from sdclient.client import Client
from sdclient.errors import (
    AnswerLostError,
    AuthenticationError,
    BadReplyError,
    DeadlineError,
    OverloadError,
    RejectedError,
    SDClientError,
    ServerBusyError,
    WrongServerError,
)
from sdclient.schemas import Txt2Img
from sdclient.simulator import FAULTS, Simulator

SMALL = Txt2Img(prompt="a fox", width=64, height=64, steps=1, seed=7)
# No call may last longer than this; only those that never end by themselves come near it.
DEADLINE_S = 1.0


@dataclass(frozen=True)
class Told:
    """What the client says of a fault.

    Attributes:
        kind: The error's own class.
        words: A part of its message.
        dose: Settings of the fault.
    """

    kind: type[SDClientError]
    words: str
    dose: str = ""


TOLD = {
    "reset": Told(AnswerLostError, "reset"),
    "close": Told(AnswerLostError, "closed"),
    "hang": Told(DeadlineError, "1 s"),
    "short-body": Told(AnswerLostError, "bytes"),
    "reset-body": Told(AnswerLostError, "reset"),
    "cut-chunked": Told(AnswerLostError, "cut"),
    "cut-unsized": Told(BadReplyError, "cut"),
    "drip-header": Told(DeadlineError, "1 s"),
    "drip-body": Told(DeadlineError, "1 s"),
    "endless-headers": Told(BadReplyError, "header", "mb=8"),
    "gigabyte": Told(BadReplyError, "bytes"),
    "redirect": Told(WrongServerError, "redirect"),
    "html": Told(BadReplyError, "JSON"),
    "error-200": Told(BadReplyError, "no images"),
    "unauthorized": Told(AuthenticationError, "401"),
    "too-many": Told(ServerBusyError, "429"),
    "busy": Told(ServerBusyError, "503"),
    "out-of-memory": Told(OverloadError, "out of memory"),
    "late-422": Told(RejectedError, "422"),
    "no-images": Told(BadReplyError, "no images"),
    "empty-images": Told(BadReplyError, "no images"),
    "blank-image": Told(BadReplyError, "empty"),
    "broken-base64": Told(BadReplyError, "base64"),
    "truncated-png": Told(BadReplyError, "image 1"),
    "wrong-size": Told(BadReplyError, "32x32"),
    "black": Told(BadReplyError, "black"),
    "nan": Told(BadReplyError, "holds NaN"),
    "deep": Told(BadReplyError, "nested too deep"),
    "restart": Told(AnswerLostError, "closed", "s=0"),
}
# The image comes all the same.
HARMLESS = ("close-idle", "close-next", "leak:mb=1", "image-count")


def test_every_fault_has_its_line_here() -> None:
    assert {*TOLD, *(name.partition(":")[0] for name in HARMLESS)} == set(FAULTS)


@pytest.mark.parametrize("name", TOLD)
def test_a_fault_becomes_one_error_and_no_second_request(name: str) -> None:
    told = TOLD[name]
    with Simulator(faults=[f"{name}:{told.dose}"]) as server:
        client = Client(server.url, deadline_s=DEADLINE_S)
        with pytest.raises(SDClientError) as caught:
            client.txt2img(SMALL)
        asked = [one for one in server.log if one.path.endswith("/txt2img")]

    assert type(caught.value) is told.kind
    assert told.words in str(caught.value)
    assert f"{server_name(client)}/sdapi/v1/txt2img" in str(caught.value)
    assert len(asked) == 1


def server_name(client: Client) -> str:
    return f"{client.address.host}:{client.address.port}"


@pytest.mark.parametrize("fault", HARMLESS)
def test_a_fault_that_leaves_the_image_whole_costs_nothing(fault: str) -> None:
    with Simulator(faults=[fault]) as server:
        client = Client(server.url, deadline_s=60)
        seeds = [client.txt2img(SMALL, seed=number).seed for number in (1, 2)]

    assert seeds == [1, 2]


def test_an_image_too_many_is_a_map_where_seeds_tell_how_many_there_are_and_nonsense_elsewhere() -> None:
    with Simulator(faults=["image-count"]) as server:
        result = Client(server.url).txt2img(SMALL)
    with Simulator("drawthings", faults=["image-count"]) as server, pytest.raises(BadReplyError, match="2 images"):
        Client(server.url).txt2img(SMALL, width=128, height=128, inherit=True)

    assert (len(result.images), len(result.maps)) == (1, 1)


@pytest.mark.parametrize("fault", ["too-many", "busy"])
def test_a_busy_server_s_wish_is_passed_on(fault: str) -> None:
    with Simulator(faults=[f"{fault}:s=7"]) as server, pytest.raises(ServerBusyError) as caught:
        Client(server.url).txt2img(SMALL)

    assert caught.value.retry_after_s == 7


def test_a_password_changed_in_the_middle_is_told_for_the_next_request_only() -> None:
    with Simulator(faults=["unauthorized:n=2"]) as server:
        client = Client(server.url)
        first = client.txt2img(SMALL)
        with pytest.raises(AuthenticationError):
            client.txt2img(SMALL)
        third = client.txt2img(SMALL)

    assert first.image == third.image


@pytest.mark.parametrize("name", TOLD)
def test_which_requests_are_hit_depends_on_the_seed_alone(name: str) -> None:
    hits = []
    for _ in range(2):
        plan = Simulator(faults=[f"{name}:p=0.3"], seed=5)._plan
        call = type("Asked", (), {"method": "POST", "path": "/sdapi/v1/txt2img"})()
        hits.append([plan.next_for(call) is not None for _ in range(200)])

    assert hits[0] == hits[1]
    assert 30 <= sum(hits[0]) <= 90
