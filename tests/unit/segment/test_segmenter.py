from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from segment_anything.modeling import Sam

import sdclient.segment
from sdclient.errors import MissingExtraError, SegmentationError
from sdclient.segment import SamSegmenter, SegmentSettings, open_segmenter, segment_image
from sdclient.segment.doors import _require
from sdclient.segment.sam import choose_device
from sdclient.segment.weights import KNOWN_WEIGHTS, find_checkpoint, load_sam, models_folder


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_classical_segmenter_opens_without_weights_and_is_not_called_sam(scene_rgb: np.ndarray) -> None:
    segmenter = open_segmenter("classical")

    assert (segmenter.name, segmenter.device) == ("classical", "cpu")
    assert len(segmenter.segment(scene_rgb)) == 3


def test_settings_choose_the_model_and_the_objects(scene_rgb: np.ndarray) -> None:
    settings = SegmentSettings(model="classical", top_n=2)

    found = segment_image(open_segmenter(settings=settings), scene_rgb, settings)

    assert len(found) == 2


def test_the_classical_segmenter_runs_on_the_cpu_only() -> None:
    with pytest.raises(SegmentationError, match="runs on the cpu"):
        open_segmenter("classical", device="cuda")


def test_sam_gives_objects_largest_first_on_the_device_it_names(tiny_sam: Sam, scene_rgb: np.ndarray) -> None:
    options = {"points_per_side": 4, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 0.99}

    segmenter = SamSegmenter("tiny", tiny_sam, device="cpu", **options)
    found = segmenter.segment(scene_rgb)

    assert (segmenter.name, segmenter.device) == ("tiny", "cpu")
    assert found
    assert [item.area_px for item in found] == sorted((item.area_px for item in found), reverse=True)
    assert all(item.runs.size_hw == scene_rgb.shape[:2] for item in found)


def test_the_best_device_is_taken_when_none_is_named() -> None:
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"

    assert choose_device(None) == expected
    assert choose_device("cpu") == "cpu"


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "cpu:1", "mps:0", "cuda:x", ""])
def test_a_device_this_machine_does_not_have_is_refused(device: str) -> None:
    with pytest.raises(SegmentationError, match="has no device"):
        choose_device(device)


def test_missing_weights_say_which_file_goes_where(tmp_path: Path) -> None:
    with pytest.raises(SegmentationError) as caught:
        open_segmenter("vit_b", models_folder=tmp_path)

    message = str(caught.value)
    assert "sam_vit_b_01ec64.pth" in message
    assert "ec2df6273261" in message
    assert str(tmp_path) in message


def test_a_published_name_with_other_content_is_refused_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / KNOWN_WEIGHTS["vit_l"].file_name).write_bytes(b"something else")

    with pytest.raises(
        SegmentationError, match=r"is not the published .*: remove it, and `sdclient segment` fetches it"
    ):
        find_checkpoint("vit_l", tmp_path)


def test_a_checkpoint_is_found_by_path_and_by_its_name_in_the_models_folder(tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    file.write_bytes(b"x")

    assert find_checkpoint(str(file), tmp_path / "elsewhere") == file
    assert find_checkpoint("mine.pth", tmp_path) == file
    assert find_checkpoint("/on/another/machine/mine.pth", tmp_path) == file


def test_a_model_that_is_nowhere_is_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(SegmentationError, match="no such file"):
        open_segmenter("vit_x", models_folder=tmp_path)
    with pytest.raises(SegmentationError, match="it is a folder"):
        open_segmenter(str(tmp_path), models_folder=tmp_path)


def test_the_published_weights_are_kept_in_the_users_cache() -> None:
    assert models_folder().name == "models"
    assert "sdclient" in models_folder().parts
    assert KNOWN_WEIGHTS["vit_h"].url.endswith("/sam_vit_h_4b8939.pth")


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("code ran while weights were read",))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param({"weights": torch.zeros(2)}, "it has no image_encoder.pos_embed", id="another model"),
        pytest.param({"image_encoder.pos_embed": torch.zeros(1, 64, 64, 99)}, "99 wide", id="another width"),
        pytest.param([torch.zeros(2)], "no plain table", id="a list"),
        pytest.param({"epoch": 3}, "no plain table", id="a table of numbers"),
        pytest.param({}, "no plain table", id="empty"),
        pytest.param({"image_encoder.pos_embed": Bomb()}, "program code", id="code"),
    ],
)
def test_a_file_that_holds_something_else_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: object, words: str
) -> None:
    path = tmp_path / "weights.pth"
    torch.save(content, path)

    with pytest.raises(SegmentationError, match=words):
        load_sam(path)

    assert capfd.readouterr().out == ""


def test_a_cut_off_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"image_encoder.pos_embed": torch.zeros(1, 64, 64, 768)}, path)
    path.write_bytes(path.read_bytes()[:-5_000])

    with pytest.raises(
        SegmentationError,
        match=r"weights\.pth cannot be read as weights: [^.]*: download it again, or give another file$",
    ):
        load_sam(path)


@pytest.mark.parametrize("content", [b"hello", b"", b"\x80", b"<html>", b"{}", b"0 1\n"])
def test_a_file_of_another_kind_is_refused_in_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)

    with pytest.raises(SegmentationError) as raised:
        load_sam(path)

    said = str(raised.value).removeprefix(f"{path} ").split(": ")
    assert [part for part in said if " " not in part] == []


def test_a_checkpoint_with_a_flipped_bit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"image_encoder.pos_embed": torch.ones(1, 64, 64, 768)}, path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    with pytest.raises(
        SegmentationError, match=r"weights\.pth is damaged: \S*data/0 in it does not match its checksum"
    ):
        open_segmenter(str(path), device="cpu")


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc how much memory there is to be left")
def test_too_little_memory_for_the_weights_is_not_taken_for_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"image_encoder.pos_embed": torch.zeros(60_000_000)}, path)
    code = (
        "import pathlib, pickle, resource, segment_anything, torch\n"
        "from sdclient.segment.weights import load_sam\n"
        "pages = int(pathlib.Path('/proc/self/statm').read_text().split()[0])\n"
        "resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 100_000_000,) * 2)\n"
        f"load_sam(pathlib.Path({str(path)!r}))\n"
    )

    ended = run_python(code)

    assert "weights.pth: too little memory to load it: close other programs, or take a smaller model" in ended.stderr


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_file_of_another_kind_of_pickle_is_refused_without_warnings(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, protocol: int
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(print, protocol=protocol))

    with pytest.raises(SegmentationError, match="holds program code, which is never run"):
        load_sam(path)

    assert not recwarn.list


@pytest.mark.parametrize("data", [pytest.param(b"", id="empty"), pytest.param(b"<html>404</html>", id="a web page")])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(data)

    with pytest.raises(SegmentationError, match=r"weights\.pth"):
        load_sam(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SegmentationError, match="there is no file"):
        load_sam(tmp_path / "weights.pth")


def test_weights_of_another_model_type_are_named(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"image_encoder.pos_embed": torch.zeros(1, 64, 64, 1024)}, path)

    with pytest.raises(SegmentationError, match="holds weights of vit_l, not of vit_b"):
        load_sam(path, expected_type="vit_b")


def test_weights_with_missing_parts_do_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"image_encoder.pos_embed": torch.zeros(1, 64, 64, 768)}, path)

    with pytest.raises(
        SegmentationError, match=r"does not fit vit_b: Missing key\(s\) in state_dict: .*: it is damaged"
    ):
        load_sam(path)


@pytest.mark.slow
def test_a_real_size_checkpoint_loads_by_its_shapes_and_segments(tmp_path: Path, scene_rgb: np.ndarray) -> None:
    from segment_anything import SamAutomaticMaskGenerator, sam_model_registry

    torch.manual_seed(0)
    sam = sam_model_registry["vit_b"](checkpoint=None)
    torch.save(sam.state_dict(), tmp_path / "mine.pth")
    settings = SegmentSettings(points_per_side=3, pred_iou_thresh=0.0, stability_score_thresh=0.0)
    expected = SamAutomaticMaskGenerator(sam, **settings.sam_options, box_nms_thresh=0.7).generate(scene_rgb)

    segmenter = open_segmenter("mine.pth", device="cpu", settings=settings, models_folder=tmp_path)
    found = segmenter.segment(scene_rgb)

    assert segmenter.name == "vit_b"
    assert sorted(item.area_px for item in found) == sorted(record["area"] for record in expected if record["area"])
    assert found


@pytest.mark.slow
def test_half_precision_of_a_real_size_model_stays_within_its_bound(tmp_path: Path, scene_rgb: np.ndarray) -> None:
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    torch.save(sam_model_registry["vit_b"](checkpoint=None).state_dict(), tmp_path / "mine.pth")
    settings = SegmentSettings(
        model=str(tmp_path / "mine.pth"), half=True, points_per_side=2, pred_iou_thresh=0.0, stability_score_thresh=0.0
    )

    segmenter = open_segmenter(device="cpu", settings=settings)
    found = segmenter.segment(scene_rgb)

    assert isinstance(segmenter, SamSegmenter)
    (remark,) = segmenter.remarks
    assert remark.startswith(
        "vit_b: half precision (bfloat16) is used, for it agrees with float32: mean IoU of masks 0.99"
    )
    assert found


def test_importing_the_package_is_light() -> None:
    heavy = ("torch", "cv2", "PIL", "segment_anything", "torchvision", "pandas", "requests")

    result = run_python(f"import sys, sdclient.segment; print([name for name in {heavy} if name in sys.modules])")

    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize("package", ["torch", "torchvision", "segment_anything"])
def test_without_its_extra_sam_says_how_to_install_it(package: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "from sdclient.errors import MissingExtraError\n"
        "from sdclient.segment.doors import require_segment_anything\n"
        "try:\n    require_segment_anything()\nexcept MissingExtraError as exc:\n    print(exc)"
    )

    result = run_python(code)

    assert package in result.stdout
    assert "pip install 'sdclient[sam]'" in result.stdout


def test_a_door_to_a_missing_package_names_the_package_and_the_hint() -> None:
    with pytest.raises(MissingExtraError, match=r"cutting needs no_such_package: pip install it"):
        _require("no_such_package.part", "cutting", "pip install it")


def test_a_package_that_is_there_and_does_not_load_keeps_its_own_words(tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from sdclient.errors import MissingExtraError\n"
        "from sdclient.segment.doors import require_cv2\n"
        "try:\n    require_cv2()\nexcept MissingExtraError as exc:\n    print(exc)"
    )

    result = run_python(code)

    assert "libGL.so.1" in result.stdout
    assert issubclass(MissingExtraError, ImportError)


def test_exports_are_sorted_and_all_there() -> None:
    exported = sdclient.segment.__all__

    assert list(exported) == sorted(exported)
    assert all(getattr(sdclient.segment, name) is not None for name in exported)
    assert set(exported) <= set(dir(sdclient.segment))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = sdclient.segment.no_such_name
