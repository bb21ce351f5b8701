"""Stands before every call of this process that changes a file: there something dies, or others act in between."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

CHANGES = {"os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir"}


class CrashError(BaseException):
    """The worker is gone; nothing of its own may run any more."""


class Hook:
    """Stands before every call that changes a file, and acts before one of them."""

    def __init__(self) -> None:
        self.countdown: int | None = None
        self.action: Callable[[], None] | None = None
        self.lose_reply = False
        self.is_dead = False
        self.is_active = False
        self._is_inside = False
        self._is_installed = False

    def install(self) -> None:
        if not self._is_installed:
            self._is_installed = True
            sys.addaudithook(self)

    def arm(self, countdown: int, *, action: Callable[[], None] | None = None, lose_reply: bool = False) -> None:
        self.countdown, self.action, self.lose_reply = countdown, action, lose_reply

    def disarm(self) -> None:
        self.countdown, self.action, self.lose_reply, self.is_dead = None, None, False, False

    def __call__(self, event: str, args: tuple[object, ...]) -> None:
        if not self.is_active or self._is_inside or not _is_change(event, args):
            return
        if self.is_dead:
            raise CrashError
        if self.countdown is None:
            return
        self.countdown -= 1
        if self.countdown > 0:
            return
        self.countdown = None
        self._is_inside = True
        try:
            self._act(event, args)
        finally:
            self._is_inside = False

    def _act(self, event: str, args: tuple[object, ...]) -> None:
        if self.lose_reply:
            _do(event, args)
            raise OSError(errno.EIO, "the reply was lost")
        if self.action is not None:
            self.action()
        else:
            self.is_dead = True
            raise CrashError


def _do(event: str, args: tuple[object, ...]) -> None:
    """Have the call happen: as on a network, where it was carried out and the answer did not get through."""
    match event:
        case "open":
            path, _, flags = args
            # Only a creation: what is written to a file afterwards is a call of its own, without an event.
            if isinstance(flags, int) and flags & os.O_CREAT:
                os.close(os.open(path, flags))  # type: ignore[arg-type]
        case "os.rename" | "os.link":
            getattr(os, event.removeprefix("os."))(args[0], args[1])
        case _:
            folder = None if args[-1] == -1 else args[-1]
            getattr(os, event.removeprefix("os."))(args[0], dir_fd=folder)


def _is_change(event: str, args: tuple[object, ...]) -> bool:
    if event == "open":
        flags = args[2]
        return (
            isinstance(flags, int)
            and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
            and ".csv" not in str(args[0])
        )
    return event in CHANGES


HOOK = Hook()
