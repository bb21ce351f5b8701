"""The configuration of interleave: three formats, every key of the original, and words for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sdclient.errors import ConfigurationError
from sdclient.recipes.interleave import InterleaveConfig, load_interleave

ORIGINAL: dict[str, dict[str, object]] = {
    "prompt_config": {
        "source": "sg1.txt",
        "key": "sg1",
        "prompt_override": None,
        "chapter_split_regex": r"Season\d+",
        "prompt_split_regex": r"\n",
        "max_chapters": 1,
        "max_entries_per_chapter": 9,
    },
    "generation_config": {
        "preview": False,
        "preview_stop": "killall display",
        "preview_max_windows": 10,
        "save_individual": True,
        "progresive": True,
        "interleave": True,
        "cycle_styles": False,
        "guidance_scale": 7.5,
        "eta": 0.1,
        "num_inference_steps": 50,
    },
}
STYLES: list[dict[str, object]] = [
    {"style": "photograph of nature", "file_tag": "nature", "weight": 0.9, "last_image": None, "images": []},
    {"style": "line drawing", "file_tag": "charcoal", "weight": 0.1, "last_image": None, "images": []},
]
TOML = r"""
[prompt_config]
source = "sg1.txt"
key = "sg1"
chapter_split_regex = 'Season\d+'
[generation_config]
progresive = false
[[style_configs]]
style = "photograph of nature"
file_tag = "nature"
weight = 1
"""
YAML = r"""
prompt_config:
  source: sg1.txt
  key: sg1
  chapter_split_regex: 'Season\d+'
generation_config:
  progresive: false
style_configs:
  - style: photograph of nature
    file_tag: nature
    weight: 1
"""


def load(folder: Path, text: str, name: str = "c.json") -> InterleaveConfig:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return load_interleave(path)


def changed(block: str, **keys: object) -> str:
    values: dict[str, object] = {name: dict(value) for name, value in ORIGINAL.items()}
    values["style_configs"] = STYLES
    if block == "style_configs":
        values[block] = [{**STYLES[0], **keys}]
    else:
        values[block] = {**ORIGINAL[block], **keys}
    return json.dumps(values)


def problem(folder: Path, text: str, name: str = "c.json") -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(folder, text, name)
    return str(caught.value).removeprefix(f"{folder / name}: ")


def test_every_key_of_the_original_is_taken_under_its_own_name(tmp_path: Path) -> None:
    config = load(tmp_path, changed("prompt_config"))

    assert config.prompt_config.max_entries_per_chapter == 9
    assert config.generation_config.mode == "progresive"
    assert config.generation_config.num_inference_steps == 50
    assert [one.file_tag for one in config.style_configs] == ["nature", "charcoal"]


def test_the_three_formats_say_the_same(tmp_path: Path) -> None:
    from_toml = load(tmp_path, TOML, "c.toml")
    from_yaml = load(tmp_path, YAML, "c.yaml")
    from_json = load(
        tmp_path,
        json.dumps(
            {
                "prompt_config": {"source": "sg1.txt", "key": "sg1", "chapter_split_regex": r"Season\d+"},
                "generation_config": {"progresive": False},
                "style_configs": [{"style": "photograph of nature", "file_tag": "nature", "weight": 1}],
            }
        ),
    )

    assert from_toml == from_yaml == from_json


def test_both_spellings_of_progresive_are_understood(tmp_path: Path) -> None:
    values = json.loads(changed("prompt_config"))
    del values["generation_config"]["progresive"]
    values["generation_config"]["progressive"] = False

    config = load(tmp_path, json.dumps(values))

    assert config.generation_config.mode == "independent"


def test_both_spellings_at_once_are_refused(tmp_path: Path) -> None:
    text = problem(tmp_path, changed("generation_config", progressive=True))

    assert text == "generation_config: progresive and progressive are one key; keep one of them"


def test_a_preview_is_a_truth_value_or_a_text_as_the_original_says(tmp_path: Path) -> None:
    shown = [
        load(tmp_path, changed("generation_config", preview=value)).generation_config.shows_preview
        for value in (True, False, "yes", "False", "")
    ]

    assert shown == [True, False, True, False, False]


def test_preview_stop_is_taken_and_warned_about(tmp_path: Path) -> None:
    """The original ran this shell command; here nothing of a configuration is ever run."""
    config = load(tmp_path, changed("generation_config", preview_stop="rm -rf /"))

    assert config.remarks()[0].startswith("preview_stop: a configuration runs no commands here")


def test_weight_zero_is_explained(tmp_path: Path) -> None:
    config = load(tmp_path, changed("style_configs", weight=0))

    assert "nature: weight 0: its image is handed on unchanged, no request is sent" in config.remarks()


def test_interleave_and_cycle_styles_together_are_said_to_undo_each_other(tmp_path: Path) -> None:
    config = load(tmp_path, changed("generation_config", cycle_styles=True))

    assert any("undo each other" in text for text in config.remarks())


def test_interleave_without_progresive_is_said_to_have_no_effect(tmp_path: Path) -> None:
    config = load(tmp_path, changed("generation_config", progresive=False, preview_stop=None))

    assert config.remarks() == ["interleave: has no effect without progresive"]


@pytest.mark.parametrize(
    ("block", "keys", "said"),
    [
        pytest.param("generation_config", {"progresiv": True}, "unknown field; did you mean progresive?", id="typo"),
        pytest.param("generation_config", {"num_inference_steps": 0}, "greater than or equal to 1", id="no steps"),
        pytest.param(
            "generation_config", {"guidance_scale": "7.5"}, "should be a valid number", id="text for a number"
        ),
        pytest.param("generation_config", {"layered": True}, "layered and progresive exclude each other", id="modes"),
        pytest.param("style_configs", {"weight": 1.5}, "less than or equal to 1", id="weight"),
        pytest.param("style_configs", {"last_image": "x.png"}, "images are kept by the run", id="state"),
        pytest.param("style_configs", {"images": ["x.png"]}, "images are kept by the run", id="state images"),
        pytest.param("prompt_config", {"chapter_split_regex": "("}, "is no regular expression", id="regex"),
        pytest.param("prompt_config", {"max_chapters": 0}, "greater than or equal to 1", id="no chapters"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, block: str, keys: dict[str, object], said: str) -> None:
    text = problem(tmp_path, changed(block, **keys))

    assert said in text
    assert text.startswith(block)


@pytest.mark.parametrize(
    ("tag", "hint"),
    [
        ("on", "not True; put the word into quotes: without them, on, off, yes and no are truth values in YAML"),
        ("no", "not False; put the word into quotes: without them, on, off, yes and no are truth values in YAML"),
        ("2024", "not 2024; put it into quotes"),
    ],
)
def test_a_word_that_yaml_reads_as_something_else_is_to_be_quoted(tmp_path: Path, tag: str, hint: str) -> None:
    text = problem(tmp_path, YAML + f"    # again\n  - style: ink\n    file_tag: {tag}\n    weight: 1\n", "c.yaml")

    assert text == f"style_configs[1].file_tag: Input should be a valid string, {hint}"


def test_zero_styles_are_refused(tmp_path: Path) -> None:
    values = json.loads(changed("prompt_config"))
    values["style_configs"] = []

    assert problem(tmp_path, json.dumps(values)) == "style_configs: holds no style; describe one at least"


def test_two_styles_that_would_name_the_same_files_are_refused(tmp_path: Path) -> None:
    values = json.loads(changed("prompt_config"))
    values["style_configs"] = [{**STYLES[0], "file_tag": "a/b"}, {**STYLES[0], "file_tag": "A:B"}]

    assert "'a/b' and 'A:B' would name the same files" in problem(tmp_path, json.dumps(values))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        pytest.param("c.toml", '[prompt_config]\nx = "Season\\d+"', "single quotes", id="toml escape"),
        pytest.param("c.yaml", 'x: "Season\\d+"', "single quotes", id="yaml escape"),
        pytest.param("c.yaml", "a: 1\na: 2", "line 2: the key 'a' is there twice", id="yaml twice"),
        pytest.param("c.yaml", "x: !!python/object/apply:os.system [ls]", "not YAML", id="yaml code"),
        pytest.param("c.yaml", "- 1", "the whole must hold prompt_config", id="yaml list"),
        pytest.param("c.json", '{"a": 1, "a": 2}', "twice", id="json twice"),
        pytest.param("c.json", "[", "not JSON", id="json"),
        pytest.param("c.ini", "", "give a .toml, .yaml or .json file", id="suffix"),
        pytest.param("c.json", "{}", "prompt_config: missing", id="empty"),
        pytest.param("c.json", " " * 1_000_001, "this is no configuration", id="huge"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused_in_words(tmp_path: Path, name: str, text: str, said: str) -> None:
    assert said in problem(tmp_path, text, name)


def test_a_missing_file_and_one_that_is_no_text_are_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe\x00")

    for name in ("missing.toml", "bytes.toml"):
        with pytest.raises(ConfigurationError, match="give a text file in UTF-8"):
            load_interleave(tmp_path / name)
