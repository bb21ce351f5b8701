"""Who gets which fault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.simulator.dialect import Call
from sdclient.simulator.faultplan import Fault, FaultPlan, parse_fault
from sdclient.simulator.faults import DAMAGES, FAULTS, INSTEAD
from sdclient.simulator.wire import DELIVERIES

NAMES = tuple(FAULTS)


def call(path: str = "/sdapi/v1/txt2img", method: str = "POST") -> Call:
    return Call(method, path, {}, {}, b"")


def handed_out(plan: FaultPlan, count: int) -> list[str | None]:
    found = [plan.next_for(call()) for _ in range(count)]
    return [None if fault is None else fault.name for fault in found]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("reset", Fault("reset")),
        ("reset:p=0.05", Fault("reset", share=0.05)),
        ("hang:p=1,s=2.5,on=all", Fault("hang", seconds=2.5, everywhere=True)),
        ("gigabyte:mb=3,n=7", Fault("gigabyte", megabytes=3.0, number=7)),
        ("black:on=generation", Fault("black")),
    ],
)
def test_a_fault_is_read_with_its_settings(text: str, fault: Fault) -> None:
    assert parse_fault(text, NAMES) == fault


@pytest.mark.parametrize(
    "text",
    [
        "reset:p=2",
        "reset:p=x",
        "reset:n=0",
        "reset:s=-1",
        "reset:mb=0",
        "reset:on=some",
        "reset:q=1",
        "reset:p",
        "hang:p=nan",
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="makes no sense"):
        parse_fault(text, NAMES)


def test_an_unknown_fault_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match="no fault 'fire'; choose one of reset, close"):
        parse_fault("fire", NAMES)


def test_every_fault_is_carried_out_somewhere() -> None:
    carried_out = {*INSTEAD, *DAMAGES, *DELIVERIES, "close-next", "leak"}

    assert set(FAULTS) == carried_out


@given(seed=st.integers(), share=st.floats(0, 1), others=st.lists(st.sampled_from(["GET", "POST"]), max_size=20))
def test_the_nth_request_gets_the_same_fault_whatever_else_is_asked(seed: int, share: float, others: list[str]) -> None:
    faults = [Fault("reset", share=share), Fault("black", share=(1 - share) / 2)]
    undisturbed, disturbed = FaultPlan(faults, seed), FaultPlan(faults, seed)
    expected = handed_out(undisturbed, len(others))

    found = []
    for method in others:
        disturbed.next_for(call("/sdapi/v1/progress", method))
        found += handed_out(disturbed, 1)

    assert found == expected


def test_shares_add_up_and_are_kept() -> None:
    found = handed_out(FaultPlan([Fault("reset", share=0.05), Fault("black", share=0.1)], 1), 10_000)

    assert 400 <= found.count("reset") <= 600
    assert 850 <= found.count("black") <= 1150


def test_another_seed_hits_others() -> None:
    plans = [FaultPlan([Fault("reset", share=0.5)], seed) for seed in (1, 2)]

    assert handed_out(plans[0], 50) != handed_out(plans[1], 50)


def test_a_fault_may_name_its_request() -> None:
    plan = FaultPlan([Fault("reset", number=3), Fault("black", number=2)], 0)

    assert handed_out(plan, 5) == [None, "black", "reset", None, None]


def test_what_is_put_in_line_goes_first_and_counts() -> None:
    plan = FaultPlan([Fault("black", number=3)], 0)
    plan.put_in_line([Fault("reset"), None])

    assert handed_out(plan, 4) == ["reset", None, "black", None]


@pytest.mark.parametrize(
    ("path", "method", "hit"),
    [
        ("/sdapi/v1/txt2img", "POST", True),
        ("/prefix/sdapi/v1/img2img/", "POST", True),
        ("/sdapi/v1/control", "POST", True),
        ("/sdapi/v1/extra-single-image", "POST", True),
        ("/sdapi/v1/txt2img", "GET", False),
        ("/sdapi/v1/options", "POST", False),
        ("/sdapi/v1/progress", "GET", False),
    ],
)
def test_only_requests_that_make_images_are_hit_unless_all_are(path: str, method: str, hit: bool) -> None:  # noqa: FBT001 - a parameter of the test
    narrow, wide = FaultPlan([Fault("reset")], 0), FaultPlan([Fault("reset", everywhere=True)], 0)

    assert (narrow.next_for(call(path, method)) is not None) is hit
    assert wide.next_for(call(path, method)) is not None


def test_faults_for_all_count_each_path_apart() -> None:
    plan = FaultPlan([Fault("reset", number=2, everywhere=True)], 0)
    paths = ["/a", "/b", "/a", "/a", "/b"]

    assert [plan.next_for(call(path, "GET")) is not None for path in paths] == [False, False, True, False, True]
