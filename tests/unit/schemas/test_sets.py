"""``--set field=value``: dotted changes that win over the overlays."""

import pytest

from sdclient.errors import PayloadError
from sdclient.schemas import ControlNet, Enlarge, HiresFix, Lora, Txt2Img, apply_sets

REQUEST = Txt2Img(
    steps=3,
    controls=[ControlNet(model="tile", weight=0.5)],
    enlarge=Enlarge(model="u"),
    overlays={
        "a1111": {"steps": 9, "controls": [{"model": "q", "weight": 0.9}], "native": {"eta": 1}},
        "drawthings": {"refiner": {"model": "r.ckpt"}},
    },
)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        pytest.param("steps=20", "steps", 20, id="number"),
        pytest.param("prompt=a fox", "prompt", "a fox", id="bare-text"),
        pytest.param('prompt="a = b"', "prompt", "a = b", id="json-text"),
        pytest.param("prompt=a=b", "prompt", "a=b", id="equals-sign"),
        pytest.param("model=1234", "model", "1234", id="text-that-reads-as-a-number"),
        pytest.param("prompt=NaN", "prompt", "NaN", id="nan-is-text"),
        pytest.param("tiling=true", "tiling", True, id="bool"),
        pytest.param("seed=null", "seed", None, id="null"),
        pytest.param('styles=["a"]', "styles", ("a",), id="list"),
        pytest.param("enlarge.scale=4", "enlarge", Enlarge(model="u", scale=4), id="part"),
        pytest.param('enlarge={"model": "v"}', "enlarge", Enlarge(model="v"), id="whole-part"),
        pytest.param('controls[0]={"model": "v"}', "controls", (ControlNet(model="v"),), id="whole-entry"),
        pytest.param("controls[0].weight=0.4", "controls", (ControlNet(model="tile", weight=0.4),), id="entry"),
        pytest.param('native={"a1111": {}}', "native", {"a1111": {}}, id="whole-native"),
        pytest.param("native.forge.x=1", "native", {"forge": {"x": 1}}, id="native-without-overlay"),
        pytest.param("native.a1111.eta=0.5", "native", {"a1111": {"eta": 0.5}}, id="native"),
    ],
)
def test_a_set_changes_one_field(text: str, field: str, value: object) -> None:
    assert getattr(apply_sets(REQUEST, [text]), field) == value


def test_sets_are_applied_in_order() -> None:
    changed = apply_sets(REQUEST, ["loras=[]", 'loras=[{"model": "a"}]', "loras[0].weight=0.7"])

    assert changed.loras == (Lora(model="a", weight=0.7),)


def test_a_set_wins_over_the_overlays() -> None:
    changed = apply_sets(REQUEST, ["steps=20", "controls[0].weight=0.4", "native.a1111.eta=0.5"]).for_dialect("a1111")

    assert changed.steps == 20
    assert changed.controls == (ControlNet(model="q", weight=0.4),)
    assert changed.native == {"a1111": {"eta": 0.5}}


def test_a_part_that_only_an_overlay_has_is_changed_there() -> None:
    changed = apply_sets(REQUEST, ["refiner.switch_at=0.6"])

    assert changed.refiner is None
    assert changed.for_dialect("drawthings").refiner.switch_at == 0.6


def test_one_mistake_in_a_part_that_several_overlays_have_is_told_once() -> None:
    request = Txt2Img(prompt="x", overlays={name: {"loras": []} for name in ("drawthings", "a1111", "sdnext")})

    with pytest.raises(PayloadError) as told:
        apply_sets(request, ['loras=[{"name": "x"}]'])

    assert str(told.value) == '--set loras=[{"name": "x"}]: loras[0].name: unknown field; here it is called model'


def test_a_set_may_name_one_overlay() -> None:
    changed = apply_sets(REQUEST, ["drawthings.steps=8", "drawthings.native.sharpness=2", "sdnext.steps=4"])

    assert changed.for_dialect("drawthings").steps == 8
    assert changed.for_dialect("drawthings").native == {"drawthings": {"sharpness": 2}}
    assert changed.for_dialect("a1111").steps == 9
    assert changed.for_dialect("sdnext").steps == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("steps", "write field=value", id="no-value"),
        pytest.param("=3", "write field=value", id="no-field"),
        pytest.param("steps..x=3", "write field=value", id="empty-name"),
        pytest.param("stepss=3", "stepss: unknown field; did you mean steps?", id="typo"),
        pytest.param("steps=999", "Input should be less than or equal to 150", id="range"),
        pytest.param("steps=many", "Input should be a valid integer", id="text-for-number"),
        pytest.param("loras[0].weight=1", "there is no entry [0]; the list has 0", id="empty-list"),
        pytest.param("controls[7].weight=1", "there is no entry [7]; the list has 1", id="position"),
        pytest.param("controls[7]=1", "there is no entry [7]; the list has 1", id="last-position"),
        pytest.param("controls[0].weigth=1", "did you mean weight?", id="nested-typo"),
        pytest.param("prompt.x=1", "prompt: Input should be a valid string", id="inside-text"),
        pytest.param("refiner.model.x=1", "there is nothing inside that is called 'x'", id="inside-a-name"),
        pytest.param("refiner.model.x.y=1", "there is nothing inside that is called 'x'", id="deep-inside-a-name"),
        pytest.param(
            "native.seed_mode=Foo", "'seed_mode' is no dialect; known are a1111, ", id="native-without-a-name"
        ),
        pytest.param("native.seed_mode=Foo", ", as in native.drawthings.seed_mode", id="native-with-an-example"),
        pytest.param("drawthings=1", "name a field of the overlay", id="whole-overlay"),
        pytest.param("drawthings.stepz=1", "drawthings.stepz: unknown field", id="overlay-typo"),
    ],
)
def test_a_wrong_set_is_refused_with_its_text(text: str, message: str) -> None:
    with pytest.raises(PayloadError) as caught:
        apply_sets(REQUEST, [text])

    assert message in str(caught.value)
    assert f"--set {text}" in str(caught.value) or f"--set {text!r}" in str(caught.value)


def test_changes_that_only_fit_together_may_come_in_any_order() -> None:
    request = Txt2Img(width=1024, height=1024, hires=HiresFix(first_width=960, first_height=960))

    changed = apply_sets(request, ["width=512", "height=512", "hires.first_width=448", "hires.first_height=448"])

    assert changed.size == (512, 512)
    assert changed.hires == HiresFix(first_width=448, first_height=448)


def test_a_new_part_may_be_put_together_of_several_sets() -> None:
    request = Txt2Img(width=1024, height=1024)

    changed = apply_sets(request, ["steps=20", "hires.first_width=512", "hires.first_height=640"])
    named = apply_sets(request, ["controls[0].weight=0.4", "steps=7", 'controls=[{"model": "a"}]'])

    assert (changed.hires.first_width, changed.hires.first_height, changed.steps) == (512, 640, 20)
    assert (named.controls[0].model, named.controls[0].weight, named.steps) == ("a", 0.4, 7)


def test_what_does_not_fit_together_either_is_told_by_the_first() -> None:
    with pytest.raises(PayloadError, match=r"--set hires.first_width=512: hires.first_height: missing"):
        apply_sets(Txt2Img(width=1024, height=1024), ["hires.first_width=512", "hires.strength=3"])
