"""LoRA tags of a prompt on servers that take them for words: put into the list, or told; never silent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.dialects import DIALECTS, Compiled, ServerFacts
from sdclient.dialects.lora_tags import LoraTag, lora_tags, take_tags
from sdclient.schemas import Lora, Txt2Img

HAS_FUR = ServerFacts("sdcpp", loras=("style/fur.safetensors",))


def compiled(name: str, prompt: str, facts: ServerFacts | None = None, **fields) -> Compiled:
    return DIALECTS[name].compile(Txt2Img(prompt=prompt, inherit=True, **fields), facts or ServerFacts(name))


def told(found: Compiled) -> list[str]:
    return [loss.message for loss in found.losses if loss.field == "prompt" and loss.severity == "warning"]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a fox", ()),
        ("a <lora:fur:0.7> fox", (LoraTag("<lora:fur:0.7>", "fur", 0.7),)),
        ("<lora:fur>", (LoraTag("<lora:fur>", "fur", 1.0),)),
        (
            "<lora:a b:-.5><lora:c:1:0.5>",
            (LoraTag("<lora:a b:-.5>", "a b", -0.5), LoraTag("<lora:c:1:0.5>", "c", None)),
        ),
        ("<lora:fur:much> <lora::1> <lyco:x:1> <lora:", (LoraTag("<lora:fur:much>", "fur", None),)),
    ],
)
def test_tags_are_found(prompt: str, expected: tuple[LoraTag, ...]) -> None:
    assert lora_tags(prompt) == expected


@given(st.text(alphabet="<>lora:x0. ", max_size=60))
def test_a_prompt_without_its_tags_has_none(prompt: str) -> None:
    assert take_tags(prompt, lambda _: False) == prompt.strip()
    # What is left may close around a hole; then that is words that nobody wrote as a tag.
    assert len(take_tags(prompt, lambda _: True)) <= len(prompt)


def test_thousands_of_tags_make_one_short_message() -> None:
    assert len(told(compiled("sdcpp", "x " + "<lora:a:1>" * 5_000, HAS_FUR))[0]) < 400
    assert len(compiled("sdcpp", "x " + "<lora:fur:1>" * 5_000, HAS_FUR).call.body["lora"]) == 5_000


def test_tags_become_the_list_of_stable_diffusion_cpp_behind_the_loras_of_the_request() -> None:
    found = compiled("sdcpp", "a fox <lora:fur:0.7>, snow", HAS_FUR, loras=[Lora(model="fur", weight=0.2)])

    assert found.call.body["prompt"] == "a fox , snow"
    assert found.call.body["lora"] == [
        {"path": "style/fur.safetensors", "multiplier": 0.2},
        {"path": "style/fur.safetensors", "multiplier": 0.7},
    ]
    assert told(found) == []


@pytest.mark.parametrize("prompt", ["a fox <lora:nope:1>", "a fox <lora:fur:1:0.5>", "<lora:fur:1>"])
def test_a_tag_that_cannot_go_into_the_list_stays_and_is_told(prompt: str) -> None:
    found = compiled("sdcpp", prompt, HAS_FUR)

    assert found.call.body["prompt"] == prompt
    assert "lora" not in found.call.body
    (message,) = told(found)
    assert message.startswith("stable-diffusion.cpp reads '<lora:")
    assert message.endswith("as words and draws without; name a LoRA of its list, with one weight")


@pytest.mark.parametrize(
    ("name", "advice"),
    [("drawthings", "name the LoRA's file in loras"), ("koboldcpp", "start it with that LoRA")],
)
def test_where_there_is_no_list_to_put_it_into_a_tag_is_told(name: str, advice: str) -> None:
    found = compiled(name, "a fox <lora:fur:0.7>")

    assert found.call.body["prompt"] == "a fox <lora:fur:0.7>"
    (message,) = told(found)
    assert "'<lora:fur:0.7>' as words and draws without" in message
    assert advice in message


@pytest.mark.parametrize("name", ["a1111", "forge", "sdnext"])
def test_who_acts_on_tags_gets_them_as_they_are(name: str) -> None:
    found = compiled(name, "a fox <lora:fur:0.7:0.5>")

    assert found.call.body["prompt"] == "a fox <lora:fur:0.7:0.5>"
    assert told(found) == []


@pytest.mark.parametrize("program", ["drawthings", "sdcpp", "koboldcpp"])
@pytest.mark.parametrize("tag", ["<lyco:fur:1>", "<hypernet:fur:0.5>"])
def test_tags_of_other_networks_are_told_as_words_too(program: str, tag: str) -> None:
    assert tag in told(compiled(program, f"a fox {tag}"))[0]
