"""Sampler names across servers, two names or one label."""

import pytest

from sdclient.dialects.facts import drawthings_keys
from sdclient.dialects.samplers import SamplerChoice, drawthings_sampler, schedule_label, split_sampler


@pytest.mark.parametrize(
    ("sampler", "scheduler", "choice"),
    [
        ("DPM++ 2M Karras", None, SamplerChoice("DPM++ 2M", "Karras")),
        ("DPM++ 2M SDE Exponential", None, SamplerChoice("DPM++ 2M SDE", "Exponential")),
        ("DPM++ 2M Polyexponential", None, SamplerChoice("DPM++ 2M", "Polyexponential")),
        ("DPM++ 2M", "sgm_uniform", SamplerChoice("DPM++ 2M", "SGM Uniform")),
        ("DPM++ 2M Karras", "Exponential", SamplerChoice("DPM++ 2M", "Exponential")),
        ("DPM++ 2M AYS", None, SamplerChoice("DPM++ 2M", "Align Your Steps")),
        ("Euler A", None, SamplerChoice("Euler a", None)),
        ("Euler A Trailing", None, SamplerChoice("Euler a", "Trailing")),
        ("Karras", None, SamplerChoice("Karras", None)),
    ],
)
def test_a_fused_name_is_taken_apart(sampler: str, scheduler: str | None, choice: SamplerChoice) -> None:
    assert split_sampler(sampler, scheduler) == choice


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("karras", "Karras"),
        ("KARRAS", "Karras"),
        ("sgm_uniform", "SGM Uniform"),
        ("AYS", "Align Your Steps"),
        ("x", "x"),
    ],
)
def test_a_schedule_has_one_label(name: str, label: str) -> None:
    assert schedule_label(name) == label


@pytest.mark.parametrize("label", drawthings_keys()["sampler"].labels)
def test_every_label_of_the_app_stands_for_itself(label: str) -> None:
    found = drawthings_sampler(label, None)

    assert (found.label, found.difference) == (label, "")


@pytest.mark.parametrize(
    ("sampler", "scheduler", "label", "is_exact"),
    [
        ("DPM++ 2M", None, "DPM++ 2M Karras", True),
        ("DPM++ 2M", "Automatic", "DPM++ 2M Karras", True),
        ("DPM++ 2M", "align_your_steps", "DPM++ 2M AYS", True),
        ("DPM++ SDE", "SGM Uniform", "DPM++ SDE Trailing", True),
        ("DPM++ 2M", "Exponential", "DPM++ 2M Karras", False),
        ("DPM++ 2M", "Beta", "DPM++ 2M Karras", False),
        ("Euler a", "Simple", "Euler A Trailing", False),
        ("LCM", "Karras", "LCM", False),
        ("Euler", None, "DDIM", False),
        ("DPM++ 2M SDE Karras", None, "DPM++ SDE Karras", False),
        ("Restart", None, None, True),
    ],
)
def test_a_name_finds_its_label_or_the_nearest(
    sampler: str,
    scheduler: str | None,
    label: str | None,
    is_exact: object,
) -> None:
    found = drawthings_sampler(sampler, scheduler)

    assert found.label == label
    assert (not found.difference) == is_exact
