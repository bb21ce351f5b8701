"""Key sets: what is known of a program's version without asking a server."""

import pytest

from sdclient.dialects import DIALECTS
from sdclient.dialects.facts import drawthings_keys
from sdclient.dialects.keysets import KEY_SETS, key_set, newest_key_set
from sdclient.errors import ConfigurationError
from sdclient.schemas import HiresFix, Refiner, Txt2Img


def test_every_dialect_has_a_newest_key_set() -> None:
    assert [newest_key_set(name).name for name in DIALECTS] == [
        "a1111-1.10",
        "drawthings-2026-08",
        "forge-2025-06",
        "koboldcpp-1.102",
        "sdcpp-2026-08",
        "sdnext-2026-07",
    ]


@pytest.mark.parametrize("name", KEY_SETS)
def test_a_key_set_says_whose_it_is(name: str) -> None:
    found = key_set(name)

    facts = found.facts()

    assert found.name == f"{facts.dialect}-{facts.version}"
    assert facts.dialect in DIALECTS
    assert (facts.models, facts.samplers, facts.scripts) == (None, None, None)
    assert found.source.startswith("facts/")


def test_draw_things_is_sent_every_key_of_its_set() -> None:
    facts = key_set("drawthings-2026-08").facts()

    body = DIALECTS["drawthings"].compile(Txt2Img(model="m"), facts).call.body

    assert set(body) == {key.name for key in drawthings_keys().values() if key.usable}


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("a1111-1.8", {"sampler_name": "DPM++ 2M Karras"}),
        ("a1111-1.9", {"sampler_name": "DPM++ 2M", "scheduler": "Karras"}),
        ("a1111-1.10", {"sampler_name": "DPM++ 2M", "scheduler": "Karras"}),
    ],
)
def test_samplers_and_schedules_are_one_until_1_9(name: str, sent: dict) -> None:
    request = Txt2Img(model="m", sampler_name="DPM++ 2M", scheduler="Karras")

    compiled = DIALECTS["a1111"].compile(request, key_set(name).facts())

    assert {key: value for key, value in compiled.call.body.items() if key in ("sampler_name", "scheduler")} == sent
    assert not compiled.losses


def test_a_version_that_is_known_has_the_option_for_the_refiner() -> None:
    hires = HiresFix(first_width=64, first_height=64)
    request = Txt2Img(model="m", refiner=Refiner(model="r"), hires=hires, width=128, height=128)

    compiled = DIALECTS["a1111"].compile(request, key_set("a1111-1.8").facts())

    assert compiled.call.body["override_settings"]["hires_fix_refiner_pass"] == "both passes"
    assert not compiled.losses


def test_an_unknown_name_is_answered_with_a_close_one() -> None:
    with pytest.raises(ConfigurationError, match=r"'a1111-1\.11': not known; did you mean a1111-1\.10\?"):
        key_set("a1111-1.11")
    with pytest.raises(ConfigurationError, match=r"known are a1111-1\.8"):
        key_set("zzz")
    with pytest.raises(ConfigurationError, match="no key set"):
        newest_key_set("comfyui")
