"""What measures the energy of a lane: this machine's counters, what SD.Next tells, or nothing."""

from __future__ import annotations

import pytest

from sdclient.batch.lane import MeteredLane
from sdclient.client import Client
from sdclient.energy import open_meter
from sdclient.segment import SegmentSettings
from sdclient.steps.generate import ServerLane
from sdclient.steps.segment import SegmenterLane
from sdclient.transport import CallLimits, HttpReply
from tests.stand_in import Sent, StandIn, reply

GPU = {"name": "RTX 4090", "data": {"Power": "35.5 W / 450.0 W", "System load": "GPU 12% | VRAM 3%"}}


class Telling(StandIn):
    """A server somewhere whose route for its GPU gives what it is told."""

    def __init__(self, status: int = 200, reply: object = None) -> None:
        super().__init__()
        self.status = status
        self.reply = reply

    @property
    def asked(self) -> list[str]:
        return [f"{call.method} {call.url}" for call in self.sent]

    @property
    def limits(self) -> list[CallLimits | None]:
        return [call.limits for call in self.sent]

    def answer(self, call: Sent) -> HttpReply:
        del call
        return reply(self.reply, self.status)


def lane_of(transport: Telling, dialect: str = "sdnext", url: str = "http://gpu:7860") -> ServerLane:
    return ServerLane(Client(url, dialect=dialect, transport=transport))


def test_an_sdnext_elsewhere_is_asked_for_its_gpu_and_not_waited_for_long() -> None:
    transport = Telling(reply=[GPU])

    meter = lane_of(transport).energy_meter()

    assert meter is not None
    assert meter.name == "sdnext"
    assert set(transport.asked) == {"GET http://gpu:7860/sdapi/v1/gpu"}
    assert all(limits is not None and (limits.deadline_s or 99) <= 2 for limits in transport.limits)


@pytest.mark.parametrize("transport", [Telling(404), Telling(reply=[]), Telling(500, {"error": "no"})])
def test_an_sdnext_that_does_not_tell_is_not_measured(transport: Telling) -> None:
    assert lane_of(transport).energy_meter() is None


def test_another_program_elsewhere_is_not_even_asked() -> None:
    transport = Telling(reply=[GPU])

    assert lane_of(transport, "a1111").energy_meter() is None
    assert transport.asked == []


def test_what_runs_on_this_machine_is_measured_by_its_own_counters() -> None:
    transport = Telling(reply=[GPU])
    lanes = [lane_of(transport, url="http://127.0.0.1:7860"), SegmenterLane(SegmentSettings(model="classical"))]

    assert all(isinstance(lane, MeteredLane) for lane in lanes)
    assert [lane.energy_meter() for lane in lanes] == [open_meter(is_local=True)] * 2
    assert transport.asked == []
