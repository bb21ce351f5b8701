"""A payload file with overlays: what it says for other servers alone is told, never left out in silence."""

import pytest

from sdclient.dialects import DIALECTS
from sdclient.dialects.elsewhere import missing_overlays
from sdclient.dialects.keysets import newest_key_set
from sdclient.dialects.showing import compile_for_show
from sdclient.schemas import ControlNet, Txt2Img, load_request

UNIT = {"model": "tile"}


def told(name: str, request: Txt2Img) -> list[tuple[str, str, str]]:
    dialect = DIALECTS[name]
    losses = missing_overlays(request.for_dialect(*dialect.overlay_names), dialect)
    return [(loss.field, loss.kind, loss.severity) for loss in losses]


@pytest.mark.parametrize("name", ["sdnext", "sdcpp", "koboldcpp"])
@pytest.mark.parametrize("payload", ["bake", "creative-upscale-200", "creative-upscale-400"])
def test_the_bake_never_loses_its_control_unit_in_silence(payload: str, name: str) -> None:
    losses = compile_for_show(load_request(payload), DIALECTS[name], newest_key_set(name).facts()).losses

    assert "controls" in {loss.field for loss in losses}
    assert "loras" in {loss.field for loss in losses} or name != "koboldcpp"


@pytest.mark.parametrize(
    ("overlays", "expected"),
    [
        pytest.param({"a1111": {"controls": [UNIT]}}, [("controls", "dropped", "warning")], id="a part elsewhere"),
        pytest.param(
            {"a1111": {"controls": [UNIT]}, "sdcpp": {"controls": []}}, [("controls", "dropped", "note")], id="on purpose"
        ),
        pytest.param({"a1111": {"controls": [UNIT]}, "sdcpp": {"controls": [UNIT]}}, [], id="here, too"),
        pytest.param({"a1111": {"controls": []}, "forge": {"refiner": None}}, [], id="nothing anywhere"),
        pytest.param({"a1111": {"steps": 9}, "forge": {"steps": 9}}, [("steps", "inherited", "warning")], id="all say"),
        pytest.param({"a1111": {"shift": 1}, "forge": {"steps": 9}}, [], id="one alone may need it"),
        pytest.param({"drawthings": {"sampler_name": "TCD"}}, [("sampler_name", "inherited", "warning")], id="an import's sampler"),
        pytest.param({"a1111": {"model": "m"}, "forge": {"model": "m"}}, [], id="the model is told anyway"),
        pytest.param(
            {"a1111": {"scheduler": "x"}, "forge": {"scheduler": "x"}, "sdcpp": {"sampler_name": "TCD"}}, [],
            id="a schedule goes with its sampler",
        ),
        pytest.param({"a1111": {"native": {"s_churn": 1}}}, [], id="native keys are their server's own"),
        pytest.param(
            {"a1111": {"native": {"alwayson_scripts": {"ControlNet": {"args": [UNIT]}}}}}, [("native", "dropped", "warning")],
            id="but parts among them are missed",
        ),
        pytest.param(
            {"a1111": {"native": {"override_settings": {"eta_noise_seed_delta": 1}, "enable_hr": False, "styles": []}}}, [],
            id="options and what is off are no parts",
        ),
        pytest.param(
            {"forge": {"native": {"hr_additional_modules": ["Use same choices"]}}}, [], id="nor a pass that is not on"
        ),
        pytest.param(
            {"a1111": {"native": {"refiner_checkpoint": "r"}}}, [("native", "dropped", "warning")], id="a refiner's own key"
        ),
        pytest.param(
            {"a1111": {"native": {"sampler_name": "DPM++ 9X"}}}, [("sampler_name", "inherited", "warning")],
            id="a sampler's own key",
        ),
        pytest.param(
            {"drawthings": {"native": {"upscaler": "4x_ultrasharp_f16.ckpt"}}}, [("native", "dropped", "warning")],
            id="an upscaler's own key",
        ),
        pytest.param(
            {"drawthings": {"native": {"tiled_diffusion": True, "sharpness": 2}}}, [("native", "dropped", "warning")],
            id="tiles' own key",
        ),
        pytest.param(
            {"drawthings": {"native": {"sampler": "TCD"}}, "sdcpp": {"sampler_name": "LCM"}}, [], id="and one that is here",
        ),
        pytest.param(
            {"a1111": {"native": {"script_name": "x"}}, "sdcpp": {"native": {"clip_on_cpu": True}}},
            [("native", "dropped", "warning")], id="plain keys of this server's make up for none",
        ),
    ],
)  # fmt: skip
def test_what_other_overlays_say_is_missed_where_none_says_it(overlays: dict, expected: list) -> None:
    request = Txt2Img.from_mapping({"prompt": "x", "overlays": overlays})

    assert told("sdcpp", request) == expected


def test_native_keys_of_another_server_are_missed_without_a_payload_file_too() -> None:
    request = Txt2Img(prompt="x", native={"a1111": {"alwayson_scripts": {"ControlNet": {"args": [UNIT]}}}})

    assert told("drawthings", request) == [("native", "dropped", "warning")]
    assert told("forge", request) == []
    again = request.for_dialect("drawthings").for_dialect("drawthings")
    assert again.only_elsewhere == {"native": ("a1111",)}


def test_what_is_missing_is_remembered_through_changes_and_forgotten_once_it_is_given() -> None:
    request = Txt2Img(prompt="x", overlays={"a1111": {"controls": [UNIT]}, "forge": {"loras": [UNIT]}})
    merged = request.for_dialect("sdcpp").replace(seed=7).for_dialect("sdcpp")

    assert merged.only_elsewhere == {"controls": ("a1111",), "loras": ("forge",)}
    assert merged.replace(controls=[ControlNet(model="c")]).only_elsewhere == {"loras": ("forge",)}
    assert request.for_dialect("a1111", "forge").only_elsewhere == {}
