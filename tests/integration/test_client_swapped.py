"""Another program behind the same port: a client that knew the one before does not go on as if it were still there."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdclient.client import Client
from sdclient.errors import LossError, RejectedError, TransportError
from sdclient.run import Run
from sdclient.schemas import Txt2Img
from sdclient.simulator import Simulator

SMALL = Txt2Img(steps=2, width=128, height=128)


def known(*, strict: bool = False) -> Client:
    """Return a client that has drawn on an A1111 that is gone, and has seen that nobody is there."""
    with Simulator("a1111") as server:
        client = Client(server.url, strict=strict)
        assert client.txt2img("a fox", **SMALL.to_mapping(), model="sd_xl_base_1.0").dialect == "a1111"
    with pytest.raises(TransportError):
        client.txt2img("a fox", **SMALL.to_mapping(), model="sd_xl_base_1.0")
    return client


def test_what_the_new_program_does_not_do_is_refused_as_by_a_new_client() -> None:
    client = known(strict=True)

    with Simulator("koboldcpp", port=client.address.port) as server:
        with pytest.raises(LossError, match=r"KoboldCpp was started with .* and changes no model"):
            client.txt2img("a fox", **SMALL.to_mapping(), model="juggernaut_reborn")
        asked = [exchange.path for exchange in server.log]

    assert not any(path.endswith("txt2img") for path in asked)
    assert client.dialect == "koboldcpp"


def test_the_new_program_is_spoken_to_in_its_own_words_and_named_in_the_image() -> None:
    client = known()

    with Simulator("drawthings", port=client.address.port):
        result = client.txt2img("a fox", **SMALL.to_mapping(), inherit=True)

    assert result.dialect == "drawthings"
    assert result.image.infotext is not None
    assert "AUTOMATIC1111" not in result.image.infotext


def test_a_run_takes_the_server_for_what_it_is_when_it_starts(tmp_path: Path) -> None:
    client = known()
    run = Run(tmp_path / "OUT").add(["a fox"], SMALL.replace(inherit=True))

    with Simulator("koboldcpp", port=client.address.port):
        run.start([client])

    assert set(run.images()["dialect"]) == {"koboldcpp"}


def test_words_that_only_another_program_says_are_followed_by_a_look() -> None:
    with Simulator("a1111") as server:
        client = Client(server.url)
        client.txt2img("a fox", **SMALL.to_mapping(), model="sd_xl_base_1.0")

    with Simulator("drawthings", port=client.address.port):
        # Too quick to be noticed: the first one may go wrong, and no more than the first.
        with pytest.raises(RejectedError, match="Unrecognized keys"):
            client.txt2img("a fox", **SMALL.to_mapping(), model="sd_xl_base_1.0")
        again = client.txt2img("a fox", **SMALL.to_mapping(), inherit=True)

    assert again.dialect == "drawthings"
