"""The live page over real sockets: who may look, at what, and that it changes nothing."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from sdclient.batch.beats import BeatWriter
from sdclient.batch.plan import FileInput
from sdclient.cli.serve import command
from sdclient.errors import ConfigurationError
from sdclient.report.live import LiveRun
from sdclient.report.serve import PageServer
from tests.conftest import CommandLine
from tests.unit.report.builder import BEGAN, RunBuilder, png, study

TOKEN = "a-token-of-the-test"


@dataclass
class Got:
    """A reply."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass
class Browser:
    """Asks a page server."""

    server: PageServer

    def __call__(self, path: str, *, method: str = "GET", host: str | None = None) -> Got:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host if host is not None else f"127.0.0.1:{self.server.port}")
        connection.endheaders()
        reply = connection.getresponse()
        got = Got(reply.status, reply.read(), {name.lower(): value for name, value in reply.getheaders()})
        connection.close()
        return got

    def page(self, name: str = "", *, method: str = "GET") -> Got:
        return self(f"/{TOKEN}/{name}", method=method)


@pytest.fixture
def run(tmp_path: Path) -> RunBuilder:
    """A small study."""
    return study(tmp_path / "OUT")


@pytest.fixture
def browse(run: RunBuilder) -> Iterator[Browser]:
    """A browser beside a server of the study."""
    with PageServer(run.fresh(), port=0, token=TOKEN) as server:
        server.run = LiveRun(run.fresh(), fresh_s=0)
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        yield Browser(server)
        server.stop()
        thread.join(5)


def test_the_page_is_given_to_whoever_has_the_whole_address(browse: Browser) -> None:
    got = browse.page()

    assert got.status == 200
    assert b'data-live="yes"' in got.body
    assert got.headers["content-type"] == "text/html; charset=utf-8"
    assert "frame-ancestors 'none'" in got.headers["content-security-policy"]
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["referrer-policy"] == "no-referrer"
    assert got.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/", "//", "/wrong/", f"/{TOKEN}", f"/{TOKEN}x/", f"/x/{TOKEN}/", "/%00/", "/?x=/"])
def test_without_the_token_there_is_nothing(browse: Browser, path: str) -> None:
    got = browse(path)

    assert got.status == 404
    assert b"fox" not in got.body


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "",
        "localhost.evil:{port}",
        "192.168.1.5:{port}",
    ],
)
def test_another_host_name_is_refused(browse: Browser, host: str) -> None:
    got = browse(f"/{TOKEN}/", host=host.format(port=browse.server.port))

    assert got.status == 421
    assert b"fox" not in got.body


@pytest.mark.parametrize("host", ["localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_loopback_names_are_taken(browse: Browser, host: str) -> None:
    assert browse(f"/{TOKEN}/", host=host.format(port=browse.server.port)).status == 200


def test_images_cut_outs_thumbnails_and_what_came_before_are_given(browse: Browser, run: RunBuilder) -> None:
    key = next(key for key in browse.page().body.decode().split('id="c-')[1:] if "baked" in key).split('"')[0]

    image = browse.page("baked/Italian/fox_1_upscaled_1.png")
    cutout = browse.page("cutouts/Italian/fox/fox_01.png")
    thumb, before = browse.page(f"thumb/{key}"), browse.page(f"before/{key}")

    assert image.body == (run.out / "baked/Italian/fox_1_upscaled_1.png").read_bytes()
    assert (image.headers["content-type"], cutout.status) == ("image/png", 200)
    assert (thumb.headers["content-type"], thumb.body[:4]) == ("image/webp", b"RIFF")
    assert before.body.startswith(b"\x89PNG")
    assert browse.page(f"thumb/{key}").body == thumb.body


def test_a_browser_keeps_no_image_in_whose_place_another_may_come(browse: Browser) -> None:
    key = browse.page().body.decode().split('id="c-')[1].split('"')[0]

    assert browse.page("baked/Italian/fox_1_upscaled_1.png").headers["cache-control"] == "no-store"
    assert browse.page(f"before/{key}").headers["cache-control"] == "no-store"
    assert browse.page(f"thumb/{key}").headers["cache-control"] == "private, max-age=300"


@pytest.mark.parametrize(
    "name",
    [
        ".sdclient/run.json",
        "images.csv",
        "cutouts/Italian/fox/objects.json",
        "../OUT/generated/Greek/fox_1.png",
        "..%2f..%2f..%2fetc%2fpasswd",
        "generated/Greek/../Greek/fox_1.png",
        "/etc/passwd",
        "generated/Greek/holiday.png",
        "thumb/none",
        "before/none",
        "thumb/",
        "%ff%fe",
    ],
)
def test_nothing_else_in_the_folder_is_given_out(browse: Browser, run: RunBuilder, name: str) -> None:
    (run.out / "generated/Greek/holiday.png").write_bytes(png())

    got = browse.page(name)

    assert got.status == 404


def test_an_image_that_became_a_link_is_not_followed(browse: Browser, run: RunBuilder) -> None:
    secret = run.out.parent / "secret.png"
    secret.write_bytes(png())
    path = run.out / "generated/Greek/fox_1.png"
    path.unlink()
    path.symlink_to(secret)

    assert browse.page("generated/Greek/fox_1.png").status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_there_is_no_way_to_change_anything(browse: Browser, method: str) -> None:
    assert browse.page(method=method).status == 501


def test_a_head_request_has_no_body(browse: Browser) -> None:
    assert browse.page(method="HEAD").body == b""
    assert browse.page("baked/Italian/fox_1_upscaled_1.png", method="HEAD").body == b""
    assert browse.page("none.png", method="HEAD").status == 404


def test_looking_writes_nothing(browse: Browser, run: RunBuilder) -> None:
    before = sorted(path for path in run.out.rglob("*"))
    key = browse.page().body.decode().split('id="c-')[1].split('"')[0]

    browse.page(f"thumb/{key}")

    assert sorted(path for path in run.out.rglob("*")) == before


def test_a_job_done_elsewhere_changes_the_version_and_shows_in_the_page(browse: Browser, run: RunBuilder) -> None:
    before = json.loads(browse.page("state.json").body)["version"]
    run.commit(run.plan("generated/New/fox"))

    after = json.loads(browse.page("state.json").body)["version"]

    assert after != before
    assert b"generated/New/fox_1.png" in browse.page().body
    assert json.loads(browse.page("state.json").body)["version"] == after


def test_a_page_of_a_run_that_stands_still_is_read_anew_after_a_minute_and_says_so(tmp_path: Path) -> None:
    run = RunBuilder.at(tmp_path / "OUT")
    for number in range(4):
        run.commit(run.plan(f"fox{number}"))
    run.plan("owl")
    BeatWriter(run.folder.state / "beats" / ("c" * 32), beat_s=10, lease_s=90).beat()
    clock = {"s": 0.0}
    live = LiveRun(run.fresh(), clock=lambda: clock["s"], now=lambda: BEGAN + dt.timedelta(seconds=45 + clock["s"]))
    first, before = live.page(), live.version()

    clock["s"] = 30.0
    same = live.version()
    clock["s"] = 3600.0
    after, last = live.version(), live.page()

    assert (same == before, after != before) == (True, True)
    assert b"1 left \xc2\xb7 <b>done in a minute or two</b>" in first
    assert b"<b>STALLED: nothing ended for 60 min</b>" in last


def test_a_page_of_a_run_that_is_over_is_not_read_again_and_again(tmp_path: Path) -> None:
    run = RunBuilder.at(tmp_path / "OUT")
    run.commit(run.plan("fox"))
    clock = {"s": 0.0}
    live = LiveRun(run.fresh(), clock=lambda: clock["s"])
    before = live.version()

    clock["s"] = 3600.0

    assert live.version() == before


def test_a_plan_that_is_damaged_is_said_and_the_server_lives_on(run: RunBuilder) -> None:
    path = next(iter((run.folder.state / "plan").glob("*.jsonl")))
    (run.folder.state / "plan" / ("0" * 64 + ".jsonl")).write_bytes(path.read_bytes())
    broken = PageServer(run.fresh(), port=0, token=TOKEN)
    with broken:
        thread = threading.Thread(target=broken.serve, daemon=True)
        thread.start()
        Browser(broken).page()
        got = Browser(broken).page()
        broken.stop()
        thread.join(5)

    assert got.status == 500
    assert b"Traceback" not in got.body


def test_an_input_image_beside_the_run_is_given_as_what_came_before(tmp_path: Path) -> None:
    run = RunBuilder.at(tmp_path / "OUT")
    (tmp_path / "IN").mkdir()
    (tmp_path / "IN" / "a.png").write_bytes(png((9, 9, 9)))
    job = run.plan("a", kind="img2img", source=FileInput("../IN", "a.png"))
    run.commit(job)
    live = LiveRun(run.fresh())

    assert live.before(f"{job.id}-0") == run.out / "../IN/a.png"
    assert live.before("none") is None
    assert live.image("../IN/a.png") is None


def test_a_thumbnail_of_a_broken_image_is_none(tmp_path: Path) -> None:
    run = RunBuilder.at(tmp_path / "OUT")
    job = run.plan("a")
    run.commit(job)
    (run.out / "a_1.png").write_bytes(b"x")

    assert LiveRun(run.fresh()).thumb(f"{job.id}-0") is None


def test_a_port_that_is_taken_is_said(run: RunBuilder, browse: Browser) -> None:
    with pytest.raises(ConfigurationError, match="choose another --port"):
        PageServer(run.fresh(), host="127.0.0.1", port=browse.server.port)


def test_the_resolver_is_not_asked_for_the_machines_name(run: RunBuilder) -> None:
    # That takes seconds where nobody knows it; a server that was not told so would be called localhost.
    with PageServer(run.fresh(), port=0) as server:
        assert server._server.server_name == "127.0.0.1"


def test_a_server_for_the_network_takes_addresses_and_its_own_name_only(run: RunBuilder) -> None:
    import socket

    with PageServer(run.fresh(), host="0.0.0.0", port=0) as server:  # noqa: S104 - what is tested
        assert server.url.startswith(f"http://127.0.0.1:{server.port}/")
        assert server.is_known_host(f"192.168.1.5:{server.port}")
        assert server.is_known_host(f"{socket.gethostname()}:{server.port}")
        assert not server.is_known_host(f"evil.example:{server.port}")
        assert len(server.token) >= 32


def test_unless_asked_the_command_listens_at_loopback_and_at_the_port_that_is_told() -> None:
    defaults = {parameter.name: parameter.default for parameter in command.params}

    assert (defaults["host"], defaults["port"]) == ("127.0.0.1", 8765)


def test_two_servers_have_two_tokens_and_neither_opens_the_other(run: RunBuilder, browse: Browser) -> None:
    with PageServer(run.fresh(), port=0) as one, PageServer(run.fresh(), port=0) as two:
        assert one.token != two.token
        assert browse(f"/{one.token}/").status == 404


def test_the_command_tells_the_address_and_serves_it(run: RunBuilder, cli: CommandLine) -> None:
    with cli.start("serve", str(run.out), "--port", "0", "--json") as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        connection = http.client.HTTPConnection(url.split("/")[2], timeout=20)
        connection.request("GET", "/" + url.split("/", 3)[3])
        status = connection.getresponse().status
        connection.close()
        process.terminate()

    assert status == 200
    assert url.startswith("http://127.0.0.1:")
