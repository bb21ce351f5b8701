"""Sums: requests, servers, losses, changes, failures, energy."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from sdclient.report.collect import make_report, read_run
from sdclient.report.summary import summarise_energy, summarise_servers
from sdclient.segment.settings import SegmentSettings
from tests.unit.report.builder import RunBuilder, moment
from tests.unit.report.test_history import row


def test_requests_are_listed_with_their_settings_and_overlays(studied: RunBuilder) -> None:
    requests = make_report(read_run(studied.fresh())).requests

    assert [(one.kind, one.jobs) for one in requests] == [("txt2img", 4), ("img2img", 2), ("segment", 1)]
    assert requests[0].settings == {"steps": "30", "width": "64", "height": "64"}
    assert requests[0].overlays == ("a1111",)
    assert requests[2].settings == {"model": "classical"}


def test_a_size_that_follows_from_the_image_drawn_over_is_shown_without_the_payloads(builder: RunBuilder) -> None:
    request: JsonValue = {"steps": 8, "width": 2048, "height": 2048}
    source = builder.plan("fox")
    builder.plan("up", kind="img2img", source=source, spec={"request": request, "size": "scale=2", "fit": "pad"})

    requests = make_report(read_run(builder.fresh())).requests

    assert requests[1].settings == {"steps": "8", "size": "scale=2", "fit": "pad"}


def test_nested_settings_are_written_in_words_and_unset_ones_left_out(builder: RunBuilder) -> None:
    request = {
        "steps": 3,
        "hires": {"first_width": 960, "strength": 0.35, "upscaler": None},
        "tiled": {"vae": {"width": 512}},
        "loras": [{"name": "x", "weight": 0.5}],
        "styles": [],
        "tiling": True,
    }
    builder.plan("fox", spec={"request": request})

    [summary] = make_report(read_run(builder.fresh())).requests

    assert summary.settings == {
        "steps": "3",
        "hires": "first_width 960, strength 0.35",
        "tiled": "vae (width 512)",
        "loras": "(name x, weight 0.5)",
        "styles": "none",
        "tiling": "true",
    }


def test_of_a_segmenters_options_those_that_were_changed_are_listed(builder: RunBuilder) -> None:
    options = SegmentSettings(model="classical", padding_px=4).to_json()
    builder.plan("cut", kind="segment", spec={"segment": options})

    [summary] = make_report(read_run(builder.fresh())).requests

    assert summary.settings == {"model": "classical", "padding_px": "4"}


def test_an_image_inside_a_request_is_cut(builder: RunBuilder) -> None:
    builder.plan("fox", spec={"request": {"steps": 3, "controls": [{"image": "A" * 100_000}]}, "size": "source"})

    [request] = make_report(read_run(builder.fresh())).requests

    assert len(request.text) < 2000
    assert request.settings["size"] == "source"
    assert "100,000 characters" in request.text


def test_a_server_is_summed_up_over_its_time_at_work() -> None:
    rows = [row(0, 10, files="a.png b.png"), row(10, 10, files="c.png"), row(20, 20, status="failed", error="X")]
    rows.append(row(50_000, 10, files="d.png", server_rss_mb="900"))

    [server] = summarise_servers(rows)

    assert (server.done, server.failed, server.images) == (3, 1, 4)
    assert server.median_s == 10
    # 40 s and, after a long pause that does not count, 10 s.
    assert server.images_per_hour == pytest.approx(4 / 50 * 3600)
    assert server.busy_percent == pytest.approx(100)
    assert server.rss_mb == 900


def test_time_between_two_workers_is_no_time_that_a_server_was_at_work() -> None:
    [server] = summarise_servers([row(0, 10, files="a.png"), row(100, 10, files="b.png", worker="w2")])

    assert server.images_per_hour == pytest.approx(2 / 20 * 3600)
    assert server.busy_percent == pytest.approx(100)


def test_two_workers_on_one_server_do_not_make_it_busier_than_always() -> None:
    [server] = summarise_servers([row(0, 10), row(0, 10, worker="w2")])

    assert server.busy_percent == 100


def test_a_server_of_which_no_times_are_known_has_no_figures() -> None:
    [server] = summarise_servers([{"server": "mini", "status": "failed"}])

    assert (server.median_s, server.images_per_hour, server.busy_percent, server.dialect) == (None, None, None, "")


def test_losses_and_changes_are_counted(builder: RunBuilder) -> None:
    facts = {
        "losses": [{"field": "clip_skip", "kind": "dropped", "severity": "note", "message": "unknown here"}, "odd"],
        "changed": [{"field": "steps", "asked": 30, "applied": 28}, None],
    }
    for name in ("a", "b"):
        builder.commit(builder.plan(name), facts=facts)

    report = make_report(read_run(builder.fresh()))

    [loss] = report.losses
    assert (loss.field, loss.kind, loss.server, loss.jobs) == ("clip_skip", "dropped", "mini", 2)
    [change] = report.changes
    assert (change.field, change.asked, change.applied, change.jobs) == ("steps", "30", "28", 2)
    assert report.images[0].changed == ("steps: asked 30, applied 28", "")


def test_failures_with_the_same_reason_are_one_whatever_the_numbers_in_it(builder: RunBuilder) -> None:
    for number in range(3):
        builder.fail(
            builder.plan(f"fox{number}"), f"out of memory after {number} s at 0xdead{number}", reply=f"reply {number}"
        )

    [failure] = make_report(read_run(builder.fresh())).failures

    assert (failure.tries, failure.jobs, failure.set_aside) == (3, 3, 0)
    assert failure.places == ("fox0", "fox1", "fox2")
    assert failure.reply == "reply 2"
    assert failure.reply_path.startswith(".sdclient/replies/")
    assert failure.servers == ("mini",)


def test_what_is_set_aside_comes_first_with_its_reason(studied: RunBuilder) -> None:
    failures = make_report(read_run(studied.fresh())).failures

    assert [(one.error, one.set_aside) for one in failures] == [("RejectedError", 1), ("ServerFaultError", 0)]


def test_a_job_that_failed_for_two_reasons_is_set_aside_for_the_last_of_them(builder: RunBuilder) -> None:
    job = builder.plan("fox")
    builder.fail(job, "the image is black", error="BadReplyError")
    builder.fail(job, "out of memory", error="OverloadError", attempt=2, set_aside=True)

    failures = make_report(read_run(builder.fresh())).failures

    assert [(one.error, one.jobs, one.set_aside) for one in failures] == [
        ("OverloadError", 1, 1),
        ("BadReplyError", 1, 0),
    ]


def test_a_job_whose_input_was_set_aside_is_told_too(builder: RunBuilder) -> None:
    made = builder.plan("fox")
    builder.plan("baked", kind="img2img", source=made)
    builder.fail(made, "prompt refused", set_aside=True)

    failures = make_report(read_run(builder.fresh())).failures

    assert sorted(one.places for one in failures) == [("baked",), ("fox",)]


def test_a_long_reply_is_cut(builder: RunBuilder) -> None:
    builder.fail(builder.plan("fox"), "odd", reply="y" * 5000)

    [failure] = make_report(read_run(builder.fresh())).failures

    assert len(failure.reply) == 1501


def test_an_attempt_with_an_odd_number_has_no_reply(builder: RunBuilder) -> None:
    job = builder.plan("fox")
    builder.log(job, "failed", 0, error="X", message="m")
    builder.rows["a" * 32][0] = {**builder.rows["a" * 32][0], "attempt": "../../x"}
    builder.write_logs()

    [failure] = make_report(read_run(builder.fresh())).failures

    assert failure.reply == ""


def test_energy_that_nothing_measured_is_unknown() -> None:
    energy = summarise_energy([row(0), row(10)])

    assert (energy.wh, energy.above_idle_wh, energy.measured, energy.unmeasured) == (None, None, 0, 2)


def test_energy_is_added_up_over_what_was_measured_and_the_rest_is_said() -> None:
    measured = {"energy_wh": "2", "energy_above_idle_wh": "1.5", "energy_source": "nvml"}
    rows = [
        row(0, files="a.png b.png", **measured),
        row(10, files="c.png", **measured),
        row(20),
        row(30, status="released"),
    ]

    energy = summarise_energy(rows)

    assert (energy.wh, energy.above_idle_wh, energy.measured, energy.unmeasured) == (4, 3, 2, 1)
    assert energy.sources == ("nvml",)
    assert energy.wh_per_image == pytest.approx(4 / 3)


def test_energy_above_idle_is_unknown_where_one_attempt_does_not_know_it() -> None:
    rows = [row(0, energy_wh="2", energy_above_idle_wh="1"), row(10, energy_wh="2", energy_above_idle_wh="")]

    energy = summarise_energy(rows)

    assert energy.above_idle_wh is None
    assert energy.wh_per_image is None
    assert moment(0).startswith("2026")
