"""Fetching weights from a server of our own: in parts, broken off, gone on with, and wrong in every way."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sdclient.errors import CancelledError, SegmentationError, StorageError
from sdclient.segment.weights import KnownWeights
from sdclient.transport import CancelToken
from sdclient.weights import fetch_weights, provide_weights

CONTENT = bytes(range(256)) * 140_000  # 36 MB: three parts
KNOWN = KnownWeights("vit_b", "sam_tiny.pth", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT))


class Publisher(ThreadingHTTPServer):
    """Serves `CONTENT` in parts and notes which; `mode` says what goes wrong."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.mode = "parts"
        self.asked: list[tuple[int, int]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/models/sam_tiny.pth"


class _Handler(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range", ""))
        start, end = (int(found[1]), int(found[2])) if found else (0, len(CONTENT) - 1)
        self.server.asked.append((start, end))
        mode, body = self.server.mode, CONTENT[start : end + 1]
        if mode == "whole":
            self._reply(200, CONTENT)
        elif mode == "gone":
            self._reply(404, b"<html>not here</html>")
        elif mode == "another size":
            self._reply(206, body, f"bytes {start}-{end}/{len(CONTENT) + 1}")
        elif mode == "too much":
            self._reply(200, CONTENT + b"more")
        elif (mode == "breaks off once" and start and len(self.server.asked) == 2) or (
            mode == "breaks off always" and start
        ):
            self._reply(206, body, f"bytes {start}-{end}/{len(CONTENT)}", sent=1000)
        else:
            self._reply(206, body, f"bytes {start}-{end}/{len(CONTENT)}")

    def _reply(self, status: int, body: bytes, content_range: str = "", *, sent: int | None = None) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        if content_range:
            self.send_header("content-range", content_range)
        self.end_headers()
        # Who is told more than was asked for may hang up.
        with suppress(ConnectionError):
            self.wfile.write(body[:sent])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with Publisher() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_comes_in_parts_with_progress_and_lies_whole_under_its_name(
    tmp_path: Path, publisher: Publisher
) -> None:
    seen: list[tuple[int, int]] = []

    path = fetch_weights(
        KNOWN, tmp_path / "models", url=publisher.url, on_progress=lambda here, total: seen.append((here, total))
    )

    part = 16 * 2**20
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["sam_tiny.pth"]
    assert seen == [(here, len(CONTENT)) for here in (0, part, 2 * part, len(CONTENT))]


def test_what_an_earlier_try_has_left_is_gone_on_with(tmp_path: Path, publisher: Publisher) -> None:
    (tmp_path / "sam_tiny.pth.part").write_bytes(CONTENT[:30_000_001])

    fetch_weights(KNOWN, tmp_path, url=publisher.url)

    assert publisher.asked == [(30_000_001, len(CONTENT) - 1)]
    assert (tmp_path / "sam_tiny.pth").read_bytes() == CONTENT


def test_a_part_that_breaks_off_is_asked_for_again(tmp_path: Path, publisher: Publisher) -> None:
    publisher.mode = "breaks off once"

    path = fetch_weights(KNOWN, tmp_path, url=publisher.url)

    assert path.read_bytes() == CONTENT
    assert len(publisher.asked) == 4


def test_a_connection_that_keeps_breaking_leaves_what_came_for_the_next_time(
    tmp_path: Path, publisher: Publisher
) -> None:
    publisher.mode = "breaks off always"
    with pytest.raises(SegmentationError, match=r"broke off .* goes on where it stopped"):
        fetch_weights(KNOWN, tmp_path, url=publisher.url)
    publisher.mode = "parts"
    publisher.asked.clear()

    path = fetch_weights(KNOWN, tmp_path, url=publisher.url)

    assert publisher.asked[0][0] == 16 * 2**20
    assert path.read_bytes() == CONTENT


def test_a_publisher_that_knows_no_parts_sends_it_all(tmp_path: Path, publisher: Publisher) -> None:
    publisher.mode = "whole"
    (tmp_path / "sam_tiny.pth.part").write_bytes(CONTENT[:1000])

    assert fetch_weights(KNOWN, tmp_path, url=publisher.url).read_bytes() == CONTENT


@pytest.mark.parametrize("mode", ["gone", "another size", "too much"])
def test_an_answer_that_is_not_the_file_is_refused(tmp_path: Path, publisher: Publisher, mode: str) -> None:
    publisher.mode = mode

    with pytest.raises(SegmentationError, match=r"put sam_tiny\.pth into .* by hand"):
        fetch_weights(KNOWN, tmp_path, url=publisher.url)

    assert not (tmp_path / "sam_tiny.pth").exists()


def test_a_wrong_hash_throws_away_what_came(tmp_path: Path, publisher: Publisher) -> None:
    known = replace(KNOWN, sha256="0" * 64)

    with pytest.raises(SegmentationError, match=r"not the published sam_tiny\.pth: its sha256 is .* not 000000000000"):
        fetch_weights(known, tmp_path, url=publisher.url)

    assert list(tmp_path.iterdir()) == []


def test_damaged_leftovers_are_found_by_the_hash_and_the_next_try_is_whole(
    tmp_path: Path, publisher: Publisher
) -> None:
    (tmp_path / "sam_tiny.pth.part").write_bytes(b"x" * 20_000_000)
    with pytest.raises(SegmentationError, match="thrown away"):
        fetch_weights(KNOWN, tmp_path, url=publisher.url)

    path = fetch_weights(KNOWN, tmp_path, url=publisher.url)

    assert path.read_bytes() == CONTENT


def test_leftovers_longer_than_the_file_are_thrown_away(tmp_path: Path, publisher: Publisher) -> None:
    (tmp_path / "sam_tiny.pth.part").write_bytes(CONTENT + b"more")

    assert fetch_weights(KNOWN, tmp_path, url=publisher.url).read_bytes() == CONTENT


def test_offline_is_told_with_what_else_helps(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/sam_tiny.pth"

        with pytest.raises(SegmentationError, match=r"is this machine offline\? .*'classical', which needs none"):
            fetch_weights(KNOWN, tmp_path, url=url)


def test_a_disk_that_is_too_small_is_told_before_anything_is_sent(tmp_path: Path, publisher: Publisher) -> None:
    with pytest.raises(SegmentationError, match="make room"):
        fetch_weights(replace(KNOWN, size_bytes=10**18), tmp_path, url=publisher.url)

    assert publisher.asked == []


def test_a_folder_that_cannot_be_made_is_a_storage_error(tmp_path: Path, publisher: Publisher) -> None:
    (tmp_path / "models").write_bytes(b"a file")

    with pytest.raises(StorageError):
        fetch_weights(KNOWN, tmp_path / "models" / "deep", url=publisher.url)


def test_cancelling_keeps_what_came(tmp_path: Path, publisher: Publisher) -> None:
    cancel = CancelToken()

    with pytest.raises(CancelledError):
        fetch_weights(
            KNOWN, tmp_path, url=publisher.url, cancel=cancel, on_progress=lambda here, _: here and cancel.cancel()
        )

    assert (tmp_path / "sam_tiny.pth.part").stat().st_size == 16 * 2**20


def test_who_finds_the_file_finished_by_another_process_stops_there(tmp_path: Path, publisher: Publisher) -> None:
    def another_is_faster(here: int, _total: int) -> None:
        if here == 16 * 2**20 and not (tmp_path / "sam_tiny.pth").exists():
            fetch_weights(KNOWN, tmp_path, url=publisher.url)

    path = fetch_weights(KNOWN, tmp_path, url=publisher.url, on_progress=another_is_faster)

    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in tmp_path.iterdir()] == ["sam_tiny.pth"]


def test_two_that_end_at_once_both_have_the_file(tmp_path: Path, publisher: Publisher) -> None:
    both = threading.Barrier(2, timeout=30)

    def meet_at_the_end(here: int, total: int) -> None:
        if here == total:
            both.wait()

    with ThreadPoolExecutor(2) as pool:
        ends = [
            pool.submit(fetch_weights, KNOWN, tmp_path, url=publisher.url, on_progress=meet_at_the_end) for _ in "ab"
        ]
        paths = {end.result(timeout=60) for end in ends}

    assert paths == {tmp_path / "sam_tiny.pth"}
    assert (tmp_path / "sam_tiny.pth").read_bytes() == CONTENT
    assert [entry.name for entry in tmp_path.iterdir()] == ["sam_tiny.pth"]


def test_models_that_need_no_fetching_are_left_alone(tmp_path: Path) -> None:
    assert provide_weights("classical", folder=tmp_path) is None
    assert provide_weights(str(tmp_path / "mine.pth"), folder=tmp_path) is None
    (tmp_path / "sam_vit_b_01ec64.pth").write_bytes(b"here already")
    assert provide_weights("vit_b", folder=tmp_path) == tmp_path / "sam_vit_b_01ec64.pth"
