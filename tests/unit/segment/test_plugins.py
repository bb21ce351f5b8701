from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sdclient.errors import ConfigurationError, SegmentationError
from sdclient.segment import Prompt, SegmentedObject, SegmentSettings, open_segmenter, segment_image
from sdclient.segment.plugins import find_plugin

EXAMPLE = Path(__file__).parents[3] / "examples" / "segmenter_plugin.py"


def install(folder: Path, name: str, target: str, source: str) -> None:
    """Lay a package down as pip would: a module, and metadata that names its entry point."""
    (folder / "my_dots.py").write_text(source)
    info = folder / "my_dots-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-dots\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[sdclient.segmenters]\n{name} = {target}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that Python finds packages in, for one test."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("my_dots", None)


def test_the_example_in_the_guide_is_found_by_its_name_and_cuts(site: Path, scene_rgb: np.ndarray) -> None:
    install(site, "bright", "my_dots:open_bright", EXAMPLE.read_text(encoding="utf-8"))
    scene_rgb = scene_rgb.copy()
    scene_rgb[10:20, 30:50] = 255
    settings = SegmentSettings(model="bright", options=("above=250",))

    segmenter = open_segmenter(settings=settings)
    found = segment_image(segmenter, scene_rgb, settings)

    assert (segmenter.name, segmenter.device) == ("bright", "cpu")
    assert [item.bbox_xywh for item in found] == [(30, 10, 20, 10)]


def test_an_option_that_a_plugin_does_not_understand_is_named(site: Path) -> None:
    install(site, "bright", "my_dots:open_bright", EXAMPLE.read_text(encoding="utf-8"))

    with pytest.raises(
        SegmentationError, match=r"invalid literal.*look at what was given to it, option above=abc, else"
    ):
        open_segmenter(settings=SegmentSettings(model="bright", options=("above=abc",)))


def test_the_example_is_about_twenty_lines_long() -> None:
    code = [line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if line.strip() and line[0] != "#"]

    assert len(code) <= 30


@pytest.mark.parametrize(
    ("source", "words"),
    [
        pytest.param("import no_such_package_at_all", "does not open: ModuleNotFoundError", id="import fails"),
        pytest.param("def open(settings):\n    raise ValueError('no dots')", "ValueError: no dots", id="raises"),
        pytest.param("def open(settings):\n    return 7", "lacks name, device or segment", id="no segmenter"),
        pytest.param("", "does not open: AttributeError", id="no such function"),
    ],
)
def test_a_plugin_that_does_not_work_is_named(site: Path, source: str, words: str) -> None:
    install(site, "dots", "my_dots:open", source)

    with pytest.raises(SegmentationError, match=words) as caught:
        open_segmenter("dots")

    assert "the segmenter dots (my_dots:open)" in str(caught.value)


def test_a_plugins_own_words_are_kept(site: Path) -> None:
    source = "from sdclient.errors import SegmentationError\ndef open(settings):\n    raise SegmentationError('mine')"
    install(site, "dots", "my_dots:open", source)

    with pytest.raises(SegmentationError, match=r"^mine$"):
        open_segmenter("dots")


def test_a_name_nobody_has_is_no_plugin() -> None:
    assert find_plugin("nobody") is None
    assert find_plugin("words") is not None


def test_a_segmenter_without_prompts_says_so(scene_rgb: np.ndarray) -> None:
    with pytest.raises(SegmentationError, match="classical takes no boxes and points"):
        segment_image(open_segmenter("classical"), scene_rgb, SegmentSettings(), [Prompt((0, 0, 5, 5))])


def test_options_are_looked_up_by_name() -> None:
    settings = SegmentSettings(model="bright", options=("above=250", "below"))

    assert (settings.option("above"), settings.option("below", "x"), settings.option("none", "x")) == ("250", "", "x")


def test_the_type_of_a_segmenter_is_checked_where_prompts_are_given() -> None:
    class Half:
        name, device = "half", "cpu"

        def segment(self, image_rgb: np.ndarray) -> list[SegmentedObject]:
            return [SegmentedObject.from_mask(image_rgb[..., 0] > 0, score=1)]

    with pytest.raises(SegmentationError, match="half takes no boxes"):
        segment_image(Half(), np.zeros((4, 4, 3), np.uint8), SegmentSettings(), [Prompt((0, 0, 2, 2))])


@pytest.mark.parametrize("takes_half", ["", "takes_half = False", "takes_half = True"], ids=["silent", "no", "yes"])
def test_half_precision_is_refused_with_a_plugin_that_does_not_say_it_can(site: Path, takes_half: str) -> None:
    source = f"""class Dots:
    name, device = "dots", "cpu"
    {takes_half}
    def segment(self, image_rgb):
        return []
def open(settings):
    return Dots()
"""
    install(site, "dots", "my_dots:open", source)

    assert open_segmenter("dots").name == "dots"
    if "True" in takes_half:
        assert open_segmenter(settings=SegmentSettings(half=True, model="dots")).name == "dots"
    else:
        with pytest.raises(
            ConfigurationError, match=r"dots \(my_dots:open\) does not say that it takes half precision: leave it out"
        ):
            open_segmenter(settings=SegmentSettings(half=True, model="dots"))


def test_looking_for_plugins_does_not_import_them(site: Path) -> None:
    install(site, "dots", "my_dots:open", "raise SystemExit('imported')")

    assert find_plugin("dots") is not None


@pytest.mark.parametrize("words", [("",), ("a=2",), ("a=x",), ["a"]], ids=["empty", "above 1", "no number", "a list"])
def test_words_that_make_no_sense_are_refused(words: object) -> None:
    with pytest.raises(ConfigurationError, match="segmentation"):
        SegmentSettings(words=words)
