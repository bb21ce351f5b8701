"""The plan of interleave: which image grows out of which."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.batch.plan import Job, OutputInput
from sdclient.errors import PayloadError
from sdclient.recipes.interleave import (
    Chapter,
    InterleaveConfig,
    InterleavePlan,
    img2img_of,
    plan_interleave,
    request_of,
)
from sdclient.recipes.interleave.config import GenerationConfig
from sdclient.recipes.interleave.plan import PAYLOAD
from sdclient.schemas import Img2Img, Txt2Img

TWO = (("nature", 0.9), ("charcoal", 0.1))
THREE = (*TWO, ("ink", 0.5))


def configured(styles: Sequence[tuple[str, float]] = TWO, **generation: object) -> InterleaveConfig:
    return InterleaveConfig.model_validate(
        {
            "prompt_config": {"source": "s.txt", "key": "s"},
            "generation_config": {"interleave": False, **generation},
            "style_configs": [{"style": f"in {tag}", "file_tag": tag, "weight": weight} for tag, weight in styles],
        }
    )


def planned(config: InterleaveConfig, *chapters: int) -> InterleavePlan:
    found = [
        Chapter(number, tuple(f"prompt {number}-{entry}" for entry in range(count)))
        for number, count in enumerate(chapters)
    ]
    return plan_interleave(config, found, request_of(Txt2Img.load(PAYLOAD), config.generation_config))


def name_of(job: Job) -> str:
    return job.place.rpartition("/")[2]


def origins(plan: InterleavePlan) -> dict[str, str]:
    """Each image with the one that it is drawn over; an empty text for one drawn from words."""
    names = {job.id: name_of(job) for job in plan.jobs.jobs}
    return {name_of(job): names[job.input.job] if isinstance(job.input, OutputInput) else "" for job in plan.jobs.jobs}


def test_progresive_draws_each_image_over_the_last_of_its_style() -> None:
    plan = planned(configured(), 3)

    assert origins(plan) == {
        "nature 0-0": "",
        "charcoal 0-0": "",
        "nature 0-1": "nature 0-0",
        "charcoal 0-1": "charcoal 0-0",
        "nature 0-2": "nature 0-1",
        "charcoal 0-2": "charcoal 0-1",
    }


def test_the_weight_is_the_denoising_strength_and_the_prompt_ends_in_the_style() -> None:
    jobs = {name_of(job): job for job in planned(configured(), 2).jobs.jobs}

    assert jobs["charcoal 0-0"].kind == "txt2img"
    assert jobs["charcoal 0-0"].changes == {"prompt": "prompt 0-0 in charcoal"}
    assert jobs["charcoal 0-1"].kind == "img2img"
    assert jobs["charcoal 0-1"].changes == {"prompt": "prompt 0-1 in charcoal", "denoising_strength": 0.1}
    assert jobs["charcoal 0-1"].columns == {"chapter": "0", "entry": "1", "style": "charcoal", "weight": "0.1"}


def test_interleave_hands_the_last_images_on_by_one_style() -> None:
    found = origins(planned(configured(THREE, interleave=True), 2))

    assert {name: found[name] for name in ("nature 0-1", "charcoal 0-1", "ink 0-1")} == {
        "nature 0-1": "charcoal 0-0",
        "charcoal 0-1": "ink 0-0",
        "ink 0-1": "nature 0-0",
    }


def test_cycle_styles_moves_the_whole_style_so_that_names_weights_and_words_agree() -> None:
    """The original moved the words alone: file names and weights told of another style."""
    plan = planned(configured(THREE, cycle_styles=True), 2)
    jobs = {name_of(job): job for job in plan.jobs.jobs}

    assert origins(plan)["charcoal 0-1"] == "nature 0-0"
    assert jobs["charcoal 0-1"].changes == {"prompt": "prompt 0-1 in charcoal", "denoising_strength": 0.1}


def test_interleave_and_cycle_styles_together_give_each_style_its_own_image_back() -> None:
    both = origins(planned(configured(THREE, interleave=True, cycle_styles=True), 4))

    assert both == origins(planned(configured(THREE), 4))


def test_a_chapter_begins_anew_unless_it_is_told_not_to() -> None:
    """The original never forgot its last image: chapter 2 began from chapter 1's."""
    fresh = origins(planned(configured(), 2, 1))
    kept = origins(planned(configured(reset_between_chapters=False), 2, 1))

    assert fresh["nature 1-0"] == ""
    assert kept["nature 1-0"] == "nature 0-1"


def test_independent_images_are_all_drawn_from_words() -> None:
    plan = planned(configured(progresive=False), 3)

    assert set(origins(plan).values()) == {""}
    assert plan.folder == "s/independent/nature charcoal"


def test_layered_styles_are_drawn_over_each_other_within_one_prompt() -> None:
    """The original's author wanted this next."""
    plan = planned(configured(THREE, layered=True), 2)

    assert origins(plan) == {
        "nature 0-0": "",
        "charcoal 0-0": "nature 0-0",
        "ink 0-0": "charcoal 0-0",
        "nature 0-1": "",
        "charcoal 0-1": "nature 0-1",
        "ink 0-1": "charcoal 0-1",
    }
    assert plan.folder == "s/layered/nature charcoal ink"


def test_weight_zero_sends_no_request_and_hands_the_image_on() -> None:
    plan = planned(configured((("nature", 0.9), ("still", 0))), 3)

    assert origins(plan) == {"nature 0-0": "", "still 0-0": "", "nature 0-1": "nature 0-0", "nature 0-2": "nature 0-1"}
    still = [frame for frame in plan.frames if frame.tag == "still"]
    assert [(frame.entry, frame.is_copy) for frame in still] == [(0, False), (1, True), (2, True)]
    assert len({frame.job for frame in still}) == 1


def test_names_are_portable_and_run_no_shell() -> None:
    """The original's folder held a date with colons, and was made through a shell."""
    config = InterleaveConfig.model_validate(
        {
            "prompt_config": {"source": "s.txt", "key": "$(rm -rf ~)/..\\x:y"},
            "style_configs": [{"style": "", "file_tag": 'a"b; ls', "weight": 1}],
        }
    )

    plan = planned(config, 1)

    assert plan.jobs.jobs[0].place == "$(rm -rf ~)_.._x_y/progresive/a_b; ls/a_b; ls 0-0"
    assert plan.jobs.jobs[0].changes == {"prompt": "prompt 0-0"}


def test_very_long_tags_leave_room_for_chapter_and_prompt() -> None:
    plan = planned(configured((("long " * 40, 0.5), ("長" * 100, 0.5))), 12)

    assert len({job.place for job in plan.jobs.jobs}) == 24
    assert plan.jobs.jobs[0].place.endswith(" 0-0")


def test_without_individual_images_they_lie_in_a_folder_of_their_own() -> None:
    plan = planned(configured(save_individual=False), 1)

    assert plan.jobs.jobs[0].place == "s/progresive/nature charcoal/steps/nature 0-0"


def test_the_configuration_wins_over_the_payload_and_keeps_what_it_leaves_out() -> None:
    request = request_of(Txt2Img.load(PAYLOAD), GenerationConfig(guidance_scale=5, num_inference_steps=20, eta=None))

    assert (request.cfg_scale, request.steps, request.eta) == (5, 20, 0.1)
    assert request.sampler_name == "DDIM"


def test_the_request_for_drawing_over_is_the_same_without_a_hires_fix() -> None:
    over = img2img_of(Txt2Img.load("sdxl-refiner-ultrasharp"))

    assert isinstance(over, Img2Img)
    assert (over.steps, over.refiner is not None) == (30, True)
    assert "hires" not in over.overlays["a1111"]
    assert over.overlays["drawthings"]["model"] == "sd_xl_base_1.0_f16.ckpt"


def test_steps_that_no_server_takes_are_refused_with_the_field() -> None:
    with pytest.raises(PayloadError, match="steps"):
        Txt2Img.load(PAYLOAD).replace(steps=200)


@given(
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    styles=st.integers(1, 4),
    flags=st.fixed_dictionaries(
        {name: st.booleans() for name in ("interleave", "cycle_styles", "reset_between_chapters")}
    ),
    mode=st.sampled_from([{"progresive": True}, {"progresive": False}, {"layered": True}]),
)
def test_every_prompt_is_drawn_once_in_every_style_and_needs_only_earlier_jobs(
    counts: list[int], styles: int, flags: dict[str, bool], mode: dict[str, bool]
) -> None:
    config = configured([(f"s{number}", 0.5) for number in range(styles)], **flags, **mode)

    plan = planned(config, *counts)

    expected = {
        (chapter, entry, f"s{number}")
        for chapter, count in enumerate(counts)
        for entry in range(count)
        for number in range(styles)
    }
    assert len(plan.frames) == len(expected)
    assert {(frame.chapter, frame.entry, frame.tag) for frame in plan.frames} == expected
    seen: set[str] = set()
    for job in plan.jobs.jobs:
        assert job.needs is None or job.needs in seen
        seen.add(job.id)
