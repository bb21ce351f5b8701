"""Every entry of every table of facts: a neutral field, a native key, or a refusal that is documented."""

from __future__ import annotations

import functools
import io
from collections import Counter
from collections.abc import Iterable

import pytest
from PIL import Image

from sdclient.dialects import DIALECTS, ServerFacts
from sdclient.dialects.facts import Key, KeyTable, drawthings_keys, fact_table
from sdclient.dialects.matrix import cell, samples
from sdclient.dialects.tables import adetailer_keys, body_keys, control_keys, scripts, small_samplers
from sdclient.errors import PayloadError
from sdclient.schemas import ADetailer, ControlNet, Img2Img, Lora, Txt2Img
from tests.unit.dialects.unused import UNUSED

WEB = ("a1111", "forge", "sdnext", "sdcpp", "koboldcpp")


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (512, 512)).save(file, "PNG")
    return file.getvalue()


IMAGE = png()


@functools.cache
def neutral_keys(dialect: str) -> frozenset[str]:
    """The wire keys that some neutral field becomes, found by compiling."""
    keys = {key.rsplit(": ", 1)[-1] for sample in samples() for key in cell(sample, DIALECTS[dialect]).keys}
    # Whatever is inside them came from a field, too.
    return frozenset({*keys, *(key.partition(".")[0] for key in keys), "init_images"})


def value_of(key: Key) -> object:
    """A value that a key takes, and that its server would not take by itself."""
    if key.labels:
        return key.labels[-1]
    if "int" in key.types:
        return int(key.minimum or 1)
    if "float" in key.types:
        return float(key.minimum or 0.5)
    kinds = {"bool": True, "array": [], "object": {}, "string": "x"}
    return next((value for kind, value in kinds.items() if kind in key.types), "x")


def compiled(dialect: str, kind: str, native: dict[str, object]) -> dict[str, object]:
    cls = Txt2Img if kind == "txt2img" else Img2Img
    image = {} if kind == "txt2img" else {"init_image": IMAGE}
    request = cls(prompt="x", model="m", native={dialect: native}, **image)
    return dict(DIALECTS[dialect].compile(request, ServerFacts(dialect)).call.body)


def becomes(dialect: str, kind: str, name: str, value: object) -> str:
    if name in neutral_keys(dialect):
        return "neutral"
    try:
        body = compiled(dialect, kind, {name: value})
    except PayloadError as exc:
        is_documented = "cannot be set: " in str(exc) or "refuses every request" in str(exc)
        return "refused" if is_documented else f"unknown: {exc}"
    assert body[name] == value
    return "native"


def note(table: str, names: Iterable[str]) -> dict[str, int]:
    """Count what became of a table's entries, and tell (shown with ``pytest -rP``)."""
    found = dict(Counter(names))
    print(f"{table}: {sum(found.values())} entries: {found}")  # noqa: T201 - pytest shows it when asked
    return found


BODIES = {
    ("a1111", "txt2img"): {"neutral": 29, "native": 22, "refused": 4},
    ("a1111", "img2img"): {"neutral": 33, "native": 19, "refused": 5},
    ("forge", "txt2img"): {"neutral": 33, "native": 22, "refused": 4},
    ("forge", "img2img"): {"neutral": 35, "native": 19, "refused": 5},
    ("sdnext", "txt2img"): {"neutral": 28, "native": 39, "refused": 3},
    ("sdnext", "img2img"): {"neutral": 31, "native": 38, "refused": 4},
    ("sdcpp", "txt2img"): {"neutral": 21, "native": 2},
    ("sdcpp", "img2img"): {"neutral": 21, "native": 2},
    ("koboldcpp", "txt2img"): {"neutral": 15, "native": 4},
    ("koboldcpp", "img2img"): {"neutral": 15, "native": 4},
}


@pytest.mark.parametrize("dialect", WEB)
@pytest.mark.parametrize("kind", ["txt2img", "img2img"])
def test_every_key_of_a_body_has_its_place(dialect: str, kind: str) -> None:
    table = body_keys(dialect, kind)

    found = note(f"{dialect} {kind}", (becomes(dialect, kind, name, value_of(key)) for name, key in table.items()))

    assert sum(found.values()) == len(table)
    assert found == BODIES[dialect, kind]


def test_every_key_of_draw_things_has_its_place() -> None:
    table = drawthings_keys()
    extra = [entry["key"] for entry in fact_table("drawthings")["extra_keys"]]

    found = note("drawthings", (becomes("drawthings", "img2img", name, value_of(key)) for name, key in table.items()))

    assert found == {"neutral": 41, "native": 38, "refused": 4}
    assert neutral_keys("drawthings").issuperset(extra)


@pytest.mark.parametrize("name", fact_table("drawthings")["keys_that_look_right_but_are_rejected"]["keys"])
def test_a_key_that_draw_things_rejects_is_never_sent(name: str) -> None:
    assert name not in neutral_keys("drawthings")
    with pytest.raises(PayloadError, match="unknown key"):
        compiled("drawthings", "txt2img", {name: 1})


@pytest.mark.parametrize("name", sorted(KeyTable.__iter__(drawthings_keys())))
def test_every_alias_of_draw_things_is_taken_for_its_key(name: str) -> None:
    key = drawthings_keys()[name]

    for alias in key.aliases:
        body = compiled("drawthings", "img2img", {alias: value_of(key)})
        assert body[name] == value_of(key)
        assert alias not in body


def test_every_element_field_of_draw_things_is_sent() -> None:
    elements = fact_table("drawthings")["element_fields"]
    request = Img2Img(model="m", init_image=IMAGE, controls=[ControlNet(model="c")], loras=[Lora(model="l")])

    body = DIALECTS["drawthings"].compile(request, ServerFacts("drawthings")).call.body

    for kind, number in (("loras", 3), ("controls", 10)):
        names = {field["name"] for field in elements[kind]["fields"]}
        assert note(f"drawthings {kind}", ["sent"] * len(names)) == {"sent": number}
        assert body[kind][0].keys() == names


UNIT = ControlNet(
    model="m",
    image=IMAGE,
    mask=IMAGE,
    resize_mode="Just Resize",
    processor_res=512,
    threshold_a=2.0,
    threshold_b=1.0,
    pixel_perfect=False,
    hr_option="Both",
    union_control_type="Tile",
)


@pytest.mark.parametrize(
    ("dialect", "expected"), [("a1111", {"neutral": 17, "native": 17}), ("forge", {"neutral": 16, "native": 9})]
)
def test_every_key_of_a_controlnet_unit_has_its_place(dialect: str, expected: dict[str, int]) -> None:
    unit = DIALECTS[dialect].compile(Img2Img(init_image=IMAGE, controls=[UNIT]), ServerFacts(dialect)).call.body
    sent = unit["alwayson_scripts"]["ControlNet"]["args"][0].keys()

    def place(name: str, key: Key) -> str:
        if name in sent:
            return "neutral"
        native = {"alwayson_scripts": {"ControlNet": {"args": [{"enabled": True, name: value_of(key)}]}}}
        assert compiled(dialect, "img2img", native)["alwayson_scripts"] == native["alwayson_scripts"]
        return "native"

    assert note(f"{dialect} unit", (place(name, key) for name, key in control_keys(dialect).items())) == expected


def test_every_key_of_an_adetailer_unit_has_its_place() -> None:
    fields = {f"ad_{name}" for name in ADetailer.model_fields}

    def place(name: str, key: Key) -> str:
        native = {"alwayson_scripts": {"ADetailer": {"args": [True, False, {name: value_of(key)}]}}}
        assert compiled("a1111", "txt2img", native)["alwayson_scripts"] == native["alwayson_scripts"]
        # A switch follows from the field that it is for.
        return "neutral" if name in fields else "switch" if name.startswith("ad_use_") else "native"

    found = note("adetailer unit", (place(name, key) for name, key in adetailer_keys().items()))

    assert found == {"neutral": 33, "switch": 8, "native": 1}


SCRIPT_ARGS = {
    ("a1111", "tiled diffusion"): 21,
    ("a1111", "tiled vae"): 7,
    ("a1111", "ultimate sd upscale"): 18,
    ("a1111", "sd upscale"): 4,
    ("forge", "multidiffusion integrated"): 6,
    ("forge", "never oom integrated"): 2,
    ("forge", "ultimate sd upscale"): 18,
    ("forge", "sd upscale"): 4,
    ("sdnext", "sd ultimate upscale"): 15,
}


@pytest.mark.parametrize(
    ("dialect", "title"), [(name, title) for name in ("a1111", "forge", "sdnext") for title in scripts(name)]
)
def test_every_positional_argument_is_a_native_key_with_its_range(dialect: str, title: str) -> None:
    script = scripts(dialect)[title]
    args = [value_of(key) for key in script.args.values()]
    native = (
        {"alwayson_scripts": {title: {"args": args}}}
        if script.is_always_on
        else {"script_name": title, "script_args": args}
    )

    body = compiled(dialect, "img2img", native)

    assert note(f"{dialect} {title}", ["native"] * len(args)) == {"native": SCRIPT_ARGS[dialect, title]}
    assert {name: body[name] for name in native} == native
    for place, key in enumerate(script.args.values()):
        if key.maximum is None:
            continue
        wrong = [*args[:place], key.maximum + 1, *args[place + 1 :]]
        bad = (
            {"alwayson_scripts": {title: {"args": wrong}}} if script.is_always_on else {**native, "script_args": wrong}
        )
        with pytest.raises(PayloadError, match=key.name):
            compiled(dialect, "img2img", bad)


def numbers(table: KeyTable) -> dict[str, Key]:
    return {name: key for name, key in table.items() if key.types & {"int", "float"} and "enum" not in key.types}


TABLES = {
    **{(name, kind): body_keys(name, kind) for name in WEB for kind in ("txt2img", "img2img")},
    ("drawthings", ""): drawthings_keys(),
    ("controlnet", ""): control_keys("a1111"),
    ("forge_controlnet", ""): control_keys("forge"),
    ("adetailer", ""): adetailer_keys(),
    **{("scripts", title): script.args for name in ("a1111", "forge") for title, script in scripts(name).items()},
}


@pytest.mark.parametrize(("name", "kind"), list(TABLES))
def test_every_number_has_a_range_or_is_listed_without_one(name: str, kind: str) -> None:
    keys = numbers(TABLES[name, kind])
    open_ended = {key for key, one in keys.items() if one.minimum is None and one.maximum is None}

    note(f"{name} {kind} numbers", ("open" if key in open_ended else "bounded" for key in keys))

    assert open_ended <= set(fact_table("ranges")["unknown"].get(name, []))


@pytest.mark.parametrize(("name", "kind"), list(TABLES))
def test_what_is_out_of_a_range_is_wrong_and_its_ends_are_right(name: str, kind: str) -> None:
    for key in numbers(TABLES[name, kind]).values():
        for end, outside in ((key.minimum, -1), (key.maximum, 1)):
            if end is None:
                continue
            assert key.problem(int(end) if "float" not in key.types else end) is None
            assert key.bounds == key.problem(int(end) + outside)


@pytest.mark.parametrize(
    ("dialect", "native", "words"),
    [
        ("a1111", {"s_churn": -1}, "s_churn: must be at least 0, not -1"),
        ("forge", {"hr_cfg": -0.5}, "hr_cfg: must be at least 0"),
        ("sdnext", {"guidance_stop": 2}, "guidance_stop: must be between 0 and 1"),
        ("sdcpp", {"hr_steps": -1}, "hr_steps: must be at least 0"),
        ("koboldcpp", {"shifted_timestep": 1001}, "shifted_timestep: must be between 0 and 1000"),
        ("drawthings", {"sharpness": -1}, "sharpness: must be between"),
    ],
)
def test_a_native_value_out_of_range_is_refused(dialect: str, native: dict[str, object], words: str) -> None:
    with pytest.raises(PayloadError, match=words):
        compiled(dialect, "txt2img", native)


OPTIONS = {
    "a1111": fact_table("a1111")["override_settings"]["common_keys"],
    "forge": fact_table("others")["forge"]["override_settings_added"],
}


@pytest.mark.parametrize("dialect", OPTIONS)
def test_every_option_is_a_neutral_field_or_a_native_key(dialect: str) -> None:
    neutral = {key.partition(".")[2] for key in neutral_keys(dialect) if key.startswith("override_settings.")}

    for name in OPTIONS[dialect]:
        if name not in neutral:
            assert compiled(dialect, "txt2img", {"override_settings": {name: 1}})["override_settings"][name] == 1

    found = note(f"{dialect} options", ("neutral" if name in neutral else "native" for name in OPTIONS[dialect]))
    assert found == ({"neutral": 3, "native": 4} if dialect == "a1111" else {"neutral": 1, "native": 5})


@pytest.mark.parametrize("name", fact_table("others")["sdnext"]["request_fields_missing"])
def test_a_key_that_sdnext_lacks_is_never_sent(name: str) -> None:
    for key in name.partition(" (")[0].replace(" / ", ",").split(","):
        assert key.strip() not in neutral_keys("sdnext")
        with pytest.raises(PayloadError, match=r"unknown key|the client sets it"):
            compiled("sdnext", "txt2img", {key.strip(): 1})


def test_every_key_of_the_extras_is_used_or_left_out_for_a_reason() -> None:
    [row] = [row for row in fact_table("a1111")["endpoints"] if row["path"] == "/sdapi/v1/extra-single-image"]
    names = [field["name"] for field in row["request"]["fields"]]
    used = neutral_keys("a1111") & {"resize_mode", "upscaling_resize", "upscaler_1"}

    assert {name for name in names if name not in used} == UNUSED["extra-single-image"].keys()
    assert note("extras", ("neutral" if n in used else "unused" for n in names)) == {"neutral": 3, "unused": 11}


def test_every_route_is_called_or_left_alone_for_a_reason() -> None:
    dialect = DIALECTS["a1111"]
    called = {route.path for route in dialect.routes.values()} | {"/internal/progress"}
    paths = {row["path"] for row in fact_table("a1111")["endpoints"]}

    assert paths - called == UNUSED["a1111 endpoints"].keys()
    assert called - paths == {"/controlnet/model_list", "/controlnet/module_list"}
    note("a1111 endpoints", ("called" if path in called else "unused" for path in paths))


def test_every_route_of_controlnet_is_called_or_left_alone_for_a_reason() -> None:
    called = {route.path for route in DIALECTS["a1111"].routes.values()}
    paths = {row["path"] for row in fact_table("extensions")["controlnet"]["endpoints"]}

    assert paths - called == UNUSED["controlnet endpoints"].keys()


def test_what_a1111_takes_from_nobody_is_unknown_here() -> None:
    names = fact_table("a1111")["requests"]["excluded"]["fields"]

    assert set(names) == UNUSED["a1111 excluded"].keys()
    for name in names:
        with pytest.raises(PayloadError, match="unknown key"):
            compiled("a1111", "txt2img", {name: 1})


@pytest.mark.parametrize(
    ("dialect", "table"),
    [("sdcpp", "stable_diffusion_cpp"), ("koboldcpp", "koboldcpp")],
)
def test_the_small_servers_have_the_routes_that_are_called(dialect: str, table: str) -> None:
    paths = {
        path.partition(" ")[0]
        for paths in list(fact_table("others")[table]["endpoints"].values())[:2]
        for path in paths
    }
    called = {route.path for route in DIALECTS[dialect].routes.values()}

    assert called <= paths
    assert paths - called <= {"/sdapi/v1/interrogate"}


@pytest.mark.parametrize(
    ("dialect", "names"),
    [
        ("a1111", fact_table("a1111")["samplers"]["names_1_8"]),
        ("forge", fact_table("others")["forge"]["samplers"]["names"]),
        ("sdnext", fact_table("others")["sdnext"]["samplers"]["names"]),
        ("sdcpp", small_samplers("sdcpp")),
        ("koboldcpp", small_samplers("koboldcpp")),
        ("drawthings", drawthings_keys()["sampler"].labels),
    ],
)
def test_every_sampler_of_a_server_is_sent_as_it_is(dialect: str, names: list[str]) -> None:
    facts = ServerFacts(dialect, schedulers=() if dialect == "a1111" else None, samplers=tuple(names))
    key = "sampler" if dialect == "drawthings" else "sampler_name"

    for name in names:
        found = DIALECTS[dialect].compile(Txt2Img(prompt="x", model="m", seed=1, sampler_name=name), facts)
        assert found.call.body[key] == name
        assert not [loss for loss in found.losses if loss.field in ("sampler_name", "scheduler")]
    note(f"{dialect} samplers", ["sent"] * len(names))


def test_every_name_that_sdcpp_takes_for_a_sampler_is_understood() -> None:
    for name in fact_table("others")["stable_diffusion_cpp"]["accepted_a1111_names"]:
        if name.startswith("k_") or name.endswith("GPU"):
            continue
        found = DIALECTS["sdcpp"].compile(Txt2Img(prompt="x", sampler_name=name), ServerFacts("sdcpp"))
        assert found.call.body["sampler_name"] in small_samplers("sdcpp")
        assert not [loss for loss in found.losses if loss.field == "sampler_name"]


@pytest.mark.parametrize(
    ("dialect", "names"),
    [
        ("a1111", fact_table("a1111")["samplers"]["schedulers"]),
        ("a1111", fact_table("a1111")["samplers"]["scheduler_labels"]),
        ("forge", fact_table("others")["forge"]["samplers"]["schedulers"]),
        ("sdcpp", fact_table("others")["stable_diffusion_cpp"]["scheduler_names"]),
    ],
)
def test_every_schedule_of_a_server_is_sent(dialect: str, names: list[str]) -> None:
    facts = ServerFacts(dialect, schedulers=tuple(names))

    for name in names:
        request = Txt2Img(prompt="x", model="m", sampler_name="Euler", scheduler=name)
        found = DIALECTS[dialect].compile(request, facts)
        assert not [loss for loss in found.losses if loss.field == "scheduler" and loss.severity == "error"]
