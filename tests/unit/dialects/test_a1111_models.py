"""How a checkpoint is spelled for servers that look up whole names alone, and draw with what is loaded for others."""

from __future__ import annotations

import pytest

from sdclient.dialects.a1111_names import spelled_model
from sdclient.dialects.base import ServerFacts
from sdclient.dialects.draft import Draft

BASE = ("sd_xl_base_1.0.safetensors [31e35c80fc]", "sd_xl_base_1.0", "/models/sd_xl_base_1.0.safetensors", "31e35c80fc")
OLD = ("sd15/jug_reborn.safetensors [aaaaaaaaaa]", "sd15_jug_reborn", "/models/sd15/jug_reborn.safetensors", "a" * 64)
NEW = ("jug_XL.safetensors", "jug_XL", "/models/jug_XL.safetensors")
FACTS = ServerFacts("a1111", models=(*BASE, *OLD, *NEW))
TWICE = ServerFacts(
    "a1111", models=("a/jug.safetensors [aaaaaaaaaa]", "a_jug", "b/jug.safetensors [bbbbbbbbbb]", "b_jug")
)


def spell(name: str, facts: ServerFacts = FACTS) -> tuple[str, list[tuple[str, str, str]], str]:
    draft = Draft()
    sent = spelled_model(name, "model", draft, facts)
    return (
        sent,
        [(loss.field, loss.kind, loss.severity) for loss in draft.losses],
        " ".join(loss.message for loss in draft.losses),
    )


@pytest.mark.parametrize(
    "name",
    [
        "sd_xl_base_1.0.safetensors [31e35c80fc]",
        "sd_xl_base_1.0 [31e35c80fc]",
        "sd_xl_base_1.0.safetensors",
        "sd_xl_base_1.0",
        "31e35c80fc",
        "a" * 64,
        "sd15/jug_reborn.safetensors",
        "sd15_jug_reborn",
        "jug_reborn",
        "jug_XL",
    ],
)
def test_a_whole_name_is_sent_as_it_is(name: str) -> None:
    assert spell(name) == (name, [], "")


@pytest.mark.parametrize(
    ("name", "title"),
    [
        pytest.param("SD_XL_Base_1.0", BASE[0], id="letter case"),
        pytest.param("sd_xl_base_1.0.ckpt", BASE[0], id="ending"),
        pytest.param("sdxl/sd_xl_base_1.0.safetensors", BASE[0], id="folder"),
        pytest.param("/models/sd_xl_base_1.0.safetensors", BASE[0], id="path"),
        pytest.param("sd_xl_base", BASE[0], id="part"),
        pytest.param("jug_rebo", OLD[0], id="part, in a folder"),
        pytest.param("jug_reborn.safetensors [12345678]", OLD[0], id="hash of another kind"),
        pytest.param("JUG_xl", NEW[0], id="no hash"),
    ],
)
def test_the_only_model_that_fits_is_sent_by_its_title_and_said(name: str, title: str) -> None:
    sent, losses, message = spell(name)

    assert (sent, losses) == (title, [("model", "replaced", "note")])
    assert message.endswith(f"; it is taken for {title.partition(' [')[0]}, the only one that fits")


@pytest.mark.parametrize(
    ("name", "facts", "hint"),
    [
        pytest.param("jug", FACTS, "several fit: sd15/jug_reborn.safetensors, jug_XL.safetensors", id="part of two"),
        pytest.param("JUG", TWICE, "several fit: a/jug.safetensors, b/jug.safetensors", id="in two folders"),
        pytest.param("jug_rebron", FACTS, "did you mean sd15/jug_reborn.safetensors?", id="a slip"),
        pytest.param(
            "sd_xl_base_1.0 [0123456789]", FACTS, "did you mean sd_xl_base_1.0.safetensors?", id="another hash"
        ),
        pytest.param(".safetensors", FACTS, "did you mean", id="an ending alone"),
    ],
)
def test_what_no_model_or_more_than_one_fits_is_refused_with_names(name: str, facts: ServerFacts, hint: str) -> None:
    sent, losses, message = spell(name, facts)

    assert (sent, losses) == (name, [("model", "refused", "error")])
    assert hint in message


def test_without_a_list_a_name_is_sent_as_it_is() -> None:
    assert spell("juggernaut", ServerFacts("a1111")) == ("juggernaut", [], "")
