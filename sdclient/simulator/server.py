"""The simulator: one dialect on one port, with a log of what it was asked and faults on demand."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType

from sdclient.simulator.a1111 import A1111
from sdclient.simulator.dialect import Call, Dialect, DroppedError, Reply, Setup, json_reply
from sdclient.simulator.drawthings import DrawThings
from sdclient.simulator.facts import JsonValue
from sdclient.simulator.faultplan import Fault, FaultPlan, parse_fault
from sdclient.simulator.faults import DAMAGES, FAULTS, INSTEAD
from sdclient.simulator.forge import Forge
from sdclient.simulator.koboldcpp import KoboldCpp
from sdclient.simulator.log import Exchange, ExchangeLog
from sdclient.simulator.sdcpp import SdCpp
from sdclient.simulator.sdnext import SdNext
from sdclient.simulator.sockets import Answer, SocketServer
from sdclient.simulator.workshop import Workshop, WorkshopClosedError

__all__ = ["DIALECTS", "LOG_PATH", "STATUS_PATH", "Simulator"]

_log = logging.getLogger(__name__)

LOG_PATH = "/__simulator__/log"
STATUS_PATH = "/__simulator__/status"
_JOIN_TIMEOUT_S = 10.0
_DOWN_S = 1.0
_LEAK_MB = 64.0
_LEAKS_SURVIVED = 8
# What the client gets nothing or not enough of is logged without a status.
_UNANSWERED = frozenset({"reset", "close", "hang", "restart", "endless-headers"})

_DIALECTS: Mapping[str, Callable[[Setup, Workshop], Dialect]] = {
    "a1111": A1111,
    "drawthings": DrawThings,
    "forge": Forge,
    "sdnext": SdNext,
    "sdcpp": SdCpp,
    "koboldcpp": KoboldCpp,
}
DIALECTS: tuple[str, ...] = tuple(_DIALECTS)


class Simulator:
    """A real HTTP server on a real port that behaves like one server program, without a GPU.

    Every reply carries `Server: sdclient-simulator`, so it is never mistaken for a real server. Use it as a context
    manager, or call `start` and `stop`.

    Args:
        dialect: One of `DIALECTS`.
        host: Address to listen on.
        port: Port to listen on; 0 picks a free one.
        delay_s: Extra seconds "painting" each generated image.
        auth: User and password to ask for. Only for dialects that know authentication.
        models: Files of the installed models, the selected one first; None for the stock list.
        seed: Seeds the server's own random choices (a request with seed -1), and which request gets which fault.
        options: Server settings that differ from a fresh install.
        version: Which version of the program to play, for example `1.8` of a1111; "" for the newest known.
        faults: What goes wrong, as `NAME[:p=0.05][,n=3][,s=2][,mb=64][,on=all]` with a name from `FAULTS`: p is the
            share of requests that get it, n the one request that does. Without on=all only requests that make
            images are counted and hit.
        prerendered: Paint one image per size and give it out again and again, without generation text, and measure
            images in requests without decoding them: for benches, where the server may cost no processor time. The
            delay is then kept exactly: a reply leaves `delay_s` per image after its request had arrived or the one
            before it was done, whatever the server had to do itself.

    Raises:
        ValueError: If dialect, version or a fault is unknown, or the options do not fit the dialect.
    """

    def __init__(  # noqa: PLR0913 - the settings of a server, all but the first by keyword
        self,
        dialect: str = "a1111",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        delay_s: float = 0.0,
        auth: tuple[str, str] | None = None,
        models: Sequence[str] | None = None,
        seed: int = 0,
        options: Mapping[str, object] | None = None,
        version: str = "",
        faults: Sequence[str] = (),
        prerendered: bool = False,
    ) -> None:
        if dialect not in _DIALECTS:
            raise ValueError(f"simulator: no dialect {dialect!r}; choose one of {', '.join(DIALECTS)}")
        self.dialect = dialect
        self._address = self._asked_address = (host, port)
        self._workshop = Workshop(delay_s, punctual=prerendered)
        self._setup = Setup(models, auth, seed, dict(options or {}), version, prerendered)
        self._dialect = _DIALECTS[dialect](self._setup, self._workshop)
        self._plan = FaultPlan([parse_fault(fault, tuple(FAULTS)) for fault in faults], seed)
        self._exchanges = ExchangeLog()
        self._server: SocketServer | None = None
        self._thread: threading.Thread | None = None
        self._life = threading.RLock()
        self._over = threading.Event()
        self._over.set()
        self._starts = 0
        self._leaked: list[bytes] = []

    def __enter__(self) -> Simulator:  # noqa: PYI034 - Self needs a package beyond the standard library on 3.10
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where the server answers, for example `http://127.0.0.1:7860`.

        Raises:
            RuntimeError: If it has not been started.
        """
        if self._over.is_set():
            raise RuntimeError("the simulator has no address before start()")
        host, port = self._address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def log(self) -> list[Exchange]:
        """Every request answered so far, in the order of answering; a copy."""
        return self._exchanges.exchanges()

    def next_faults(self, *faults: str | None) -> None:
        """Say exactly what the next requests that make images get; after those it goes on by shares.

        Args:
            faults: Faults as in the constructor, for example `"reset"` or `"hang:s=2"`, and None for a good answer.

        Raises:
            ValueError: If there is no such fault.
        """
        self._plan.put_in_line([(fault and parse_fault(fault, tuple(FAULTS))) or None for fault in faults])

    def start(self) -> Simulator:
        """Listen, in a thread of its own; does nothing when it already does.

        Raises:
            OSError: If the port is taken.
        """
        with self._life:
            if self._over.is_set():
                self._address = self._asked_address
                self._over.clear()
                try:
                    self._open()
                except BaseException:
                    self._over.set()
                    raise
        return self

    def stop(self) -> None:
        """Stop listening and drop every connection, also those that wait for an image; then it may be started again."""
        self._over.set()
        with self._life:
            self._shut()

    def restart(self, down_s: float = 0.0, *, options: Mapping[str, object] | None = None) -> None:
        """Do what a crash and a new start look like from outside: everybody is dropped, the queue is forgotten.

        Args:
            down_s: Seconds during which connections are refused.
            options: Settings that differ afterwards from those it was made with; None keeps everything as it is.
        """
        with self._life:
            if self._over.is_set():
                return
            self._shut()
            self._leaked.clear()
            if options is not None:
                self._setup = replace(self._setup, options={**self._setup.options, **options})
                self._dialect = _DIALECTS[self.dialect](self._setup, self._workshop)
            # Stopping must not wait for the end of the outage.
            if not self._over.wait(down_s):
                self._open()

    def serve_forever(self) -> None:
        """Start, and return only when another thread stops the server or Ctrl-C ends it."""
        self.start()
        try:
            # A wait without a limit cannot be interrupted by Ctrl-C on Windows.
            while not self._over.wait(0.5):
                pass
        finally:
            self.stop()

    def _open(self) -> None:
        self._workshop.open()
        server = SocketServer(self._address, self._answer, self._ignore)
        host, port = server.server_address[:2]
        self._address = (host.decode() if isinstance(host, bytes) else str(host), int(port))
        self._starts += 1
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="sdclient-simulator", daemon=True)
        self._server, self._thread = server, thread
        thread.start()

    def _shut(self) -> None:
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is None or thread is None:
            return
        self._workshop.close()
        server.shutdown()
        server.server_close()
        server.drop_connections()
        thread.join(_JOIN_TIMEOUT_S)

    # --- one call --------------------------------------------------------------------------------------------------------------

    def _answer(self, call: Call) -> Answer:
        """Answer one call and log it."""
        if call.path == LOG_PATH:
            return Answer(json_reply(self._exchanges.summary()))
        if call.path == STATUS_PATH:
            return Answer(json_reply(self._status()))
        fault = self._plan.next_for(call)
        reply = self._reply(call, fault)
        name = "" if fault is None else fault.name
        number = self._note(call, 0 if reply is None or name in _UNANSWERED else reply.status, name)
        if fault is not None:
            self._suffer(fault)
        return Answer(reply, fault, lambda: self._exchanges.hand_over(number, time.monotonic()))

    def _ignore(self, call: Call) -> None:
        """Log a request that came on a connection which was about to be closed."""
        self._note(call, 0, "close-next")

    def _note(self, call: Call, status: int, fault: str) -> int:
        exchange = Exchange(call.method, call.path, status, _body(call), call.arrived_s, time.monotonic(), fault)
        return self._exchanges.append(exchange, len(call.raw))

    def _reply(self, call: Call, fault: Fault | None) -> Reply | None:
        """Let the dialect answer, or the fault; None says that the connection is to be dropped without an answer."""
        try:
            if fault is not None and fault.name in INSTEAD:
                return INSTEAD[fault.name](self._dialect, fault)
            reply = self._dialect.answer(call)
            damage = None if fault is None else DAMAGES.get(fault.name)
            return reply if damage is None or fault is None else damage(reply, self._dialect, fault)
        except (WorkshopClosedError, DroppedError):
            return None
        except Exception:  # noqa: BLE001 - whatever it is, the client must get an answer and the log the traceback
            _log.exception("simulator: %s %s failed inside the simulator", call.method, call.path)
            return Reply(500, b"the simulator itself failed; see its log\n", "text/plain")

    def _suffer(self, fault: Fault) -> None:
        """Do to the whole server what a fault does to it."""
        if fault.name == "leak":
            # Random bytes, written: pages that are only reserved would not show in the size of the process.
            page = _random_page()
            self._leaked.append(page * int((fault.megabytes or _LEAK_MB) * 1024 * 1024 / len(page)))
        if fault.name == "restart" or len(self._leaked) >= _LEAKS_SURVIVED:
            down_s = _DOWN_S if fault.seconds is None else fault.seconds
            # In a thread of its own: this one belongs to a connection that is about to be dropped.
            threading.Thread(target=self.restart, args=(down_s,), name="simulator-restart", daemon=True).start()

    def _status(self) -> dict[str, JsonValue]:
        """Tell other processes about the simulator itself."""
        return {
            "dialect": self.dialect,
            "starts": self._starts,
            "uptime_s": round(time.monotonic() - self._workshop.opened_s, 3),
            "faults": self._exchanges.faults(),
        }


def _random_page() -> bytes:
    """Give 64 KiB that no system can share or compress away."""
    return os.urandom(64 * 1024)


def _body(call: Call) -> JsonValue:
    try:
        return call.json() if call.raw else None
    except (ValueError, RecursionError):
        return None
