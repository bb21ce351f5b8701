"""Cutting out by words, with a detector and a mask model built from their configurations, small and seeded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sdclient.errors import SegmentationError
from sdclient.segment import SegmentSettings, WordSegmenter, open_segmenter
from sdclient.segment.words import _smooth, find_word_models, parse_word
from tests.conftest import CommandLine

# transformers warns of its own plans.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "person", "hair", "cap", "?"]


def save_detector(folder: Path) -> None:
    from transformers import (
        BertConfig,
        BertTokenizer,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
    text = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    backbone = SwinConfig(
        image_size=64,
        patch_size=4,
        embed_dim=16,
        depths=[1, 1, 1, 1],
        num_heads=[1, 2, 2, 4],
        window_size=2,
        out_features=["stage2", "stage3", "stage4"],
    )
    config = GroundingDinoConfig(
        backbone_config=backbone,
        text_config=text.to_dict(),
        num_queries=6,
        encoder_layers=1,
        decoder_layers=2,
        d_model=32,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        max_text_len=16,
    )
    GroundingDinoForObjectDetection(config).save_pretrained(folder)
    reader = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    GroundingDinoProcessor(reader, BertTokenizer(str(folder / "vocab.txt"))).save_pretrained(folder)


def save_masker(folder: Path) -> None:
    from transformers import (
        SamConfig,
        SamImageProcessor,
        SamMaskDecoderConfig,
        SamModel,
        SamProcessor,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )

    vision = SamVisionConfig(
        hidden_size=32,
        output_channels=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=128,
        patch_size=16,
        window_size=2,
        global_attn_indexes=[0],
        num_pos_feats=16,
        mlp_dim=32,
    )
    prompts = SamPromptEncoderConfig(hidden_size=32, image_size=128, patch_size=16, mask_input_channels=4)
    decoder = SamMaskDecoderConfig(
        hidden_size=32, mlp_dim=32, num_hidden_layers=1, num_attention_heads=2, iou_head_hidden_dim=32
    )
    config = SamConfig(
        vision_config=vision.to_dict(), prompt_encoder_config=prompts.to_dict(), mask_decoder_config=decoder.to_dict()
    )
    SamModel(config).save_pretrained(folder)
    reader = SamImageProcessor(
        size={"longest_edge": 128},
        pad_size={"height": 128, "width": 128},
        mask_size={"longest_edge": 32},
        mask_pad_size={"height": 32, "width": 32},
    )
    SamProcessor(reader).save_pretrained(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both models, each in one of its own."""
    folder = tmp_path_factory.mktemp("words") / "models"
    torch.manual_seed(0)
    save_detector(folder / "grounding-dino-tiny")
    save_masker(folder / "sam-tiny")
    return folder


@pytest.fixture
def noise_rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (90, 120, 3)).astype(np.uint8)


def opened(models: Path, *words: str) -> WordSegmenter:
    segmenter = open_segmenter(settings=SegmentSettings(model=str(models), device="cpu", words=words))
    assert isinstance(segmenter, WordSegmenter)
    return segmenter


def test_each_word_gives_one_object_with_its_name(models: Path, noise_rgb: np.ndarray) -> None:
    segmenter = opened(models, "person", "Hair=0.01")

    found = segmenter.segment(noise_rgb)

    assert (segmenter.name, segmenter.device) == ("words", "cpu")
    assert [item.label for item in found] == ["person", "Hair"]
    assert all(item.runs.size_hw == (90, 120) and 0 < item.score <= 1 for item in found)


def test_the_command_cuts_words_out_by_their_names(cli: CommandLine, models: Path, noise_rgb: np.ndarray) -> None:
    (cli.folder / "IN").mkdir()
    Image.fromarray(noise_rgb).save(cli.folder / "IN" / "fox.png")

    # What such models outline may be the whole image.
    words = ("--words", "person=0.01,hair=0.01", "--model", str(models), "--device", "cpu", "--max-area", "1")
    ended = cli("segment", "IN", "OUT", *words)

    assert ended.code == 0, ended.stderr
    made = {path.name for path in (cli.folder / "OUT" / "fox").iterdir()}
    assert {name.partition("_")[2][3:] for name in made} == {"person.png", "hair.png", ""}


def test_a_word_that_names_nothing_gives_no_object(models: Path, noise_rgb: np.ndarray) -> None:
    assert opened(models, "person=1.0").segment(noise_rgb) == []


def test_boxes_are_those_of_transformers_own_post_processing(models: Path, noise_rgb: np.ndarray) -> None:
    segmenter = opened(models, "hair=0.5")
    read = segmenter._read_words
    inputs = read(images=noise_rgb, text="hair.", return_tensors="pt")
    with torch.no_grad():
        output = segmenter._detector(**inputs)
        expected = read.post_process_grounded_object_detection(
            output, inputs["input_ids"], threshold=0.5, text_threshold=0.0, target_sizes=[(90, 120)]
        )[0]

        boxes, scores = segmenter._boxes(noise_rgb, parse_word("hair=0.5"))

    limits = np.array([120, 90, 120, 90])
    assert len(boxes) > 0
    assert np.allclose(boxes, np.clip(expected["boxes"].numpy(), 0, limits), atol=1e-3)
    assert np.allclose(scores, expected["scores"].numpy(), atol=1e-5)


def test_the_same_image_gives_the_same_objects(models: Path, noise_rgb: np.ndarray) -> None:
    segmenter = opened(models, "person", "cap")

    assert segmenter.segment(noise_rgb) == segmenter.segment(noise_rgb)


def test_a_model_is_known_by_its_own_config_whatever_its_folder_is_called(models: Path) -> None:
    assert find_word_models(str(models)) == (models / "grounding-dino-tiny", models / "sam-tiny")
    assert find_word_models("models", models.parent) == (models / "grounding-dino-tiny", models / "sam-tiny")


@pytest.mark.parametrize(
    ("kept", "missing"), [("grounding-dino-tiny", "mask model"), ("sam-tiny", "detector"), ("none", "detector")]
)
def test_a_missing_model_is_named_with_what_to_download(models: Path, tmp_path: Path, kept: str, missing: str) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "config.json").write_text("[]")
    if kept != "none":
        (tmp_path / kept).mkdir()
        (tmp_path / kept / "config.json").write_bytes((models / kept / "config.json").read_bytes())

    with pytest.raises(SegmentationError, match=rf"no {missing} .*hf download"):
        find_word_models(str(tmp_path))


@pytest.mark.parametrize("model", ["classical", "vit_b"])
def test_a_model_that_knows_no_words_is_refused_without_naming_downloads_for_it(model: str) -> None:
    with pytest.raises(SegmentationError, match=f"takes the folder of its two models, not '{model}'"):
        find_word_models(model)


def test_weights_that_are_no_safetensors_are_not_read(models: Path, tmp_path: Path) -> None:
    for name in ("grounding-dino-tiny", "sam-tiny"):
        (tmp_path / name).mkdir()
        for file in (models / name).iterdir():
            if file.suffix != ".safetensors":
                (tmp_path / name / file.name).write_bytes(file.read_bytes())
    torch.save({}, tmp_path / "grounding-dino-tiny" / "pytorch_model.bin")

    with pytest.raises(SegmentationError, match=r"grounding-dino-tiny does not load: .*download it again"):
        opened(tmp_path, "person")


def test_a_damaged_model_is_named(models: Path, tmp_path: Path) -> None:
    detector = tmp_path / "detector"
    detector.mkdir()
    for file in (models / "grounding-dino-tiny").iterdir():
        (detector / file.name).write_bytes(file.read_bytes())
    weights = detector / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])

    with pytest.raises(SegmentationError, match="detector does not load"):
        WordSegmenter([parse_word("person")], detector, models / "sam-tiny")


def test_a_failure_inside_a_model_is_told_in_words(models: Path, noise_rgb: np.ndarray) -> None:
    segmenter = opened(models, "person")

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    segmenter._detector.register_forward_pre_hook(full)

    with pytest.raises(
        SegmentationError, match="failed on cpu: CUDA out of memory: try --device cpu, or smaller images"
    ):
        segmenter.segment(noise_rgb)


def test_the_plugin_needs_words() -> None:
    with pytest.raises(SegmentationError, match="no word is given"):
        open_segmenter("words")


def test_frayed_edges_of_a_large_mask_are_smoothed_and_holes_filled() -> None:
    mask = np.zeros((1024, 1024), np.bool_)
    mask[300:700, 300:700] = True
    smooth = mask.copy()
    mask[400:500, 400:500] = False
    mask[270:300, 350:352] = True

    found = _smooth(mask)

    assert (found != smooth).sum() < 60
    assert not found[270:297].any()


def test_without_transformers_it_says_how_to_install_it() -> None:
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "from sdclient.segment import SegmentSettings, open_segmenter\n"
        "try:\n    open_segmenter(settings=SegmentSettings(model='x', words=('a',)))\n"
        "except ImportError as exc:\n    print(exc)"
    )

    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "pip install 'sdclient[words]'" in result.stdout, result.stderr


def test_loading_writes_nothing_to_the_terminal(models: Path) -> None:
    code = (
        "from sdclient.segment import SegmentSettings, open_segmenter\n"
        f"open_segmenter({str(models)!r}, settings=SegmentSettings(device='cpu', words=('person',)))"
    )

    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)

    assert (result.returncode, result.stdout) == (0, "")
    assert "Loading weights" not in result.stderr
