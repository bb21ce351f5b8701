"""``sdclient story`` as a process of its own: on simulated servers, with key sentences and with a language model."""

from __future__ import annotations

import csv
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from pathlib import Path
from typing import cast

import pytest

from sdclient.simulator import Exchange, Simulator
from tests.conftest import CommandLine, Ended
from tests.integration.openai_server import Answer, Asked, OpenAiServer

SMALL = ("--set", "width=128", "--set", "height=128", "--set", "steps=4")
TEXT = (
    "The fox lived under a hill. She had a red lantern. One night it rained. The river rose to the door. "
    "An owl came with a boat. They rowed to the mill. The miller gave them bread. In the morning the sun came back. "
    "They went home over the wet meadows. The lantern burned at the window."
)
DOCUMENTS = ["The Fox - Illustrations.docx", "The Fox - Illustrations.html", "The Fox - Illustrations.md"]


def write(cli: CommandLine, text: str = TEXT, name: str = "the_fox.txt") -> None:
    (cli.folder / name).write_text(text, encoding="utf-8")


def story(cli: CommandLine, url: str, *more: str) -> Ended:
    return cli("story", "the_fox", "--out", "OUT", "--url", url, "--ideas", "2", *SMALL, *more)


def posts(server: Simulator) -> list[Exchange]:
    return [one for one in server.log if one.method == "POST"]


def prompts(server: Simulator) -> list[str]:
    return [str(one.body["prompt"]) for one in posts(server) if isinstance(one.body, dict)]


def ideas(cli: CommandLine, name: str = "the_fox") -> dict[str, object]:
    value = json.loads((cli.folder / "OUT" / name / "ideas.json").read_text(encoding="utf-8"))
    assert isinstance(value, dict)
    return value


def documents(cli: CommandLine, name: str = "the_fox") -> list[str]:
    return sorted(path.name for path in (cli.folder / "OUT" / name).iterdir() if " - " in path.name)


def images(cli: CommandLine) -> list[str]:
    return sorted(path.name for path in (cli.folder / "OUT/the_fox/images").iterdir())


def core(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        return archive.read("docProps/core.xml")


def test_a_story_becomes_images_and_documents_without_any_model(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)

    ended = story(cli, draw_things.url)

    assert ended.code == 0, ended.stderr
    assert [name[: name.rindex("-")] for name in images(cli)] == [
        *("beginning-01", "beginning-02", "end-01", "end-02", "middle-01", "middle-02"),
    ]
    assert documents(cli) == DOCUMENTS
    assert ended.stdout.splitlines() == [f"OUT/the_fox/{DOCUMENTS[index]}" for index in (0, 2, 1)]
    page = (cli.folder / "OUT/the_fox" / DOCUMENTS[1]).read_text(encoding="utf-8")
    assert page.index("Beginning") < page.index("Middle") < page.index("End")
    for name in images(cli):
        assert f'src="images/{name}"' in page
    with zipfile.ZipFile(cli.folder / "OUT/the_fox" / DOCUMENTS[0]) as archive:
        assert len([name for name in archive.namelist() if name.startswith("word/media/")]) == 6
    with (cli.folder / "OUT/images.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["section"] for row in rows} == {"beginning", "middle", "end"}
    assert all(row["seed"] and row["idea"] for row in rows)


@pytest.mark.slow  # LibreOffice takes its time to begin
@pytest.mark.skipif(shutil.which("soffice") is None, reason="needs LibreOffice Writer")
def test_a_document_opens_in_a_word_processor_with_all_its_words_and_images(
    cli: CommandLine, draw_things: Simulator
) -> None:
    write(cli)
    story(cli, draw_things.url, "--format", "docx")
    convert = ["soffice", "--headless", f"-env:UserInstallation=file://{cli.folder}/profile", "--convert-to", "html"]

    subprocess.run(
        [*convert, f"OUT/the_fox/{DOCUMENTS[0]}"], cwd=cli.folder, capture_output=True, timeout=120, check=True
    )

    page = (cli.folder / "The Fox - Illustrations.html").read_text(encoding="utf-8")
    words = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    sections = cast("list[dict[str, list[dict[str, str]]]]", ideas(cli)["sections"])
    wanted = ["The Fox"]
    for section, heading in zip(sections, ("Beginning", "Middle", "End"), strict=True):
        wanted += [heading, *(one["idea"] for one in section["ideas"])]
    places = [words.find(one) for one in wanted]
    assert len(wanted) == 10
    assert (min(places) >= 0, places) == (True, sorted(places))
    assert page.count("<img ") == 6


def test_the_same_command_again_uses_the_ideas_and_sends_nothing(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)
    story(cli, draw_things.url)
    before = ideas(cli)

    ended = story(cli, draw_things.url, "--style", "something else")

    assert ended.code == 0
    assert "its ideas are used again; --new-ideas makes new ones" in ended.stderr
    assert ideas(cli) == before
    assert len(posts(draw_things)) == 6


def test_two_servers_share_one_list_and_nothing_is_drawn_twice(cli: CommandLine) -> None:
    """Each of the original's two processes drew the whole list."""
    write(cli)
    with Simulator("drawthings", delay_s=0.1) as one, Simulator("drawthings", delay_s=0.1) as two:
        ended = story(cli, one.url, "--url", two.url)

        assert ended.code == 0
        assert sorted(prompts(one) + prompts(two)) == sorted(set(prompts(one) + prompts(two)))
        assert len(prompts(one)) + len(prompts(two)) == 6
        assert posts(one)
        assert posts(two)


def test_a_partial_story_draws_only_what_is_missing(cli: CommandLine, draw_things: Simulator) -> None:
    """A section with fewer than five files was drawn anew as a whole by the original."""
    write(cli)
    first = story(cli, draw_things.url, "--limit", "3")

    second = story(cli, draw_things.url)

    assert "the_fox: 3 images still missing, and not in its documents" in first.stderr
    assert second.code == 0
    assert len(posts(draw_things)) == len(set(prompts(draw_things))) == 6


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
def test_ctrl_c_leaves_a_story_that_goes_on(cli: CommandLine) -> None:
    write(cli)
    with Simulator("drawthings", delay_s=0.3) as server:
        arguments = ("story", "the_fox", "--out", "OUT", "--url", server.url, "--ideas", "2", "--json", *SMALL)
        with cli.start(*arguments) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if json.loads(line)["event"] == "done":
                    process.send_signal(signal.SIGINT)
                    break
            process.communicate(timeout=60)
        ended = cli(*arguments)

        assert process.returncode == 130
        assert ended.code == 0
        assert len(posts(server)) == 6


def test_new_ideas_draw_what_is_new_and_documents_show_only_that(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)
    story(cli, draw_things.url)
    write(cli, TEXT.replace("The fox", "The badger"))

    same = story(cli, draw_things.url)
    new = story(cli, draw_things.url, "--new-ideas")

    assert "note: the text has changed since they were made" in same.stderr
    assert new.code == 0
    page = (cli.folder / "OUT/the_fox" / DOCUMENTS[1]).read_text(encoding="utf-8")
    assert page.count("<figure>") == 6
    assert "badger" in page
    assert 6 < len(posts(draw_things)) < 12


def test_new_ideas_leave_the_list_of_before_beside_them(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)
    story(cli, draw_things.url, "--ideas-only")
    path = cli.folder / "OUT/the_fox/ideas.json"
    path.write_text(worked_on := path.read_text().replace('"the_fox"', '"x"').replace("ink", "chalk"))

    new = story(cli, draw_things.url, "--ideas-only", "--new-ideas")

    assert "note: the ideas of before are kept as OUT/the_fox/ideas~1.json" in new.stderr
    assert path.with_name("ideas~1.json").read_text() == worked_on


def test_a_dry_run_of_new_ideas_changes_none_and_they_are_there_afterwards(
    cli: CommandLine, draw_things: Simulator
) -> None:
    write(cli)
    story(cli, draw_things.url, "--ideas-only")
    before = (cli.folder / "OUT/the_fox/ideas.json").read_bytes()
    with OpenAiServer(lambda number, _: f'["scene {number} a", "scene {number} b"]') as model:
        foreseen = story(cli, draw_things.url, "--base-url", model.url, "--new-ideas", "--dry-run")
        after = (cli.folder / "OUT/the_fox/ideas.json").read_bytes()
        story(cli, draw_things.url, "--base-url", model.url, "--new-ideas", "--ideas-only")

    assert foreseen.code == 0
    assert "ideas.json: stays as it is; without --dry-run these would take its place, ideas by small" in foreseen.stderr
    assert "1. scene 1 a" in foreseen.stderr
    assert "6 jobs, 0 done, 6 to do" in foreseen.stderr
    assert after == before
    assert len(model.asked) == 3
    assert b"scene 1 a" in (cli.folder / "OUT/the_fox/ideas.json").read_bytes()


def test_headings_are_in_the_language_of_the_captions_or_as_the_list_says(
    cli: CommandLine, draw_things: Simulator
) -> None:
    (cli.folder / "صياد.txt").write_text(
        "كان صياد يعيش قرب البحر. ألقى شبكته فوجدها ثقيلة. أغلق القمقم وألقاه في البحر.", encoding="utf-8"
    )
    command = ("story", "صياد.txt", "--out", "OUT", "--url", draw_things.url, "--ideas", "1", *SMALL)
    cli(*command, "--ideas-only")
    path = cli.folder / "OUT/صياد/ideas.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    value["sections"][2]["heading"] = "خاتمة"
    path.write_text(json.dumps(value), encoding="utf-8")

    cli(*command)

    page = (cli.folder / "OUT/صياد/صياد - Illustrations.html").read_text(encoding="utf-8")
    assert re.findall(r'<h2 dir="auto">(.*)</h2>', page) == ["البداية", "الوسط", "خاتمة"]
    assert '<html lang="ar">' in page


def test_ideas_may_be_changed_by_hand_before_images_are_drawn(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)
    made = story(cli, draw_things.url, "--ideas-only")
    value = ideas(cli)
    value["sections"][0]["ideas"] = [{"idea": "a/b", "prompt": "my own, prompt-with (marks)/slash"}]  # type: ignore[index]
    (cli.folder / "OUT/the_fox/ideas.json").write_text(json.dumps(value))

    ended = story(cli, draw_things.url)

    assert made.code == 0
    assert "note: --ideas 2: no effect on ideas that are there already; --new-ideas makes them anew" in ended.stderr
    assert "my own, prompt-with (marks)/slash" in prompts(draw_things)
    assert len(posts(draw_things)) == 5


def test_images_of_older_ideas_that_are_still_to_be_drawn_are_said(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)
    story(cli, draw_things.url, "--limit", "1")
    write(cli, TEXT.replace("The", "Our"))

    ended = story(cli, draw_things.url, "--new-ideas")

    assert "images of older ideas planned here will be drawn, too" in ended.stderr


def test_documents_are_built_again_without_a_server_and_by_hand_changed_ones_are_kept(
    cli: CommandLine, draw_things: Simulator
) -> None:
    write(cli)
    story(cli, draw_things.url)
    folder = cli.folder / "OUT/the_fox"
    before = (folder / DOCUMENTS[0]).read_bytes()
    (folder / DOCUMENTS[0]).unlink()
    (folder / DOCUMENTS[2]).write_text("my notes")
    (cli.folder / "the_fox.txt").unlink()
    draw_things.stop()

    ended = cli("story", "--out", "OUT", "--documents-only", "--json")

    assert ended.code == 0, ended.stderr
    assert (folder / DOCUMENTS[0]).read_bytes() == before
    assert b"2013-" not in core(folder / DOCUMENTS[0])
    assert (folder / "The Fox - Illustrations~1.md").read_text() == "my notes"
    assert json.loads(ended.stdout)["images"] == 6
    assert "was changed by hand since it was made" in ended.stderr


def test_an_image_that_was_taken_away_is_said_and_the_rest_is_shown(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)
    story(cli, draw_things.url)
    (cli.folder / "OUT/the_fox/images" / images(cli)[0]).unlink()

    ended = cli("story", "the_fox", "--out", "OUT", "--documents-only")

    assert ended.code == 0
    assert "was made and is gone" in ended.stderr
    assert "1 image still missing" in ended.stderr


def test_only_the_documents_asked_for_are_made(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)

    story(cli, draw_things.url, "--format", "markdown")

    assert documents(cli) == DOCUMENTS[2:]


def test_several_texts_are_illustrated_in_one_run(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)
    write(cli, "夜、嵐が来ました。猫は走りました。朝になりました。", "猫.txt")

    ended = cli(
        *("story", "the_fox.txt", "猫.txt", "--out", "OUT", "--url", draw_things.url, "--ideas", "1", *SMALL),
    )

    assert ended.code == 0
    assert documents(cli) == DOCUMENTS
    assert "猫 - Illustrations.html" in documents(cli, "猫")
    assert len(posts(draw_things)) == 6


def test_a_language_model_is_asked_three_times_and_its_ideas_are_drawn(
    cli: CommandLine, draw_things: Simulator
) -> None:
    write(cli)
    with OpenAiServer(lambda number, _: f'Of course:\n["scene {number} (one)", "scene {number}, two"]') as model:
        ended = story(cli, draw_things.url, "--base-url", model.url, "--style", "ink")

        again = story(cli, draw_things.url, "--base-url", model.url)

    assert (ended.code, again.code) == (0, 0)
    assert len(model.asked) == 3
    assert {one.key for one in model.asked} == {"none"}
    assert sorted(prompts(draw_things)) == sorted(
        prompt for number in (1, 2, 3) for prompt in (f"scene {number} (one), ink", f"scene {number}, two, ink")
    )
    assert "ideas by small" in ended.stderr


def test_openais_key_goes_to_no_other_address_and_a_named_one_does(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)
    cli.env |= {"OPENAI_API_KEY": "for openai only", "MY_KEY": "for this one"}
    with OpenAiServer(lambda number, _: f'["{number} a", "{number} b"]') as model:
        ask = ("--ideas-only", "--new-ideas", "--base-url", model.url)
        story(cli, draw_things.url, *ask)
        story(cli, draw_things.url, *ask, "--key-env", "MY_KEY")

    assert [one.key for one in model.asked] == ["none"] * 3 + ["for this one"] * 3


def test_a_model_with_too_few_ideas_is_filled_up_and_said(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)
    with OpenAiServer(lambda number, _: f"1. scene {(number - 1) // 3}") as model:
        ended = story(cli, draw_things.url, "--base-url", model.url, "--ideas-only", "--json")

    assert ended.code == 0
    assert "note: small gave too few ideas that differ; 3 key sentences of the text stand in" in ended.stderr
    event = json.loads(ended.stdout)
    assert [len(section["ideas"]) for section in event["sections"]] == [2, 2, 2]


def test_a_model_that_repeats_itself_over_sections_is_asked_a_few_times_and_its_ideas_are_kept(
    cli: CommandLine, draw_things: Simulator
) -> None:
    write(cli)
    with OpenAiServer(lambda _number, _asked: '["always a fox", "always an owl"]') as model:
        ended = story(cli, draw_things.url, "--base-url", model.url, "--ideas-only", "--json")

    (event,) = map(json.loads, ended.stdout.splitlines())
    assert ended.code == 0
    assert len(model.asked) == 1 + 3 + 3
    assert "- always a fox\n- always an owl" in model.asked[1].question
    assert [one["idea"] for one in event["sections"][0]["ideas"]] == ["always a fox", "always an owl"]
    assert [len(section["ideas"]) for section in event["sections"]] == [2, 2, 2]
    assert "note: small gave too few ideas that differ; 4 key sentences of the text stand in" in ended.stderr


def test_a_model_that_ends_in_prose_keeps_what_it_gave_before(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)
    with OpenAiServer(lambda number, _: '["a", "b"]' if number == 1 else "I would rather not.") as model:
        ended = story(cli, draw_things.url, "--base-url", model.url, "--ideas-only", "--json")

    assert ended.code == 0
    sections = json.loads(ended.stdout)["sections"]
    assert [one["origin"] for section in sections for one in section["ideas"]] == ["small"] * 2 + ["extract"] * 4


def test_a_model_that_fails_in_the_middle_is_not_asked_again_for_what_it_gave(
    cli: CommandLine, draw_things: Simulator
) -> None:
    write(cli)
    quota = (429, '{"error": {"message": "quota"}}')
    has_quota = threading.Event()

    def answer(number: int, asked: Asked) -> Answer:
        section = asked.question.partition(" of the text:")[0].rpartition(" ")[2]
        return f'["{section} a", "{section} b"]' if number < 3 or has_quota.is_set() else quota

    with OpenAiServer(answer) as model:
        failed = story(cli, draw_things.url, "--base-url", model.url)
        asked_before = len(model.asked)
        has_quota.set()
        done = story(cli, draw_things.url, "--base-url", model.url)

    assert failed.code == 1
    assert "note: the ideas for beginning and middle are kept; the same command asks for the rest only" in failed.stderr
    assert done.code == 0
    assert len(model.asked) == asked_before + 1
    sections = ideas(cli)["sections"]
    assert isinstance(sections, list)
    assert [section["ideas"][0]["idea"] for section in sections] == ["beginning a", "middle a", "end a"]
    assert not list((cli.folder / "OUT/the_fox").glob("*.part.json"))


def test_options_that_change_nothing_because_ideas_are_used_again_are_said(
    cli: CommandLine, draw_things: Simulator
) -> None:
    write(cli)
    story(cli, draw_things.url, "--ideas-only", "--style", "ink")

    same = story(cli, draw_things.url, "--ideas-only", "--style", "ink")
    other = story(cli, draw_things.url, "--ideas-only", "--style", "oil", "--extracts", "--base-url", "http://x/v1")

    assert "no effect" not in same.stderr
    assert "note: --base-url, --style oil, --extracts: no effect on ideas that are there already;" in other.stderr


@pytest.mark.parametrize(
    ("text", "is_said"),
    [
        pytest.param(TEXT, False, id="english"),
        pytest.param("El zorro vivía en la colina. La lluvia llegó a la puerta. Una lechuza vino con el barco.", True, id="spanish"),
        pytest.param("昔々、山に家がありました。" * 3, True, id="japanese"),
    ],
)  # fmt: skip
def test_ideas_that_are_not_english_are_said(
    cli: CommandLine, draw_things: Simulator, text: str, *, is_said: bool
) -> None:
    write(cli, text)

    ended = story(cli, draw_things.url, "--ideas-only")

    assert ended.code == 0
    assert ("note: these ideas do not look like English." in ended.stderr) == is_said


def test_words_by_the_model_come_before_the_style(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)
    with OpenAiServer(lambda n, asked: f'["{n} a", "{n} b"]' if "JSON" in asked.question else "golden hour") as model:
        story(cli, draw_things.url, "--base-url", model.url, "--words-by-model", "--style", "ink", "--ideas-only")

    assert ideas(cli)["sections"][0]["ideas"][0]["prompt"].endswith(" a, golden hour, ink")  # type: ignore[index]


def test_a_model_that_is_not_there_is_said_before_anything_is_planned(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)

    ended = story(cli, draw_things.url, "--base-url", "http://127.0.0.1:1/v1", "--model", "x")

    assert ended.code == 3
    assert "http://127.0.0.1:1/v1: cannot be reached" in ended.stderr
    assert not posts(draw_things)
    assert not (cli.folder / "OUT/the_fox").exists()


def test_a_model_at_openai_without_a_key_is_said(cli: CommandLine) -> None:
    write(cli)
    cli.env |= {"OPENAI_API_KEY": "", "OPENAI_TOKEN": ""}

    ended = story(cli, "http://127.0.0.1:1", "--model", "some-model")

    assert ended.code == 2
    assert "no key in OPENAI_API_KEY or OPENAI_TOKEN" in ended.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("", "holds no words; write the text to illustrate into it", id="empty"),
        pytest.param("... !?\n", "holds no words", id="marks only"),
        pytest.param("a" * 20_000_001, "larger than 20 MB; illustrate it in parts", id="huge"),
    ],
)
def test_a_text_that_cannot_be_illustrated_is_one_message_and_makes_no_folder(
    cli: CommandLine, text: str, said: str
) -> None:
    write(cli, text)

    ended = story(cli, "http://127.0.0.1:1")

    assert ended.code == 2
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert not (cli.folder / "OUT").exists()


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        pytest.param("word " * 3000, "word", id="no sentence marks"),
        pytest.param("昔々、山に家がありました。" * 3 + "嵐が来ました。", "昔々", id="japanese"),
        pytest.param("كان يا ما كان ملك عجوز. خرج الأمير إلى الغابة؟ عاد ليلا.", "ملك", id="arabic"),
        pytest.param("A fox.", "fox", id="one sentence"),
    ],
)
def test_any_script_is_illustrated_with_exactly_as_many_ideas_as_asked_for(
    cli: CommandLine, draw_things: Simulator, text: str, letters: str
) -> None:
    write(cli, text)

    ended = story(cli, draw_things.url)

    assert ended.code == 0, ended.stderr
    assert len(set(prompts(draw_things))) == 6
    assert any(letters in prompt for prompt in prompts(draw_things))
    assert documents(cli) == DOCUMENTS


def test_two_texts_of_one_name_are_refused(cli: CommandLine) -> None:
    write(cli)
    (cli.folder / "sub").mkdir()
    shutil.copy(cli.folder / "the_fox.txt", cli.folder / "sub")

    ended = cli("story", "the_fox.txt", "sub/the_fox.txt", "--out", "OUT")

    assert ended.code == 2
    assert "two texts are called 'the_fox', and would share a folder" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param((), "name a text to illustrate", id="no text"),
        pytest.param(("the_fox", "--words-by-model"), "--words-by-model needs --base-url or --model", id="words"),
        pytest.param(("the_fox", "--documents-only"), "no story of this name was illustrated here", id="no run"),
        pytest.param(("gone",), "cannot be read", id="missing"),
        pytest.param(("the_fox", "--payload", "bake"), "for img2img, not for txt2img", id="payload"),
    ],
)
def test_wrong_words_are_answered_in_words(cli: CommandLine, arguments: tuple[str, ...], said: str) -> None:
    write(cli)

    ended = cli("story", *arguments, "--out", "OUT", "--url", "http://127.0.0.1:1")

    assert ended.code == 2
    assert said in ended.stderr


def test_documents_of_a_story_that_is_not_there_are_said(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)
    story(cli, draw_things.url, "--ideas-only")
    shutil.rmtree(cli.folder / "OUT/the_fox")

    one = cli("story", "the_fox", "--out", "OUT", "--documents-only")
    every = cli("story", "--out", "OUT", "--documents-only")

    assert (one.code, every.code) == (2, 2)
    assert "no story of this name was illustrated here" in one.stderr
    assert "holds no story; begin one with: sdclient story TEXT" in every.stderr


@pytest.mark.parametrize(
    ("package", "arguments", "said"),
    [
        ("docx", (), "pip install 'sdclient[story]'; or say --format markdown --format html"),
        ("openai", ("--base-url", "http://127.0.0.1:1/v1"), "asking a language model needs a package"),
    ],
)
def test_a_missing_package_is_named_before_anything_is_drawn(
    cli: CommandLine, draw_things: Simulator, package: str, arguments: tuple[str, ...], said: str
) -> None:
    write(cli)
    blocked = cli.folder / "blocked"
    blocked.mkdir()
    (blocked / f"{package}.py").write_text("raise ImportError('not installed')")
    cli.env["PYTHONPATH"] = f"{blocked}:" + cli._env()["PYTHONPATH"]

    ended = story(cli, draw_things.url, *arguments)

    assert ended.code == 2
    assert said in ended.stderr
    assert not posts(draw_things)


def test_a_broken_list_of_ideas_is_named_with_its_place(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)
    story(cli, draw_things.url, "--ideas-only")
    path = Path(cli.folder / "OUT/the_fox/ideas.json")
    path.write_text(path.read_text().replace('"idea"', '"idae"', 1))

    ended = story(cli, draw_things.url)

    assert ended.code == 2
    assert "sections[0].ideas[0].idae: unknown field; did you mean idea?" in ended.stderr
    assert "make new ideas with --new-ideas, which keeps this one beside them" in ended.stderr


def test_a_list_of_ideas_that_was_cut_off_is_said_with_the_way_on(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)
    story(cli, draw_things.url, "--ideas-only")
    path = Path(cli.folder / "OUT/the_fox/ideas.json")
    path.write_text(cut := path.read_text()[:-40])

    refused = story(cli, draw_things.url)
    anew = story(cli, draw_things.url, "--ideas-only", "--new-ideas")

    assert refused.code == 2
    assert "not JSON" in refused.stderr
    assert "make new ideas with --new-ideas, which keeps this one beside them" in refused.stderr
    assert anew.code == 0
    assert path.with_name("ideas~1.json").read_text() == cut


def test_the_example_runs_on_a_simulated_server_and_prints_what_it_made(cli: CommandLine) -> None:
    example = Path(__file__).parents[2] / "examples/story.py"

    done = subprocess.run(
        [sys.executable, str(example), "--out", str(cli.folder / "OUT")],
        env=cli._env(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("images in each document: 6\n")
    assert documents(cli, "the_red_lantern") == [
        "The Red Lantern - Illustrations.docx",
        "The Red Lantern - Illustrations.html",
        "The Red Lantern - Illustrations.md",
    ]
    assert len(example.read_text(encoding="utf-8").splitlines()) <= 60


def test_extracts_are_one_image_for_every_hundred_words(cli: CommandLine, draw_things: Simulator) -> None:
    write(
        cli,
        " ".join(f"The fox number {n} ran over the long green hill to the old mill near the river." for n in range(42)),
    )
    with OpenAiServer(lambda number, _: f"content: scene {number}\nstyle: ink") as model:
        ended = cli(
            *("story", "the_fox", "--out", "OUT", "--url", draw_things.url, "--base-url", model.url),
            *("--extracts", "--style", "", *SMALL),
        )

    offline = cli("story", "the_fox", "--out", "OFFLINE", "--extracts", "--ideas-only", "--json")

    assert ended.code == 0
    assert sorted(prompts(draw_things)) == [f"scene {number}, ink" for number in range(1, 7)]
    assert [len(section["ideas"]) for section in json.loads(offline.stdout)["sections"]] == [2, 2, 2]


def test_of_the_many_ideas_of_a_book_some_are_shown_and_all_are_in_the_file(cli: CommandLine) -> None:
    write(
        cli,
        " ".join(
            f"The fox number {n} ran over the long green hill to the old mill near the river." for n in range(1300)
        ),
    )

    ended = cli("story", "the_fox", "--out", "OUT", "--extracts", "--ideas-only")

    sections = ideas(cli)["sections"]
    assert isinstance(sections, list)
    more = [len(section["ideas"]) - 50 for section in sections]
    assert min(more) > 0
    assert [line for line in ended.stderr.splitlines() if line.endswith("more")] == [f"    and {n} more" for n in more]
    assert ended.stderr.count("The fox number") == 150


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
def test_ctrl_c_while_a_model_thinks_stops_and_writes_no_half_list(cli: CommandLine) -> None:
    write(cli)
    began, over = threading.Event(), threading.Event()

    def slow(number: int, asked: Asked) -> str:
        del number, asked
        began.set()
        over.wait(30)
        return "[]"

    with OpenAiServer(slow) as model:
        with cli.start("story", "the_fox", "--out", "OUT", "--base-url", model.url) as process:
            assert began.wait(60)
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=60)
        over.set()

    assert process.returncode == 130
    assert stderr.strip().endswith("stopped")
    assert not (cli.folder / "OUT/the_fox").exists()
