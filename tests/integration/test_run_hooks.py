"""A program and an address that are told of trouble and of the end, and can harm nothing."""

from __future__ import annotations

import http.server
import json
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sdclient import ConfigurationError, Run, Txt2Img
from sdclient.batch.events import Event
from sdclient.batch.folder import RunFolder
from sdclient.batch.health import HealthPolicy
from sdclient.batch.plan import FileInput
from sdclient.batch.survey import Counts
from sdclient.batch.worker import WorkerSettings
from sdclient.engines.hooks import Hooks, HookSettings, told_by
from sdclient.engines.threads import ThreadsEngine
from sdclient.simulator import Simulator
from tests.conftest import CommandLine
from tests.practice_lane import PracticeLane, plan_jobs

SMALL = Txt2Img(width=64, height=64, steps=1, inherit=True)
QUICK = WorkerSettings(scan_s=0.1, health=HealthPolicy(first_open_s=0.02, longest_open_s=0.05, retries=6))
WRITE = "import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read())"


class Inbox(http.server.ThreadingHTTPServer):
    """Takes POSTs and keeps them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got: list[dict[str, object]] = []
        self.status = 200
        self.url = f"http://127.0.0.1:{self.server_address[1]}/runs?topic=mine"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Inbox)
        self.server.got.append({**json.loads(body), "path": self.path, "auth": self.headers.get("Authorization")})
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def event(name: str, lane: str = "gpu", message: str = "words") -> Event:
    return Event(name, Counts(jobs=3), lane, message=message)  # type: ignore[arg-type]


def test_a_program_reads_what_failed_and_an_address_hears_of_the_end(tmp_path: Path, inbox: Inbox) -> None:
    log = tmp_path / "told.jsonl"
    run = Run(tmp_path / "out").add(["a giant", "a fox"], SMALL)
    with Simulator("a1111") as server:
        server.next_faults("out-of-memory")
        run.tell([sys.executable, "-c", WRITE, str(log)], inbox.url).start(server.url)
        name = server.url.removeprefix("http://")

    (told,) = lines(log)
    assert (told["event"], told["run"], told["server"]) == ("set_aside", str(tmp_path / "out"), name)
    assert "out of memory" in str(told["words"])
    (end,) = inbox.got
    assert (end["event"], end["run"], end["done"], end["set_aside"]) == ("ended", "out", 1, 1)
    assert end["path"] == "/runs?topic=mine"
    assert end["auth"] is None
    assert str(tmp_path) not in json.dumps(end)


def test_a_dead_server_is_told_once_and_that_nothing_moves(tmp_path: Path, inbox: Inbox) -> None:
    log = tmp_path / "told.jsonl"
    run = Run(tmp_path / "out").add([f"fox {number}" for number in range(4)], SMALL)
    with Simulator("a1111") as server:
        run.tell([sys.executable, "-c", WRITE, str(log)], inbox.url)
        run.start(server.url, settings=QUICK, listener=lambda one: server.stop() if one.name == "done" else None)

    assert [one["event"] for one in lines(log)] == ["server", "stuck"]
    assert [one["event"] for one in inbox.got] == ["stuck", "ended"]


def test_a_server_that_asks_for_a_moment_is_told_of_and_the_run_is_not_called_stuck(
    tmp_path: Path, inbox: Inbox
) -> None:
    log = tmp_path / "told.jsonl"
    run = Run(tmp_path / "out").add(["a fox", "a hare"], SMALL)
    with Simulator("a1111") as server:
        server.next_faults("busy:s=0.1")
        result = run.tell([sys.executable, "-c", WRITE, str(log)], inbox.url).start(server.url, settings=QUICK)

    assert result.counts.done == 2
    assert [one["event"] for one in lines(log)] == ["server"]
    assert [one["event"] for one in inbox.got] == ["ended"]


@pytest.mark.parametrize(
    ("heard", "is_stuck"),
    [
        ([(0, "asleep", 1.0), (59, "asleep", 1.0)], False),
        ([(0, "asleep", 1.0), (50, "done", None), (61, "asleep", 1.0)], False),
        ([(0, "asleep", 1.0), (30, "begun", None), (61, "asleep", 1.0)], True),
        ([(0, "asleep", 120.0)], True),
        ([(0, "asleep", None)], True),
    ],
    ids=["for a moment", "now and then", "for ever", "for long", "unasked"],
)
def test_pauses_a_server_asks_for_are_trouble_only_where_nothing_moves_for_long(
    tmp_path: Path, heard: list[tuple[float, str, float | None]], *, is_stuck: bool
) -> None:
    log, now = tmp_path / "told.jsonl", [0.0]
    settings = HookSettings((sys.executable, "-c", WRITE, str(log)))
    hooks = Hooks(tmp_path, ["gpu"], settings, clock=lambda: now[0])
    for at_s, name, pause_s in heard:
        now[0] = at_s
        hooks.listen(replace(event(name), pause_s=pause_s))
    hooks.end(Counts(jobs=3))

    assert ("stuck" in [one["event"] for one in lines(log)]) is is_stuck


def test_a_server_that_only_ever_says_that_it_is_busy_is_told_as_stuck_once(tmp_path: Path) -> None:
    log, now = tmp_path / "told.jsonl", [0.0]
    hooks = Hooks(tmp_path, ["gpu"], HookSettings((sys.executable, "-c", WRITE, str(log))), clock=lambda: now[0])
    for number in range(1, 4):
        hooks.listen(event("begun"))
        hooks.listen(replace(event("asleep"), pause_s=300.0))
        # Told while the clock stands: else what comes soon after the last is left out anyway.
        until(lambda: [one["event"] for one in lines(log)].count("server") == number)  # noqa: B023 - at once
        until(lambda: "stuck" in [one["event"] for one in lines(log)])
        now[0] += 300
    hooks.end(Counts(jobs=3))

    assert [one["event"] for one in lines(log)].count("stuck") == 1


@pytest.mark.parametrize(
    "program",
    ["import sys; sys.exit(3)", "raise RuntimeError", "import time; time.sleep(600)"],
    ids=["3", "bug", "hang"],
)
def test_a_program_that_fails_or_hangs_harms_nothing(tmp_path: Path, program: str) -> None:
    run = Run(tmp_path / "out").add(["a giant", "a fox", "a hare"], SMALL)
    run.hooks = HookSettings((sys.executable, "-c", program), patience_s=0.5, end_s=5)
    remarks: list[str] = []
    with Simulator("a1111") as server:
        server.next_faults("out-of-memory")
        result = run.start(
            server.url, listener=lambda one: remarks.append(one.message) if one.name == "remark" else None
        )

    assert (result.counts.done, result.counts.set_aside) == (2, 1)
    assert result.trouble is None
    assert [f"--on-trouble {sys.executable}" in text for text in remarks] == [True]


@pytest.mark.parametrize("status", [500, 302])
def test_an_address_that_answers_nonsense_harms_nothing(tmp_path: Path, inbox: Inbox, status: int) -> None:
    inbox.status = status
    remarks: list[str] = []
    run = Run(tmp_path / "out").add(["a fox"], SMALL)
    with Simulator("a1111") as server:
        run.tell(notify=inbox.url)
        result = run.start(
            server.url, listener=lambda one: remarks.append(one.message) if one.name == "remark" else None
        )

    assert result.counts.done == 1
    assert len(inbox.got) == 1
    assert remarks == [f"--notify {inbox.url.partition('?')[0]}: answered {status}"]


def test_an_address_where_nobody_is_harms_nothing_and_is_said(cli: CommandLine, a1111: Simulator) -> None:
    (cli.folder / "prompts.txt").write_text("a fox\n", encoding="utf-8")
    small = ("--url", a1111.url, "--set", "width=64", "--set", "height=64", "--set", "steps=1", "--set", "inherit=true")

    ended = cli("generate", "prompts.txt", "--out", "out", *small, "--notify", "http://127.0.0.1:9/x")

    assert ended.code == 0
    assert "out: 1 of 1 job done" in ended.stderr
    assert "note: --notify: POST http://127.0.0.1:9/x: connection refused" in ended.stderr


def test_the_same_trouble_is_told_seldom_and_what_was_left_out_is_counted(tmp_path: Path) -> None:
    log, now = tmp_path / "told.jsonl", [0.0]
    settings = HookSettings((sys.executable, "-c", WRITE, str(log)))
    hooks = Hooks(tmp_path, ["gpu", "other"], settings, clock=lambda: now[0])
    for _ in range(5):
        hooks.listen(event("asleep"))
    hooks.listen(event("asleep", "other"))
    until(lambda: len(lines(log)) == 3)
    now[0] = 61.0
    hooks.listen(event("asleep"))
    hooks.end(Counts(jobs=3))

    told = [(one["event"], one.get("server"), one.get("left_out")) for one in lines(log)]
    assert told == [
        ("server", "gpu", None),
        ("server", "other", None),
        ("stuck", None, None),
        ("server", "gpu", 4),
    ]


def test_the_end_is_told_however_much_trouble_waits_to_be_told(tmp_path: Path, inbox: Inbox) -> None:
    hooks = Hooks(tmp_path, (), HookSettings(("true",), inbox.url, end_s=60))
    for number in range(300):
        hooks.listen(event("asleep", f"gpu{number}"))
    hooks.end(Counts(jobs=3))

    assert [one["event"] for one in inbox.got] == ["ended"]


def test_a_run_that_cannot_begin_leaves_no_thread_behind(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "out")
    plan_jobs(folder, ["a"], kind="img2img", inputs=[FileInput("../nowhere", "a.png")])
    # One whose program never reads ends a little after its own test.
    before = set(threading.enumerate())

    with pytest.raises(ConfigurationError, match="inputs is not there"):
        ThreadsEngine(folder, [PracticeLane()], QUICK, hooks=HookSettings(("true",)))

    assert not [one for one in threading.enumerate() if one.name == "sdclient-hooks" and one not in before]


def test_a_program_that_never_reads_is_not_waited_for_at_the_end(tmp_path: Path) -> None:
    settings = HookSettings((sys.executable, "-c", "import time; time.sleep(600)"), end_s=0.5)
    hooks = Hooks(tmp_path, ["gpu"], settings)
    for number in range(300):
        hooks.listen(event("asleep", f"gpu{number}", "x" * 100_000))
    began = time.monotonic()
    hooks.end(Counts(jobs=3))

    assert time.monotonic() - began < 30


@pytest.mark.parametrize(
    ("on_trouble", "notify", "words"),
    [
        (["no-such-program-here"], "", "no such program"),
        ([], "ftp://host/x", "no address"),
        ([], "https://anna:secret@host/x", "user name"),
        ([], "nonsense", "no address"),
    ],
)
def test_what_could_never_be_told_is_refused_at_once(
    tmp_path: Path, on_trouble: list[str], notify: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        Run(tmp_path / "out").tell(on_trouble, notify)

    assert "secret" not in str(caught.value)


def test_the_command_line_and_the_configuration_name_them(cli: CommandLine, a1111: Simulator, inbox: Inbox) -> None:
    (cli.folder / "prompts.txt").write_text("a giant\n", encoding="utf-8")
    (cli.folder / "sdclient.toml").write_text(
        f"[defaults]\non_trouble = {json.dumps([sys.executable, '-c', WRITE, 'toml.jsonl'])}\n"
        f"notify = {json.dumps(inbox.url)}\n",
        encoding="utf-8",
    )
    small = ("--url", a1111.url, "--set", "width=64", "--set", "height=64", "--set", "steps=1", "--set", "inherit=true")
    a1111.next_faults("out-of-memory")
    first = cli("generate", "prompts.txt", "--out", "one", *small)
    a1111.next_faults("out-of-memory")
    program = shlex.join([sys.executable, "-c", WRITE, "typed.jsonl"])
    second = cli("generate", "prompts.txt", "--out", "two", *small, "--on-trouble", program)
    wrong = cli("generate", "prompts.txt", "--out", "three", *small, "--on-trouble", "prog 'half")

    assert (first.code, second.code, wrong.code) == (1, 1, 2)
    assert "what servers answered is kept in one/.sdclient/replies" in first.stderr
    assert [one["run"] for one in lines(cli.folder / "toml.jsonl")] == [str(cli.folder / "one")]
    assert [one["run"] for one in lines(cli.folder / "typed.jsonl")] == [str(cli.folder / "two")]
    assert [one["run"] for one in inbox.got] == ["one", "two"]
    assert "close what you quote" in wrong.stderr
    assert not (cli.folder / "three").exists()


def test_a_run_on_another_engine_is_told_of_too(tmp_path: Path, inbox: Inbox) -> None:
    heard: list[str] = []
    log = tmp_path / "told.jsonl"
    settings = HookSettings((sys.executable, "-c", WRITE, str(log)), inbox.url)
    with told_by(settings, tmp_path, lambda one: heard.append(one.name), lambda: Counts(jobs=3, done=2)) as listener:
        listener(event("left"))

    assert heard == ["left"]
    assert [one["event"] for one in lines(log)] == ["server"]
    assert [(one["event"], one["done"]) for one in inbox.got] == [("ended", 2)]
