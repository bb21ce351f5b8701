"""The page as text: complete, small, and nothing of what came from elsewhere is markup in it."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from sdclient.report.collect import make_report, read_run
from sdclient.report.page import SAMPLES, PageLinks, content_policy, embedded_json, place_url, render_page
from sdclient.report.plots import figure_text
from sdclient.report.write import ReportOptions, page_parts, write_report
from tests.unit.report.builder import RunBuilder, png

EVIL = "<script>window.evil=1</script><img src=x onerror=window.evil=1>\"'&{{7*7}}</style>"
VOID = {"meta", "link", "img", "br", "input"}


class Outline(HTMLParser):
    """Notes the elements of a page, and whether they are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.open: list[str] = []
        self.strays: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in ("src", "href"):
                self.addresses.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.strays.append(tag)


def page_of(run: RunBuilder, links: PageLinks | None = None, *, version: str = "") -> str:
    content = read_run(run.fresh())
    return render_page(page_parts(content, make_report(content), version=version), links)


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    return parser


def data_of(page: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    value: dict[str, object] = json.loads(found[1])
    return value


def test_a_page_shows_every_part_of_a_run(studied: RunBuilder) -> None:
    page = page_of(studied)

    for words in (
        "5 of 7 jobs done",
        "What ran",
        "Servers",
        "Failures, by reason",
        "prompt refused",
        "Images",
        "Energy",
    ):
        assert words in page
    assert page.count('<li class="card"') == 4
    assert "&lt;b&gt;oom&lt;/b&gt;" in page
    assert "Unknown: nothing that measures energy" in page


def test_tries_that_a_killed_worker_left_are_said_beside_the_timeline_that_cannot_draw_them(
    builder: RunBuilder,
) -> None:
    job = builder.plan("fox")
    builder.log(job, "lost", 0, started="", wall_s="", execute_s="", server="")
    builder.commit(job)

    page = page_of(builder)

    assert "1 try is not drawn: its worker ended or fell silent in the middle" in page


def test_a_page_without_lost_tries_speaks_of_none(studied: RunBuilder) -> None:
    assert "not drawn" not in page_of(studied)


def test_server_programs_have_the_names_that_people_know(studied: RunBuilder) -> None:
    page = page_of(studied)

    assert '<th scope="row"><bdi>mini</bdi></th><td>AUTOMATIC1111</td>' in page


def test_a_page_tells_what_was_not_done_as_asked_and_what_was_applied_instead(builder: RunBuilder) -> None:
    facts = {
        "losses": [{"field": "clip_skip", "kind": "dropped", "message": "this server knows none"}],
        "changed": [{"field": "steps", "asked": 30, "applied": 28}],
    }
    builder.commit(builder.plan("fox"), facts=facts)

    page = page_of(builder)

    assert '<th scope="row">clip_skip</th><td>dropped</td><td class="number">1</td>' in page
    assert "<bdi>this server knows none</bdi>" in page
    assert '<th scope="row">steps</th><td><bdi>30</bdi></td><td><bdi>28</bdi></td>' in page
    assert "No losses" not in page


def test_a_run_that_has_made_nothing_claims_no_absence_of_losses(builder: RunBuilder) -> None:
    builder.plan("fox")

    assert "No losses" not in page_of(builder)


def test_a_page_draws_every_worker_and_lists_the_pauses(builder: RunBuilder) -> None:
    for number, begin_s in enumerate((0, 10, 20, 300)):
        builder.log(builder.plan(f"fox{number}"), "done", begin_s, worker="w1")
    builder.log(builder.plan("owl"), "failed", 20, worker="w2")

    page = page_of(builder)

    assert '<bdi>mini · worker w1</bdi><br><span class="soft">4 tries, 0 failed, held for 32 s</span>' in page
    assert '<bdi>mini · worker w2</bdi><br><span class="soft">1 try, 1 failed, held for 8 s</span>' in page
    assert page.count('<path class="done" d="M') == 1
    assert page.count('<path class="failed" d="M') == 1
    assert "1 long pause between two jobs of a server" in page
    assert "mini: 4.53 min from 01 Jan 12:00" in page


def test_clocks_that_disagree_are_said_in_the_page(builder: RunBuilder) -> None:
    made = builder.plan("fox")
    builder.log(made, "done", 3600, worker="w1")
    builder.log(builder.plan("baked", kind="img2img", source=made), "done", 0, worker="w2")

    page = page_of(builder)

    assert "The clock of worker w2 and the clock of worker w1 disagree by about 60 min or more." in page
    assert "No long pauses" not in page
    assert "must not be compared across" in page
    assert "Times are UTC" not in page


def test_what_a_server_sent_stands_with_the_failure(builder: RunBuilder) -> None:
    builder.fail(builder.plan("fox"), "status 500: out of memory", reply='{"error": "OutOfMemoryError"}')

    page = page_of(builder)

    assert '<pre tabindex="0" dir="auto">{&#34;error&#34;: &#34;OutOfMemoryError&#34;}</pre>' in page
    assert re.search(r"What the server sent, from \.sdclient/replies/\w+\.e000001\.txt", page)


def test_a_page_with_prompts_of_ten_megabytes_stays_small(builder: RunBuilder) -> None:
    builder.commit(builder.plan("fox", changes={"prompt": "x" * 10_000_000, "negative_prompt": "y" * 10_000_000}))

    written = write_report(builder.fresh())

    assert written.size_bytes < 300_000
    assert (builder.out / "images.csv").stat().st_size < 100_000
    assert "(10,000,000 characters)" in written.page.read_text(encoding="utf-8")


def test_a_page_is_well_formed_and_its_ids_are_unique(studied: RunBuilder) -> None:
    found = outline(page_of(studied))

    assert found.strays == []
    assert found.open == []
    assert len(found.ids) == len(set(found.ids))


def test_a_page_loads_nothing_from_outside(studied: RunBuilder) -> None:
    page = page_of(studied)

    assert all(address.startswith(("./", "#", "data:")) for address in outline(page).addresses)
    assert "default-src &#39;none&#39;" in page


def test_texts_from_elsewhere_are_never_markup(builder: RunBuilder) -> None:
    job = builder.plan("evil", changes={"prompt": EVIL}, columns={EVIL: EVIL})
    facts = {
        "server": EVIL,
        "losses": [{"field": EVIL, "kind": EVIL, "message": EVIL}],
        "changed": [{"field": EVIL, "asked": EVIL, "applied": EVIL}],
    }
    builder.commit(job, facts=facts)
    builder.fail(builder.plan(f"evil {EVIL[:40].replace('/', '')}"), EVIL, error=EVIL, reply=EVIL)

    page = page_of(builder)

    found = outline(page)
    assert found.tags.count("script") == 2
    assert found.handlers == []
    assert found.strays == []
    assert "{{7*7}}" in page
    assert "49</style" not in page
    data = data_of(page)
    assert EVIL in str(data["texts"]) or EVIL in data["texts"]  # type: ignore[operator]  # a list of texts


def test_names_with_quotes_spaces_and_colons_make_addresses_that_lead_there(builder: RunBuilder) -> None:
    builder.commit(builder.plan('it\'s "a" fox: 50% #1?/ü 漢'))

    assert "./it%27s%20%22a%22%20fox%3A%2050%25%20%231%3F/%C3%BC%20%E6%BC%A2_1.png" in page_of(builder)
    assert place_url("c:/x.png") == "./c%3A/x.png"


def test_right_to_left_names_are_isolated(builder: RunBuilder) -> None:
    builder.commit(builder.plan("ثعلب", changes={"prompt": "ثعلب أحمر"}))

    # A file name reads from left to right, whatever its letters: its number and ending stay at its end.
    assert '<bdi dir="ltr">ثعلب_1.png</bdi>' in page_of(builder)


def test_a_prompt_shared_by_many_images_is_in_the_page_once(builder: RunBuilder) -> None:
    for number in range(20):
        builder.commit(builder.plan(f"fox{number}", changes={"prompt": "a very particular fox"}))

    assert page_of(builder).count("a very particular fox") == 1


def test_an_image_that_is_gone_has_no_picture_and_says_so(studied: RunBuilder) -> None:
    (studied.out / "generated/Greek/fox_1.png").unlink()

    page = page_of(studied)

    assert "gone: fox_1.png" in page
    assert 'src="./generated/Greek/fox_1.png"' not in page


def test_before_and_cut_outs_are_in_the_data(studied: RunBuilder) -> None:
    cards = data_of(page_of(studied))["cards"]

    assert isinstance(cards, list)
    assert cards[1]["before"] == {"path": "generated/Italian/fox_1.png"}
    assert cards[1]["cutouts"] == {"folder": "cutouts/Italian/fox/", "names": ["fox_01.png", "fox_02.png"]}
    assert cards[1]["replay"] == 1


def test_a_live_page_knows_its_version_and_a_written_one_looks_for_none(studied: RunBuilder) -> None:
    live, written = page_of(studied, version="v1"), page_of(studied)

    assert 'data-live="yes"' in live
    assert data_of(live)["version"] == "v1"
    assert "data-live=" not in written


def test_the_policy_names_the_one_script_that_may_run(studied: RunBuilder) -> None:
    import base64
    import hashlib

    script = page_of(studied).rsplit("<script>", 1)[1].split("</script>")[0]

    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in content_policy()


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_embedded_json_reads_back_and_can_end_no_element(value: object) -> None:
    text = embedded_json(value)

    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


def test_half_a_surrogate_pair_does_not_break_a_page() -> None:
    assert embedded_json("\ud800").encode("utf-8")


def test_figures_are_said_with_three_digits() -> None:
    assert [figure_text(value) for value in (None, 0.12345, 12.34, 1234.5)] == ["—", "0.123", "12.3", "1,234"]
    assert figure_text(3.0, " Wh") == "3 Wh"


def test_a_report_writes_page_tables_metadata_and_thumbnails(studied: RunBuilder) -> None:
    seen: list[tuple[int, int]] = []

    written = write_report(studied.fresh(), ReportOptions(on_thumb=lambda made, total: seen.append((made, total))))

    assert written.page == studied.out / "report.html"
    assert written.size_bytes == written.page.stat().st_size
    assert {path.name for path in studied.out.glob("*.*")} >= {
        "report.html",
        "images.csv",
        "attempts.csv",
        "metadata.jsonl",
    }
    assert seen[-1] == (4, 4)
    assert ".sdclient/thumbs/" in written.page.read_text(encoding="utf-8")
    assert written.notes == ()


def test_a_report_again_makes_no_thumbnail_twice(studied: RunBuilder) -> None:
    seen: list[tuple[int, int]] = []
    write_report(studied.fresh())

    write_report(studied.fresh(), ReportOptions(on_thumb=lambda made, total: seen.append((made, total))))

    assert seen == []


def test_an_embedded_page_carries_its_thumbnails(studied: RunBuilder) -> None:
    written = write_report(studied.fresh(), ReportOptions(embed=True))

    carried = re.findall(r'src="(data:image/webp;base64,[^"]+)"', written.page.read_text(encoding="utf-8"))
    assert len(set(carried)) == 4


def test_the_head_shows_the_last_drawing_of_each_image(studied: RunBuilder) -> None:
    page = write_report(studied.fresh(), ReportOptions(thumbs=False)).page.read_text(encoding="utf-8")

    head = page[page.index('<div id="part-samples"') : page.index("<nav")]
    assert re.findall(r'<a href="([^"]+)"', head) == [
        "./baked/Italian/fox_1_upscaled_1.png",
        "./baked/Greek/fox_1_upscaled_1.png",
    ]


def test_of_many_images_the_head_shows_a_few_from_all_over_the_run(builder: RunBuilder) -> None:
    for number in range(SAMPLES * 3):
        builder.commit(builder.plan(f"fox{number:02}"), png())

    page = write_report(builder.fresh(), ReportOptions(thumbs=False)).page.read_text(encoding="utf-8")

    head = page[page.index('<div id="part-samples"') : page.index("<nav")]
    assert re.findall(r'alt="([^"]+)"', head) == [f"fox{number:02}_1.png" for number in range(0, SAMPLES * 3, 3)]


def test_a_page_of_a_simulated_server_says_so(builder: RunBuilder) -> None:
    builder.commit(builder.plan("fox"), facts={"server": "mini", "simulated": True})

    page = write_report(builder.fresh()).page.read_text(encoding="utf-8")

    assert "<b>Simulated.</b> <bdi>mini</bdi>: images by sdclient" in page


def test_a_page_of_a_real_server_does_not_call_it_simulated(studied: RunBuilder) -> None:
    assert "Simulated." not in write_report(studied.fresh()).page.read_text(encoding="utf-8")


def test_without_thumbnails_the_images_themselves_are_shown(studied: RunBuilder) -> None:
    written = write_report(studied.fresh(), ReportOptions(thumbs=False))

    assert 'src="./generated/Greek/fox_1.png"' in written.page.read_text(encoding="utf-8")


def test_an_image_of_the_same_length_that_was_replaced_is_found_when_its_thumbnail_is_made(builder: RunBuilder) -> None:
    builder.commit(builder.plan("fox"), png((1, 2, 3)))
    data = bytearray((builder.out / "fox_1.png").read_bytes())
    data[-20] ^= 1
    (builder.out / "fox_1.png").write_bytes(data)

    written = write_report(builder.fresh())

    assert "changed or replaced by hand" in written.notes[0]


def test_failures_are_headed_by_what_was_wrong_and_not_by_the_address_that_was_asked(builder: RunBuilder) -> None:
    job = builder.plan("fox")
    builder.fail(job, "POST http://mini:7860/sdapi/v1/txt2img: image 1 is black all over", error="BadReplyError")

    page = page_of(builder)

    assert "<b><bdi>image 1 is black all over</bdi></b>: 1 try of 1 job, none set aside" in page
