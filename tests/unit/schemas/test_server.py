"""Replies are read leniently: missing is None, wrong is None, new keys are kept."""

import pytest

from sdclient.errors import BadReplyError
from sdclient.schemas.server import (
    LoraInfo,
    ModelInfo,
    Progress,
    SamplerInfo,
    SchedulerInfo,
    ScriptInfo,
    UpscalerInfo,
    VaeInfo,
    read_list,
)

PROGRESS = {
    "progress": 0.25,
    "eta_relative": 12.5,
    "state": {"job": "scripts_txt2img", "job_no": 0, "job_count": 1, "sampling_step": 5, "sampling_steps": 20},
    "current_image": "aGk=",
    "textinfo": "Sampling",
}


def test_progress_is_read_from_its_nested_state() -> None:
    progress = Progress.read(PROGRESS)

    assert (progress.fraction, progress.eta_s, progress.step, progress.steps) == (0.25, 12.5, 5, 20)
    assert (progress.job, progress.job_no, progress.job_count) == ("scripts_txt2img", 0, 1)
    assert (progress.current_image, progress.text) == ("aGk=", "Sampling")
    assert not progress.is_idle


def test_an_idle_server_is_idle() -> None:
    assert Progress.read({"progress": 0, "state": {"job": "", "job_count": 0}}).is_idle


@pytest.mark.parametrize(
    ("body", "fraction"),
    [
        ({}, None),
        ({"progress": "a"}, None),
        ({"progress": 1.7}, 1.0),
        ({"progress": -1}, 0.0),
        ({"progress": None}, None),
    ],
)
def test_an_odd_fraction_is_kept_within_bounds_or_left_out(body: dict, fraction: float | None) -> None:
    assert Progress.read(body).fraction == fraction


def test_a_number_that_is_none_is_left_out() -> None:
    assert Progress.read({"eta_relative": float("nan")}).eta_s is None


@pytest.mark.parametrize("state", [None, 7, [], "busy", {"sampling_step": "many"}])
def test_an_odd_state_does_no_harm(state: object) -> None:
    progress = Progress.read({"progress": 0.5, "state": state})

    assert progress.fraction == 0.5
    assert progress.step is None


def test_keys_that_are_not_known_are_kept() -> None:
    assert Progress.read({"mood": "abc"}).model_extra == {"mood": "abc"}


def test_a_model_answers_to_all_its_names() -> None:
    model = ModelInfo.read(
        {"title": "xl/a.safetensors [1234]", "model_name": "a", "filename": "C:\\models\\a.safetensors"}
    )

    assert model.names == ("xl/a.safetensors [1234]", "a", "a.safetensors")
    assert ModelInfo.read({}).names == ()


@pytest.mark.parametrize("cls", [LoraInfo, ModelInfo, SamplerInfo, SchedulerInfo, ScriptInfo, UpscalerInfo, VaeInfo])
def test_lists_are_read_and_entries_that_are_none_left_out(cls: type) -> None:
    found = read_list(cls, [{"name": "a", "model_name": "b", "aliases": ["c"], "scale": "x"}, None, 7, {}])

    assert len(found) == 2
    assert (getattr(found[0], "name", None) or getattr(found[0], "model_name", None)) in ("a", "b")


@pytest.mark.parametrize("body", [None, 7, "x", {}])
def test_what_is_no_list_is_a_bad_reply(body: object) -> None:
    with pytest.raises(BadReplyError, match="ModelInfo: the reply is a JSON"):
        read_list(ModelInfo, body)


@pytest.mark.parametrize("body", [None, 7, "x", []])
def test_what_is_no_object_is_a_bad_reply(body: object) -> None:
    with pytest.raises(BadReplyError, match="Progress: the reply is a JSON"):
        Progress.read(body)


def test_a_key_of_half_a_character_is_a_bad_reply() -> None:
    with pytest.raises(BadReplyError, match="no text"):
        Progress.read({"progress": 0.5, "\ud800": 1})
