"""The page in the hands of people: a real browser clicks, types, drags and looks."""

from __future__ import annotations

import csv
import io
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright
from pydantic import JsonValue

from sdclient.batch.plan import job_id
from sdclient.report.serve import PageServer
from sdclient.report.write import ReportOptions, write_report
from tests.conftest import CommandLine
from tests.unit.report.builder import RunBuilder, png, study

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt install chromium)")
# A busy machine takes its time to look at a folder again.
expect.set_options(timeout=30_000)
# So many that most are far below the edge of the window.
MANY = 300


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # A live page asks every three seconds, and the machine may have other work.
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    opened = context.new_page()
    opened.set_default_timeout(30_000)
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert errors == []


@pytest.fixture
def written(tmp_path: Path) -> Path:
    return write_report(study(tmp_path / "OUT").fresh()).page


def test_an_image_opens_by_click_and_closes_back_to_where_people_were(page: Page, written: Path) -> None:
    page.goto(written.as_uri())
    link = page.locator(".card a").nth(1)

    link.click()
    expect(page.locator("#sheet")).to_be_visible()
    expect(page.locator("#sheet-at")).to_have_text("2 of 4")
    page.keyboard.press("Escape")

    expect(page.locator("#sheet")).to_be_hidden()
    expect(link).to_be_focused()
    assert page.locator("#sheet").get_attribute("open") is None


def test_an_image_of_the_head_opens_the_same_sheet(page: Page, written: Path) -> None:
    page.goto(written.as_uri())

    page.locator(".samples a").first.click()

    expect(page.locator("#sheet-name")).to_have_text("fox_1_upscaled_1.png")
    assert page.locator("#pile img.after").get_attribute("src") == "./baked/Italian/fox_1_upscaled_1.png"


def test_all_of_it_works_by_keyboard(page: Page, written: Path) -> None:
    page.goto(written.as_uri())
    page.locator(".card a").first.focus()

    page.keyboard.press("Enter")
    page.keyboard.press("k")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("r")
    page.keyboard.press("Escape")

    expect(page.locator("#shown")).to_have_text("4 of 4 shown · 1 kept · 1 rejected")
    assert page.locator(".card .mark").all_text_contents() == ["kept", "rejected", "", ""]


def test_the_slider_shows_more_or_less_of_the_image_before(page: Page, written: Path) -> None:
    page.goto(written.as_uri())
    page.locator(".samples a").first.click()
    before = page.locator("#pile img.before")
    half = before.evaluate("image => getComputedStyle(image).clipPath")

    page.locator("#cut").fill("10")

    assert "50%" in half
    assert "90%" in before.evaluate("image => getComputedStyle(image).clipPath")


@pytest.mark.parametrize("used", ["#cut", ".cuts input"], ids=["slider", "cut-out box"])
def test_marks_are_set_by_key_after_the_slider_or_a_box_was_used(page: Page, written: Path, used: str) -> None:
    page.goto(written.as_uri())
    page.locator(".samples a").first.click()

    page.locator(used).first.click()
    page.keyboard.press("k")

    expect(page.locator("#keep")).to_have_attribute("aria-pressed", "true")
    assert page.locator("#reject").get_attribute("aria-pressed") == "false"


def test_arrow_keys_inside_the_slider_move_it_and_nothing_else(page: Page, written: Path) -> None:
    page.goto(written.as_uri())
    page.locator(".samples a").first.click()
    name = page.locator("#sheet-name").inner_text()
    page.locator("#cut").focus()

    page.keyboard.press("ArrowRight")

    expect(page.locator("#cut")).to_have_value("51")
    assert page.locator("#sheet-name").inner_text() == name


def test_letters_that_are_typed_into_the_search_mark_nothing(page: Page, written: Path) -> None:
    page.goto(written.as_uri())
    page.locator(".card a").first.focus()

    page.locator("#find").press_sequentially("kr")

    expect(page.locator("#find")).to_have_value("kr")
    assert "0 kept · 0 rejected" in page.locator("#shown").inner_text()


def test_cut_outs_are_laid_over_their_image(page: Page, written: Path) -> None:
    page.goto(written.as_uri())
    page.locator(".samples a").first.click()

    page.get_by_text("All or none").click()

    cutouts = page.locator("#pile img.cutout")
    expect(cutouts).to_have_count(2)
    assert all(
        cutouts.nth(index).evaluate("image => image.decode().then(() => image.naturalWidth)") for index in (0, 1)
    )


def test_an_image_that_was_drawn_over_nothing_has_no_slider(page: Page, written: Path) -> None:
    page.goto(written.as_uri())
    page.locator(".samples a").first.click()
    expect(page.locator("#cut")).to_be_visible()
    page.keyboard.press("Escape")

    page.locator("[data-folder='generated/Italian'] .card a").click()

    expect(page.locator("#sheet")).to_be_visible()
    expect(page.locator("#cut")).to_be_hidden()
    assert page.locator("#pile img").count() == 1


def test_rejected_images_are_saved_as_a_list_that_redo_reads(page: Page, written: Path) -> None:
    page.goto(written.as_uri())
    page.locator(".card a").first.focus()
    page.keyboard.press("r")

    with page.expect_download() as download:
        page.locator("#rejected").click()

    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert rows == [{"image": "baked/Greek/fox_1_upscaled_1.png", "mark": "reject"}]


def test_a_rejected_image_whose_name_begins_like_a_formula_is_found_by_redo(
    page: Page, tmp_path: Path, cli: CommandLine
) -> None:
    run = RunBuilder.at(tmp_path / "OUT")
    for name in ("=fox", "-owl", 'it\'s "a" cat'):
        run.commit(run.plan(name), png())
    page.goto(write_report(run.fresh()).page.as_uri())
    for number in range(3):
        page.locator(".card a").nth(number).focus()
        page.keyboard.press("r")

    with page.expect_download() as download:
        page.locator("#rejected").click()
    ended = cli("redo", str(run.out), "--list", str(download.value.path()))

    assert (ended.code, ended.stdout.splitlines()) == (0, ["=fox", "-owl", 'it\'s "a" cat'])


def test_marks_are_there_again_when_the_page_is_opened_again(page: Page, written: Path) -> None:
    page.goto(written.as_uri())
    page.locator(".card a").first.focus()
    page.keyboard.press("k")

    page.reload()

    expect(page.locator("#shown")).to_have_text("4 of 4 shown · 1 kept · 0 rejected")
    assert page.locator(".card .mark").all_text_contents() == ["kept", "", "", ""]


def test_two_tabs_of_one_page_share_their_marks(page: Page, written: Path) -> None:
    other = page.context.new_page()
    for one in (page, other):
        one.goto(written.as_uri())

    # Nobody types into a tab that lies behind another.
    page.bring_to_front()
    page.locator(".card a").nth(0).focus()
    page.keyboard.press("k")
    for one in (page, other):
        expect(one.locator("#shown")).to_have_text("4 of 4 shown · 1 kept · 0 rejected")
    other.bring_to_front()
    other.locator(".card a").nth(1).focus()
    other.keyboard.press("r")

    for one in (page, other):
        expect(one.locator(".card .mark")).to_have_text(["kept", "rejected", "", ""])
    page.reload()
    assert page.locator("#shown").inner_text() == "4 of 4 shown · 1 kept · 1 rejected"


def test_a_mark_that_a_tab_has_not_heard_of_outlives_its_next_one(page: Page, written: Path) -> None:
    page.goto(written.as_uri())
    page.locator(".card a").nth(0).focus()
    page.keyboard.press("k")
    # What this tab stores itself is no event to it, as if another's had been lost.
    page.evaluate("""() => {
        const key = Object.keys(localStorage)[0], marks = JSON.parse(localStorage[key]);
        localStorage[key] = JSON.stringify({ ...marks, [JSON.parse(document.getElementById("data").textContent).cards[1].key]: "reject" });
    }""")

    page.locator(".card a").nth(2).focus()
    page.keyboard.press("r")

    expect(page.locator("#shown")).to_have_text("4 of 4 shown · 1 kept · 2 rejected")
    assert page.locator(".card .mark").all_text_contents() == ["kept", "rejected", "rejected", ""]


def test_marks_last_as_long_as_the_page_where_nothing_can_be_stored(page: Page, written: Path) -> None:
    page.add_init_script("Storage.prototype.setItem = () => { throw new Error('full'); };")
    page.goto(written.as_uri())

    for number, key in enumerate("kr"):
        page.locator(".card a").nth(number).focus()
        page.keyboard.press(key)

    assert page.locator(".card .mark").all_text_contents() == ["kept", "rejected", "", ""]


def test_marks_of_images_that_are_no_longer_there_do_not_count(page: Page, tmp_path: Path) -> None:
    run = RunBuilder.at(tmp_path / "OUT")
    fox, owl = run.plan("fox"), run.plan("owl")
    run.commit(fox)
    run.commit(owl)
    page.goto(write_report(run.fresh()).page.as_uri())
    for number in range(2):
        page.locator(".card a").nth(number).focus()
        page.keyboard.press("r")
    shutil.rmtree(run.folder.done_folder(fox.id))
    run.commit(run.plan("fox again"))
    write_report(run.fresh())

    page.reload()

    expect(page.locator("#shown")).to_have_text("2 of 2 shown · 0 kept · 1 rejected")
    assert sorted(page.locator(".card .mark").all_text_contents()) == ["", "rejected"]


def test_finding_by_words_leaves_what_has_all_of_them(page: Page, written: Path) -> None:
    page.goto(written.as_uri())

    page.locator("#find").fill("greek fox")

    expect(page.locator("#shown")).to_have_text("2 of 4 shown · 0 kept · 0 rejected")
    found = page.locator(".card:not([hidden]) a")
    assert [link.get_attribute("href") for link in found.all()] == [
        "./baked/Greek/fox_1_upscaled_1.png",
        "./generated/Greek/fox_1.png",
    ]


def test_the_replay_command_is_there_to_copy(page: Page, written: Path) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(written.as_uri())
    page.locator(".samples a").first.click()
    expect(page.locator("#side code")).to_have_text("sdclient replay baked/Italian/fox_1_upscaled_1.png")

    page.get_by_role("button", name="Copy").click()

    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "sdclient replay baked/Italian/fox_1_upscaled_1.png"


def test_an_open_image_tells_its_prompt_seed_and_server(page: Page, written: Path) -> None:
    page.goto(written.as_uri())

    page.locator("[data-folder='generated/Greek'] .card a").click()

    expect(page.locator("#side .text").first).to_have_text("a Greek fox")
    names, values = page.locator("#side dt").all_text_contents(), page.locator("#side dd").all_text_contents()
    facts = dict(zip(names, values, strict=True))
    assert (facts["seed"], facts["server"], facts["nation"]) == ("7", "mini", "Greek")


def test_images_are_sorted_by_their_folders(page: Page, written: Path) -> None:
    page.goto(written.as_uri())

    folders = [group.get_attribute("data-folder") for group in page.locator(".group").all()]

    assert folders == ["baked/Greek", "baked/Italian", "generated/Greek", "generated/Italian"]


def test_all_marks_are_saved_as_a_table(page: Page, written: Path) -> None:
    page.goto(written.as_uri())
    for number, key in enumerate("kr"):
        page.locator(".card a").nth(number).focus()
        page.keyboard.press(key)

    with page.expect_download() as download:
        page.locator("#export").click()

    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert sorted(row["mark"] for row in rows) == ["keep", "reject"]
    assert {row["image"] for row in rows} == {
        "baked/Greek/fox_1_upscaled_1.png",
        "baked/Italian/fox_1_upscaled_1.png",
    }


def test_nothing_that_stands_in_a_prompt_a_name_a_column_or_a_reply_is_run(page: Page, tmp_path: Path) -> None:
    evil = "</script></style><script>window.evil=1</script><img src=x onerror=window.evil=1><svg onload=window.evil=1>"
    run = RunBuilder.at(tmp_path / "OUT")
    changes: dict[str, JsonValue] = {"prompt": evil, "negative_prompt": evil}
    job = run.plan("it's <b>&quot;", changes=changes, columns={"nation": evil, "=1+1": evil})
    run.commit(job, facts={"server": evil, "changed": [{"field": evil, "asked": evil, "applied": evil}]})
    run.fail(run.plan("owl"), evil, error=evil, reply=evil)
    asked: list[str] = []
    page.on("dialog", lambda dialog: asked.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/x") else None)
    page.goto(write_report(run.fresh()).page.as_uri())

    page.locator(".card a").click()

    expect(page.locator("#side .text").first).to_have_text(evil)
    assert page.evaluate("window.evil") is None
    assert page.locator("#side img, #side script, main script, #part-failures img").count() == 0
    assert asked == []


def test_a_page_that_was_sent_without_its_images_shows_what_it_carries(page: Page, tmp_path: Path) -> None:
    page_here = write_report(study(tmp_path / "OUT").fresh(), ReportOptions(embed=True)).page
    (tmp_path / "sent").mkdir()
    sent = page_here.rename(tmp_path / "sent" / "report.html")
    page.goto(sent.as_uri())

    page.locator(".samples a").first.click()

    expect(page.get_by_text("small: the image itself is not beside this page")).to_be_visible()
    expect(page.locator("#cut")).to_be_hidden()
    expect(page.locator("#pile img")).to_have_count(1)
    assert page.locator("#pile img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


def test_a_page_that_was_sent_without_its_cut_outs_says_so_where_one_is_ticked(page: Page, tmp_path: Path) -> None:
    page_here = write_report(study(tmp_path / "OUT").fresh(), ReportOptions(embed=True)).page
    (tmp_path / "sent").mkdir()
    page.goto(page_here.rename(tmp_path / "sent" / "report.html").as_uri())
    page.locator(".samples a").first.click()
    said = page.get_by_text("their files are not beside this page")
    expect(said).to_be_hidden()

    page.locator(".cuts input").first.check()

    expect(said).to_be_visible()


def test_of_many_images_only_those_near_the_view_are_loaded(page: Page, tmp_path: Path) -> None:
    run = RunBuilder.at(tmp_path / "OUT")
    for number in range(MANY):
        run.commit(run.plan(f"fox{number:03}"), png((number % 256, 9, 9)))
    asked: list[str] = []
    page.on("request", lambda request: _note(asked, request))

    page.goto(write_report(run.fresh(), ReportOptions(thumbs=False)).page.as_uri())
    page.wait_for_load_state("networkidle")
    first = len(asked)
    page.locator(f'.card[data-n="{MANY - 1}"]').scroll_into_view_if_needed()
    page.locator(f'.card[data-n="{MANY - 1}"] img').evaluate("image => image.decode()")

    assert first < MANY / 3
    assert any(name.endswith(f"fox{MANY - 1}_1.png") for name in asked)


def _note(asked: list[str], request: Request) -> None:
    if request.resource_type == "image":
        asked.append(request.url)


def test_a_page_asks_for_nothing_but_files_beside_it(page: Page, written: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.goto(written.as_uri())
    page.locator(".samples a").first.click()
    page.get_by_text("All or none").click()
    page.wait_for_load_state("networkidle")

    assert asked
    assert all(url.startswith((written.parent.as_uri() + "/", "data:")) for url in asked)


def test_a_live_page_shows_what_is_done_meanwhile_and_forgets_nothing_of_its_reader(page: Page, tmp_path: Path) -> None:
    run = study(tmp_path / "OUT")
    with PageServer(run.fresh(), port=0) as server:
        threading.Thread(target=server.serve, daemon=True).start()
        try:
            page.goto(server.url)
            page.locator(".card a").first.focus()
            page.keyboard.press("k")
            page.locator("#find").fill("fox")
            expect(page.locator("#shown")).to_have_text("4 of 4 shown · 1 kept · 0 rejected")
            run.commit(run.plan("generated/Polish/fox", changes={"prompt": "a Polish fox"}), png((1, 2, 3)))

            expect(page.locator("#shown")).to_have_text("5 of 5 shown · 1 kept · 0 rejected")

            assert page.locator("#find").input_value() == "fox"
            expect(page.locator(".card[data-mark=keep]")).to_have_count(1)
        finally:
            server.stop()


def test_an_open_image_that_is_redone_meanwhile_gives_way_to_the_new_one(page: Page, tmp_path: Path) -> None:
    run = study(tmp_path / "OUT")
    with PageServer(run.fresh(), port=0) as server:
        threading.Thread(target=server.serve, daemon=True).start()
        try:
            page.goto(server.url)
            page.locator(".card a[href*='Greek/fox_1.png']").first.click()
            name = page.locator("#sheet-name").inner_text()
            was = run.folder.read_plan().jobs[job_id("txt2img", "generated/Greek/fox")]
            again = replace(was, id=job_id(was.kind, was.place, 1), revision=1)
            run.folder.add([again], run.folder.read_plan().specs)

            with page.expect_response(lambda answer: "Greek/fox_1.png" in answer.url) as fetched:
                run.commit(again, new := png((1, 2, 3)))

            assert fetched.value.body() == new
            assert page.locator("#sheet-name").inner_text() == name
            page.keyboard.press("r")
            expect(page.locator("#shown")).to_have_text("4 of 4 shown · 0 kept · 1 rejected")
        finally:
            server.stop()


def test_a_live_page_that_was_opened_before_the_first_job_gets_every_part_it_had_no_use_for(
    page: Page, tmp_path: Path
) -> None:
    run = RunBuilder.at(tmp_path / "OUT")
    job = run.plan("generated/fox")
    with PageServer(run.fresh(), port=0) as server:
        threading.Thread(target=server.serve, daemon=True).start()
        try:
            page.goto(server.url)
            expect(page.get_by_text("Nothing was tried yet.")).to_be_visible()

            run.fail(run.plan("generated/owl"), "status 500: out of memory")
            run.commit(job, png((1, 2, 3)))

            expect(page.get_by_role("heading", name="Failures, by reason")).to_be_visible()
            expect(page.get_by_role("heading", name="Figures")).to_be_visible()
            expect(page.locator(".samples a")).to_have_count(1)
            expect(page.locator("#kind option")).to_have_text(["all", "txt2img"])
            expect(page.get_by_role("link", name="Failures")).to_be_visible()
            assert page.locator(".card").count() == 1
        finally:
            server.stop()


def test_a_live_page_leaves_open_what_its_reader_has_opened(page: Page, tmp_path: Path) -> None:
    run = study(tmp_path / "OUT")
    with PageServer(run.fresh(), port=0) as server:
        threading.Thread(target=server.serve, daemon=True).start()
        try:
            page.goto(server.url)
            first, second = page.locator("#part-failures details").nth(0), page.locator("#part-failures details").nth(1)
            first.locator("summary").click()
            second.locator("summary").click()
            run.fail(run.plan("generated/Greek/owl"), "status 500: out of memory after 13 s")

            expect(page.locator("#part-failures")).to_contain_text("2 tries of 2 jobs")

            assert first.get_attribute("open") is None
            assert second.get_attribute("open") is not None
            expect(second.locator("summary")).to_be_focused()
        finally:
            server.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [1280, 390])
def test_a_checker_of_accessibility_finds_nothing(browser: Browser, written: Path, scheme: str, width_px: int) -> None:
    context = browser.new_context(
        viewport={"width": width_px, "height": 844}, color_scheme="dark" if scheme == "dark" else "light"
    )
    # The page's own policy keeps every script but its own out; the checker is one.
    opened = context.new_page()
    opened.route("**/report.html", lambda route: route.fulfill(body=_without_policy(written), content_type="text/html"))
    opened.goto(written.as_uri())

    closed = Axe().run(opened)
    opened.locator(".samples a").first.click()
    sheet = Axe().run(opened)
    context.close()

    assert closed.violations_count == 0, closed.generate_report()
    assert sheet.violations_count == 0, sheet.generate_report()


def _without_policy(written: Path) -> str:
    return written.read_text(encoding="utf-8").replace('http-equiv="Content-Security-Policy"', 'name="policy"')


@pytest.mark.parametrize("width_px", [320, 390, 768, 1280])
def test_no_width_makes_the_page_scroll_sideways(browser: Browser, tmp_path: Path, width_px: int) -> None:
    run = RunBuilder.at(tmp_path / "OUT")
    run.fail(run.plan("generated/" + "a_very_long_name_of_a_job_" * 4), "x" * 90 + ": status 500", reply="y" * 500)
    run.commit(run.plan("z" * 90), png())
    written = write_report(run.fresh()).page
    context = browser.new_context(viewport={"width": width_px, "height": 844})
    opened = context.new_page()
    opened.goto(written.as_uri())

    needed = opened.evaluate("document.documentElement.scrollWidth")
    context.close()

    assert needed <= width_px
