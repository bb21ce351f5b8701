"""Ideas from a language model: a real server on loopback that answers well, badly, late and not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence

import pytest

from sdclient.errors import (
    AuthenticationError,
    BadReplyError,
    ConfigurationError,
    DeadlineError,
    NotSentError,
    RejectedError,
    SDClientError,
    ServerBusyError,
    ServerFaultError,
)
from sdclient.recipes.story import Endpoint, EndpointIdeas, IdeaSettings, SourceText, collect_ideas
from sdclient.recipes.story.endpoint import TEXT_BUDGET_CHARS
from sdclient.recipes.story.text import sentences
from tests.integration.openai_server import Answer, Asked, OpenAiServer

TEXT = "One pig sleeps. Two pigs dance. Three pigs sing. Four pigs swim. Five pigs cook. Six pigs leave."
SOURCE = SourceText("pigs", "Pigs", TEXT, "0" * 64)


def five(number: int, asked: Asked) -> Answer:
    del asked
    return json.dumps([f"idea {number}, part {part} (a fox)" for part in range(5)])


def model(server: OpenAiServer, text: Sequence[str] = (), **settings: object) -> EndpointIdeas:
    return EndpointIdeas(Endpoint(server.url, **settings), text or sentences(TEXT))  # type: ignore[arg-type]


def middle(server: OpenAiServer, **settings: object) -> list[str]:
    """Ask for five ideas for the middle."""
    with model(server, **settings) as ideas:
        return ideas.ideas("middle", ["Two pigs dance."], 5, [])


def failing(answer: Answer, error: type[SDClientError]) -> str:
    with OpenAiServer(lambda _number, _asked: answer) as server, pytest.raises(error) as caught:
        middle(server)
    return str(caught.value).replace(server.url, "URL")


def test_three_sections_are_three_questions_each_about_its_own_part_for_five_ideas() -> None:
    """In the original, middle and end were asked about the answer before."""
    with OpenAiServer(five) as server, model(server) as ideas:
        manifest = collect_ideas(SOURCE, ideas, IdeaSettings())

    assert len(server.asked) == 3
    for asked, section, part in zip(
        server.asked,
        ("beginning", "middle", "end"),
        ("One pig sleeps. Two pigs dance.", "Three pigs sing. Four pigs swim.", "Five pigs cook. Six pigs leave."),
        strict=True,
    ):
        assert f"The {section} of the text:\n{part}\n\n" in asked.question
        assert "exactly 5 different detailed images" in asked.question
        assert "JSON array" in asked.question
        # What other sections have is said as taken, and nothing else of it.
        assert "idea 1" not in asked.question.split("These are taken already")[0]
    assert [len(section.ideas) for section in manifest.sections] == [5, 5, 5]
    assert manifest.sections[1].ideas[0].idea == "idea 2, part 0 (a fox)"
    assert manifest.source == "small"


def test_missing_ideas_are_asked_for_again_with_those_that_are_taken() -> None:
    answers = [json.dumps(["a fox", "an owl"]), 'Gladly: 1) "a fox"\n2) a hen', json.dumps(["a cat", "a cow", "a dog"])]

    with OpenAiServer(lambda number, _: answers[number - 1]) as server:
        found = middle(server)

    assert found == ["a fox", "an owl", "a hen", "a cat", "a cow"]
    assert "exactly 3 different" in server.asked[1].question
    assert "- a fox\n- an owl" in server.asked[1].question


def test_a_model_that_stays_short_gives_what_it_has() -> None:
    with OpenAiServer(lambda _number, _asked: "- a fox") as server:
        found = middle(server)

    assert found == ["a fox"]
    assert len(server.asked) == 3


def test_a_model_that_only_repeats_what_is_taken_has_no_more_ideas() -> None:
    with OpenAiServer(lambda _number, _asked: "- a fox\n- an owl") as server, model(server) as ideas:
        found = ideas.ideas("middle", ["Two pigs dance."], 5, ["A fox.", "an owl"])

    assert found == []
    assert ["- A fox.\n- an owl" in asked.question for asked in server.asked] == [True] * 3


def test_a_model_is_asked_for_english() -> None:
    with OpenAiServer(five) as server:
        middle(server)

    messages = server.asked[0].body["messages"]
    assert isinstance(messages, list)
    assert "Write English, whatever the language of the text" in messages[0]["content"]


def test_a_model_that_gives_no_list_is_an_error_with_the_start_of_its_answer() -> None:
    text = failing("I am sorry, I cannot.", BadReplyError)

    assert text == (
        "URL: small gave no list of ideas in 3 tries; its last answer began 'I am sorry, I cannot.'; "
        "try another --model, or leave it out to take key sentences"
    )


def test_a_long_section_is_sent_as_key_sentences_within_the_budget_and_a_summary_goes_along() -> None:
    """The original sent the whole text with every question."""
    long = [f"Pig number {number} builds a house of straw near the river." for number in range(2000)]

    with OpenAiServer(five) as server, model(server, long) as ideas:
        ideas.ideas("end", long, 5, [])

    question = server.asked[0].question
    assert TEXT_BUDGET_CHARS / 2 < len(question) < TEXT_BUDGET_CHARS + 2000
    assert question.startswith("What the whole text is about, in short:\nPig number")


def test_words_for_a_prompt_are_asked_with_examples_and_the_idea_is_not_said_twice() -> None:
    with (
        OpenAiServer(lambda _number, _asked: '"a fox, golden hour, 35mm"\nThat is all.') as server,
        model(server) as ideas,
    ):
        words = ideas.words_for("a fox")

    assert words == ", golden hour, 35mm"
    assert server.asked[0].question.endswith("\n\na fox")
    assert "35mm photograph" in server.asked[0].question


def test_a_model_without_words_adds_none() -> None:
    with OpenAiServer(lambda _number, _asked: "\n") as server, model(server) as ideas:
        assert ideas.words_for("a fox") == ""


def test_a_model_without_a_chat_is_asked_to_complete() -> None:
    with OpenAiServer(five) as server:
        found = middle(server, api="completions")

    assert len(found) == 5
    assert server.asked[0].path == "/v1/completions"
    assert server.asked[0].body["max_tokens"] == 720


def test_the_model_that_is_named_is_asked_with_the_key_that_is_given() -> None:
    with OpenAiServer(five, models=()) as server:
        middle(server, model="llama3.1", api_key="secret")

    assert (server.asked[0].body["model"], server.asked[0].key) == ("llama3.1", "secret")


@pytest.mark.parametrize(("models", "shown"), [((), "none"), (("b", "a"), "a, b")])
def test_without_a_name_the_only_model_is_taken_and_others_are_listed(models: tuple[str, ...], shown: str) -> None:
    with OpenAiServer(five, models=models) as server, pytest.raises(ConfigurationError) as caught:
        model(server)

    assert str(caught.value).endswith(f"name one of its models with --model; it has {shown}")


@pytest.mark.parametrize(
    ("answer", "error", "said"),
    [
        ((401, '{"error": {"message": "bad key"}}'), AuthenticationError, "wants another key"),
        ((404, '{"error": {"message": "no model"}}'), RejectedError, "refused for model 'small'"),
        ((200, "<html>hello</html>"), BadReplyError, "not as an OpenAI-compatible server"),
        ((200, '{"choices": null}'), BadReplyError, "not as an OpenAI-compatible server"),
    ],
    ids=["key", "model", "a page", "nothing"],
)
def test_every_refusal_is_said_in_words(answer: Answer, error: type[SDClientError], said: str) -> None:
    """The original took any JSON for an answer and failed with a KeyError."""
    assert said in failing(answer, error)


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [(429, ServerBusyError, "quota or rate limit reached"), (500, ServerFaultError, "run again")],
)
def test_quota_and_failure_are_tried_again_and_then_said(status: int, error: type[SDClientError], said: str) -> None:
    answer = (status, '{"error": {"message": "later"}}')

    with OpenAiServer(lambda _number, _asked: answer) as server, pytest.raises(error, match=said):
        middle(server)

    assert len(server.asked) == 3


def test_a_failure_that_passes_is_not_noticed() -> None:
    with OpenAiServer(lambda number, asked: (503, "{}") if number == 1 else five(number, asked)) as server:
        assert len(middle(server)) == 5


def test_a_redirect_is_not_followed_so_that_the_key_stays_at_its_address() -> None:
    with (
        OpenAiServer(five) as elsewhere,
        OpenAiServer(lambda _number, _asked: (307, f"{elsewhere.url}/chat/completions")) as server,
        pytest.raises(RejectedError, match="redirect, which is not followed"),
    ):
        middle(server, api_key="secret")

    assert elsewhere.asked == []


def test_a_server_that_is_not_there_is_said() -> None:
    with pytest.raises(NotSentError, match=r"http://127\.0\.0\.1:1/v1: cannot be reached"):
        _ask_at("http://127.0.0.1:1/v1")


def test_a_model_that_answers_too_late_is_said() -> None:
    over = threading.Event()

    def late(number: int, asked: Asked) -> Answer:
        over.wait(20)
        return five(number, asked)

    with OpenAiServer(late) as server:
        try:
            with pytest.raises(DeadlineError, match="no answer in time"):
                middle(server, timeout_s=0.2)
        finally:
            over.set()


@pytest.mark.parametrize(
    "url", ["nonsense", "localhost:11434/v1", "http://", "http://me:secret@host/v1", "ftp://host/v1"]
)
def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises(ConfigurationError, match="not an address; write it whole, such as http://127") as caught:
        _ask_at(url)

    assert "secret" not in str(caught.value)


def _ask_at(url: str) -> None:
    with EndpointIdeas(Endpoint(url, model="x")) as ideas:
        ideas.ideas("end", ["A fox."], 1, [])


def test_an_extract_is_shown_with_worked_examples_and_content_and_style_come_back() -> None:
    with OpenAiServer(lambda _number, _asked: "content: a pig, dancing\nstyle: ink") as server, model(server) as ideas:
        look = ideas.look("Two pigs dance.")

    assert (look.content, look.style) == ("a pig, dancing", "ink")
    assert server.asked[0].question.endswith("\n\nextract: Two pigs dance.")
    assert server.asked[0].question.count("\nstyle: ") == 4
