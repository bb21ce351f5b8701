"""Payload files: found by path or name, wrong ones refused with the file and the field."""

import json

import pytest

from sdclient.errors import PayloadError
from sdclient.schemas import Img2Img, Refiner, Txt2Img, load_request, payload_names, save_payload
from sdclient.schemas.payload import read_payload_file


@pytest.fixture
def write(tmp_path):
    def to_file(content, name="p.json"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return to_file


def test_a_request_and_its_overlays_are_loaded(write) -> None:
    path = write(
        {
            "kind": "txt2img",
            "about": "a test",
            "request": {"steps": 9, "refiner": {"model": "r", "switch_at": 0.7}},
            "drawthings": {"refiner": {"model": "r.ckpt"}, "native": {"sharpness": 2}},
        }
    )

    request = Txt2Img.load(path)

    assert request.steps == 9
    assert request.for_dialect("drawthings").refiner == Refiner(model="r.ckpt", switch_at=0.7)
    assert request.for_dialect("drawthings").native == {"drawthings": {"sharpness": 2}}
    assert request.for_dialect("a1111").refiner == Refiner(model="r", switch_at=0.7)


def test_a_path_may_be_text(write) -> None:
    assert Txt2Img.load(str(write({"request": {"steps": 3}}))).steps == 3


def test_a_payload_that_ships_is_found_by_its_name() -> None:
    assert "bake" in payload_names()
    assert Img2Img.load("bake").denoising_strength == 0.3


def test_a_file_of_that_name_in_the_working_folder_wins(write, tmp_path, monkeypatch) -> None:
    write({"request": {"steps": 3}}, "bake")
    monkeypatch.chdir(tmp_path)

    assert Txt2Img.load("bake").steps == 3


@pytest.mark.parametrize("name", payload_names())
def test_every_payload_that_ships_loads_as_what_it_says(name: str) -> None:
    request = load_request(name)

    assert request.kind == read_payload_file(name).kind
    assert read_payload_file(name).about
    assert {"drawthings", "a1111"} <= request.overlays.keys()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        pytest.param({"kind": "img2img", "request": {}}, Img2Img, id="said"),
        pytest.param({"request": {"denoising_strength": 0.3}}, Img2Img, id="by-a-field"),
        pytest.param({"request": {}, "a1111": {"resize_mode": 1}}, Img2Img, id="by-an-overlay"),
        pytest.param({"request": {"steps": 3}}, Txt2Img, id="else"),
    ],
)
def test_the_kind_is_found_out(write, content: dict, kind: type) -> None:
    assert type(load_request(write(content))) is kind


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param('{"request": {', "p.json: line 1, column 14: not JSON", id="cut-off"),
        pytest.param("[1]", "p.json: the whole must be a JSON object {…}, not list", id="list"),
        pytest.param('{"request": {"steps": NaN}}', "p.json: NaN is no JSON number", id="nan"),
        pytest.param('{"request": {"steps": 1, "steps": 2}}', "p.json: the key 'steps' is there twice", id="twice"),
        pytest.param("[" * 100_000, "p.json: not usable JSON", id="deep"),
        pytest.param({"request": {"stepss": 3}}, "p.json: stepss: unknown field; did you mean steps?", id="typo"),
        pytest.param({"request": {"steps": 999}}, "p.json: steps: Input should be less than", id="range"),
        pytest.param({"request": 7}, "p.json: request: must be an object", id="request-number"),
        pytest.param({"about": "x"}, "p.json: request: missing", id="no-request"),
        pytest.param({"request": {}, "about": 3}, "p.json: about: must be one line", id="about"),
        pytest.param({"request": {}, "kind": "video"}, 'p.json: kind: must be "txt2img" or "img2img"', id="kind"),
        pytest.param({"steps": 3, "request": {}}, 'p.json: steps: a request field; put it into "request"', id="flat"),
        pytest.param({"request": {}, "drawthing": {}}, "unknown key; did you mean drawthings?", id="overlay-name"),
        pytest.param({"request": {}, "a1111": 3}, "p.json: a1111: must be an object", id="overlay-number"),
        pytest.param({"request": {}, "a1111": {"stepss": 3}}, "p.json: a1111.stepss: unknown field", id="overlay"),
        pytest.param(
            {"request": {}, "a1111": {"refiner": {"switch_at": 7}}}, "p.json: a1111.refiner.switch_at:", id="nested"
        ),
        pytest.param({"request": {}, "a1111": {"native": 3}}, "p.json: a1111.native: must be an object", id="native"),
        pytest.param(
            {"request": {}, "a1111": {"native": {"a1111": {}}}}, "holds the server's own keys directly", id="twofold"
        ),
        pytest.param({"request": {}, "a1111": {"overlays": {}}}, "a1111.overlays: an overlay has none", id="nested-o"),
        pytest.param({"request": {"overlays": {}}}, 'p.json: overlays: put each beside "request"', id="overlays"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_file_and_field(write, content: object, message: str) -> None:
    with pytest.raises(PayloadError) as caught:
        Txt2Img.load(write(content))

    assert message in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_all_problems_of_a_file_are_said_at_once(write) -> None:
    path = write({"request": {"stepss": 1}, "a1111": {"cfg": 1}, "drawthings": {"seed": -9}})

    with pytest.raises(PayloadError) as caught:
        Txt2Img.load(path)

    assert len(str(caught.value).splitlines()) == 3


def test_a_payload_of_the_other_kind_is_refused() -> None:
    with pytest.raises(PayloadError, match=r"`sdclient img2img`, or in Python load it with Img2Img\.load"):
        Txt2Img.load("bake")


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(PayloadError, match=r"'bakee': no such file and no such name; did you mean bake\?.*known"):
        Txt2Img.load("bakee")


@pytest.mark.parametrize("text", ["x" * 5000, '{"request": {"prompt": "' + "x" * 5000 + '"}}', "a/" + "x" * 5000])
def test_a_text_that_no_file_can_be_called_is_no_payload(text: str) -> None:
    with pytest.raises(PayloadError, match="known by name: bake") as caught:
        Txt2Img.load(text)

    assert len(str(caught.value)) < 1000


def test_an_address_in_place_of_a_payload_is_told_as_one() -> None:
    with pytest.raises(
        PayloadError, match=r"^http://mac:7860: an address, and no payload; .* --url; known by name: bake"
    ):
        Txt2Img.load("http://mac:7860")


def test_a_missing_file_lists_what_there_is(tmp_path) -> None:
    with pytest.raises(PayloadError, match=r"no\.json: cannot be read: No such file.*known by name: bake"):
        Txt2Img.load(tmp_path / "no.json")


def test_a_file_in_another_encoding_is_refused(tmp_path) -> None:
    (tmp_path / "p.json").write_bytes('{"request": {"prompt": "é"}}'.encode("latin-1"))

    with pytest.raises(PayloadError, match="not UTF-8 text"):
        Txt2Img.load(tmp_path / "p.json")


def test_a_byte_order_mark_does_no_harm(tmp_path) -> None:
    (tmp_path / "p.json").write_bytes(b"\xef\xbb\xbf" + b'{"request": {"steps": 3}}')

    assert Txt2Img.load(tmp_path / "p.json").steps == 3


def test_images_are_found_beside_the_file(write, tmp_path, png, monkeypatch) -> None:
    (tmp_path / "in.png").write_bytes(png())
    path = write(
        {
            "request": {"init_image": "in.png", "controls": [{"model": "t", "image": "in.png"}]},
            "a1111": {"controls": [{"model": "t", "image": "in.png"}], "native": {"image": "left alone"}},
        }
    )
    monkeypatch.chdir("/")

    request = Img2Img.load(path)

    assert request.init_image == request.controls[0].image == png()
    assert request.for_dialect("a1111").controls[0].image == png()
    assert request.for_dialect("a1111").native["a1111"] == {"image": "left alone"}


def test_a_saved_payload_loads_as_the_same_request(tmp_path, png) -> None:
    request = Img2Img(
        init_image=png(), steps=3, loras=[{"model": "ä"}], overlays={"a1111": {"steps": 5, "native": {"eta": 0.5}}}
    )

    path = save_payload(request, tmp_path / "out.json")

    assert Img2Img.load(path) == request


def test_the_images_of_overlays_are_inside_what_other_machines_get(write, tmp_path, png) -> None:
    (tmp_path / "in.png").write_bytes(png())
    unit = {"controls": [{"model": "t", "image": "in.png"}], "native": {"image": "left alone"}}
    request = Img2Img.load(write({"request": {}, "a1111": unit}))
    (tmp_path / "in.png").unlink()

    path = save_payload(request, tmp_path / "out.json")

    assert str(tmp_path) not in path.read_text() + request.model_dump_json()
    assert Img2Img.load(path).for_dialect("a1111").controls[0].image == png()
    assert request.for_dialect("a1111").native["a1111"] == {"image": "left alone"}


def test_an_image_of_an_overlay_that_is_not_there_is_told_by_who_needs_it(tmp_path) -> None:
    gone = str(tmp_path / "gone.png")

    request = Txt2Img(overlays={"a1111": {"controls": [{"model": "t", "image": gone}]}})

    assert request.for_dialect("sdnext").controls == ()
    with pytest.raises(PayloadError, match="no such file"):
        request.for_dialect("a1111")
