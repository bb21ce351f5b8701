"""Starts, completions, posts and alternative texts."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.errors import ConfigurationError
from sdclient.recipes.daily.completion import MagicPromptCompleter, TemplateCompleter, is_worth, tidy
from sdclient.recipes.daily.texts import PostWords, alt_text, weighted_length
from sdclient.recipes.daily.words import SlotWords, draw_start, load_words

WORDS = load_words()


def test_eight_slots_come_with_the_program_nine_oclock_among_them() -> None:
    assert WORDS.hours == (0, 3, 6, 9, 12, 15, 18, 21)
    assert all(len(slot.starts) >= 10 for slot in WORDS.slots)
    assert len({start for slot in WORDS.slots for start in slot.starts}) == sum(len(one.starts) for one in WORDS.slots)


def test_every_greeting_begins_with_an_emoji() -> None:
    assert all(ord(slot.greeting[0]) > 0x2600 for slot in WORDS.slots)


def test_every_start_is_drawn_and_none_is_empty() -> None:
    """The original drew line 0 now and then, which is none, and never the last one."""
    slot = SlotWords(hour=3, theme="dreams", greeting="hush", starts=("first", "middle", "last"))

    drawn = Counter(draw_start(slot, random.Random(seed)) for seed in range(600))

    assert set(drawn) == {"first", "middle", "last"}
    assert min(drawn.values()) > 140


# ---- completions ----


@pytest.mark.parametrize(
    ("start", "text", "prompt"),
    [
        ("a fox", "a fox in the snow. By Greg. Trending", "a fox in the snow"),
        ("a fox", "a fox in the snow\nsecond line", "a fox in the snow"),
        ("a fox", "a fox,   in\tthe   snow", "a fox, in the snow"),
        ("a fox", "something else", "a fox something else"),
        ("St. Mary at 6 a.m.", "St. Mary at 6 a.m. with fog. More", "St. Mary at 6 a.m. with fog"),
        ("a fox", "a fox by <b>artstation.com</b> at night", "a fox by at night"),
        ("a fox", "a fox, ", "a fox"),
        ("a fox", 'a fox with a "hat" and a \\ sign', 'a fox with a "hat" and a \\ sign'),
    ],
    ids=["sentence", "line", "spaces", "no start", "periods in the start", "address", "trailing comma", "quotes"],
)
def test_a_completion_is_cut_at_its_first_sentence_and_the_start_is_kept(start: str, text: str, prompt: str) -> None:
    """Two starts of the original held periods, at which it cut the model's words off entirely."""
    assert tidy(start, text) == prompt


def test_a_long_prompt_ends_between_words() -> None:
    """The original cut at 250 characters in the middle of a word."""
    prompt = tidy("a fox", "a fox " + "wandering " * 50)

    assert 240 <= len(prompt) <= 250
    assert prompt.endswith("wandering")


@given(st.text(max_size=300), st.text(max_size=400))
def test_no_prompt_is_longer_than_the_limit_or_more_than_a_line(start: str, rest: str) -> None:
    prompt = tidy(start, start + rest)

    assert len(prompt) <= 250
    assert "\n" not in prompt


@pytest.mark.parametrize(
    ("prompt", "worth"),
    [("a fox in the snow", True), ("a fox", False), ("a fox in", False), ("a fox in the snow -", False)],
)
def test_a_completion_is_worth_something_if_it_adds_words_and_does_not_hang(prompt: str, *, worth: bool) -> None:
    assert is_worth("a fox", prompt) is worth


def test_templates_complete_offline_and_the_same_seed_gives_the_same() -> None:
    completer = TemplateCompleter(WORDS)

    prompts = [completer.complete("a {fox} __light__ | 2$$", seed, WORDS.at(6)) for seed in (1, 1, 2)]

    assert prompts[0] == prompts[1] != prompts[2]
    assert all(prompt.startswith("a {fox} __light__ | 2$$, ") for prompt in prompts)
    endings = [prompt.removeprefix("a {fox} __light__ | 2$$, ") for prompt in prompts]
    assert all("__" not in ending and "{" not in ending and len(ending) > 20 for ending in endings)


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model of a few thousand numbers, made from a config and saved: real, and without sense."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("magic") / "TinyPrompt"
    words = ["[END]", "a", "fox", "snow", "light", "painting", "detailed", "sharp", "forest", "moon", "art", "old"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[END]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="[END]", unk_token="[END]").save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(words), n_positions=256, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def test_a_language_model_in_a_folder_completes_prompts(tiny_model: Path) -> None:
    completer = MagicPromptCompleter(tiny_model)

    prompts = [completer.complete("a fox", seed, WORDS.at(6)) for seed in (1, 1, 2)]

    assert completer.name == "TinyPrompt"
    assert prompts[0] == prompts[1] != prompts[2]
    assert all(prompt.startswith("a fox") and is_worth("a fox", prompt) for prompt in prompts)


def test_completing_leaves_other_peoples_random_numbers_alone(tiny_model: Path) -> None:
    import torch

    torch.manual_seed(5)
    wanted = torch.rand(3).tolist()

    torch.manual_seed(5)
    MagicPromptCompleter(tiny_model).complete("a fox", 1, WORDS.at(6))

    assert torch.rand(3).tolist() == wanted


@pytest.mark.parametrize("words", [70, 110, 600], ids=["longer than drawn", "than some", "than the model knows"])
def test_a_long_start_is_completed_or_kept_as_it_is(tiny_model: Path, words: int) -> None:
    """A start of forty Japanese characters is already longer than the shortest prompt that may be drawn."""
    start = " ".join(["fox", "moon"] * (words // 2))

    prompts = [MagicPromptCompleter(tiny_model).complete(start, seed, WORDS.at(6)) for seed in range(3)]

    assert all(start.startswith(prompt) and 200 < len(prompt) <= 250 for prompt in prompts)


def test_a_model_and_a_tokenizer_that_do_not_go_together_are_said(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "Mixed")
    path = tmp_path / "Mixed/tokenizer.json"
    path.write_text(path.read_text().replace('"fox": 2', '"fox": 2000').replace('"fox":2', '"fox":2000'))

    with pytest.raises(ConfigurationError, match=r"Mixed: this model cannot complete 'a fox' \("):
        MagicPromptCompleter(tmp_path / "Mixed").complete("a fox", 1, WORDS.at(6))


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="holds no language model"):
        MagicPromptCompleter(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="holds no language model"):
        MagicPromptCompleter(tmp_path)


# ---- posts ----


def test_a_post_has_number_greeting_and_hashtags_and_names_no_host() -> None:
    text = PostWords().text(262, "🌅 Good morning, early birds", 280)

    assert text == (
        "#PictureTheDAI No.262\n\n🌅 Good morning, early birds\n\n#PromptInALT\n\n"
        "Drawn at home with Stable Diffusion\n\n#AIart #AIartCommunity #StableDiffusion"
    )


@pytest.mark.parametrize(
    ("greeting_chars", "missing"), [(150, ()), (180, ("Drawn",)), (230, ("Drawn", "#AIart")), (250, ("#PromptInALT",))]
)
def test_a_long_post_loses_its_least_important_lines_first(greeting_chars: int, missing: tuple[str, ...]) -> None:
    text = PostWords().text(1, "g" * greeting_chars, 280)

    assert weighted_length(text) <= 280
    assert not [word for word in missing if word in text]
    assert "g" * greeting_chars in text


def test_a_greeting_that_is_too_long_alone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="has more than 280 characters; shorten the greeting"):
        PostWords().text(1, "g" * 280, 280)


@pytest.mark.parametrize(
    ("text", "length"),
    [("abc", 3), ("日本", 4), ("🌅", 2), ("see https://example.org/a/very/long/path ok", 30), ("“é”", 3)],
)
def test_length_is_counted_as_x_does(text: str, length: int) -> None:
    assert weighted_length(text) == length


def test_the_alternative_text_holds_the_prompt_and_says_what_drew_it() -> None:
    text = alt_text('a "fox" \\ hound', "MagicPrompt", "juggernaut", "R-ESRGAN 4x+", 1000)

    assert text == (
        "'a \"fox\" \\ hound' (prompt completed by MagicPrompt)\n\nDrawn by juggernaut, enlarged by R-ESRGAN 4x+."
    )
    assert alt_text("a fox", "", "", "", 1000) == "'a fox'\n\nDrawn by Stable Diffusion."
    assert len(alt_text("a fox " * 300, "", "", "", 1000)) == 1000


# ---- words files ----


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("no json", "the file: Invalid JSON"),
        ({"slots": []}, "slots: Tuple should have at least 1 item"),
        (
            {"slots": [{"hour": 24, "theme": "t", "greeting": "g", "starts": ["a"]}]},
            "slots.0.hour: Input should be less",
        ),
        ({"slots": [{"hour": 3, "theme": "t", "greeting": "g", "starts": []}]}, "slots.0.starts: Tuple should have at"),
        ({"slots": [{"hour": 3, "theme": "t", "greeting": "g", "starts": [" "]}]}, "the slot at 3 has an empty start"),
        (
            {"slots": [{"hour": 3, "theme": "t", "greeting": "g", "starts": ["a"]}] * 2},
            "two slots begin at one hour",
        ),
        ({"slots": [{"hour": 3, "theme": "t", "greeting": "g", "starts": ["a"], "x": 1}]}, "slots.0.x: Extra inputs"),
    ],
    ids=["no json", "no slots", "hour 24", "no starts", "empty start", "twice", "unknown key"],
)
def test_a_words_file_that_is_wrong_is_refused_in_words(tmp_path: Path, value: object, words: str) -> None:
    path = tmp_path / "words.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))

    with pytest.raises(ConfigurationError) as caught:
        load_words(path)

    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)


def test_a_words_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.json: cannot be read"):
        load_words(tmp_path / "gone.json")
