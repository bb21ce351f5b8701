"""Where posts go: what every publisher does, secrets, and the publisher that writes to a folder."""

from __future__ import annotations

import datetime as dt
import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from sdclient.errors import ConfigurationError, RejectedError
from sdclient.files import CommitOutcome, commit_directory, safe_name, storage_errors, write_new_file
from sdclient.posting.media import Media, MediaLimits


@dataclass(frozen=True, slots=True)
class Post:
    """One post.

    Attributes:
        key: What the post is for: a service that can will not post twice for one key.
        number: Its number.
        mark: The line that tells it from all others.
        text: All it says.
        alt: Alternative text of the image.
        media: The image.
    """

    key: str
    number: int
    mark: str
    text: str
    alt: str
    media: Media = field(repr=False)


@dataclass(frozen=True, slots=True)
class Published:
    """A post that is out.

    Attributes:
        id: What the service calls it.
        where: Its address or path, for people.
        notes: What did not go as wished, such as an alternative text that was refused.
    """

    id: str
    where: str
    notes: tuple[str, ...] = ()


class Publisher(Protocol):
    """A service that takes posts."""

    name: str
    """What it is called."""
    text_limit: int
    """Weighted characters of a post."""
    alt_limit: int
    """Characters of an alternative text."""

    def limits(self) -> MediaLimits:
        """Return what images it takes."""
        ...

    def publish(self, post: Post) -> Published:
        """Post, once.

        Raises:
            AnswerLostError: If the post may be out, and nobody knows. Every other error means that it is not.
            ImageLimitError: If the image is too large for it after all.
            SDClientError: If it was not posted.
        """
        ...

    def find(self, mark: str, key: str, since: dt.datetime) -> Published | None:
        """Look for a post that may be out; None if it certainly is not.

        Args:
            mark: The line that tells it from all others.
            key: What it is for.
            since: When it was begun; it cannot be older.

        Raises:
            SDClientError: If that cannot be told.
        """
        ...


def refuse_short_look(oldest: Sequence[dt.datetime], asked: int, since: dt.datetime) -> None:
    """Refuse to take a post for not out where the posts that were looked at do not reach back to its beginning.

    Args:
        oldest: When the posts were made.
        asked: How many were asked for; fewer are all there are.
        since: When the post was begun.

    Raises:
        RejectedError: If they do not.
    """
    # The service's clock is not ours.
    if len(oldest) >= asked and min(oldest) > since - dt.timedelta(minutes=5):
        raise RejectedError(f"there are {asked} newer posts, and it shows no more; look for it by hand")


class FolderPublisher:
    """Writes posts to a folder: for a look before going public, and for services that are not built in.

    Args:
        folder: Where to; made where it is missing.
    """

    name = "folder"
    text_limit = 280
    alt_limit = 1000

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def limits(self) -> MediaLimits:
        """Return no limits worth mentioning."""
        return MediaLimits(max_bytes=10**9)

    def publish(self, post: Post) -> Published:
        """Write the post's folder whole or not at all."""
        target = self._folder / safe_name(f"{post.number:04d}_{post.key}")
        part = self._folder / f".part-{target.name}-{os.getpid()}"
        with storage_errors("make the folder", part):
            part.mkdir(parents=True, exist_ok=True)
            for old in part.iterdir():
                old.unlink()
        write_new_file(part / "text.txt", f"{post.text}\n".encode())
        write_new_file(part / "alt.txt", f"{post.alt}\n".encode())
        write_new_file(part / f"image{post.media.extension}", post.media.data)
        if commit_directory(part, target) is not CommitOutcome.WON:
            raise ConfigurationError(f"{target}: is there already, and not from this run; move it away")
        return Published(target.name, str(target))

    def find(self, mark: str, key: str, since: dt.datetime) -> Published | None:  # noqa: ARG002 - nothing is forgotten here
        """Look for the post's folder; it is there whole or not at all."""
        for path in self._folder.glob(f"*_{key}"):
            if (path / "text.txt").is_file() and (path / "text.txt").read_text(encoding="utf-8").startswith(mark):
                return Published(path.name, str(path))
        return None


def read_secrets(names: Sequence[str], *, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Read secrets from environment variables, else from the system's keyring (service ``sdclient``).

    Args:
        names: Names of the variables, which are also the users' names in the keyring.
        environ: The environment; None takes the process's own.

    Raises:
        ConfigurationError: If one is in neither; the message names it, and shows none.
    """
    environ = os.environ if environ is None else environ
    found = {name: environ.get(name, "").strip() or _from_keyring(name) for name in names}
    missing = [name for name, secret in found.items() if not secret]
    if missing:
        install = "" if find_spec("keyring") else "`pip install keyring` and "
        raise ConfigurationError(
            f"no {', no '.join(missing)}: set the environment variable, or {install}`keyring set sdclient {missing[0]}`"
        )
    return found


def _from_keyring(name: str) -> str:
    try:
        keyring = importlib.import_module("keyring")
        return str(keyring.get_password("sdclient", name) or "")
    except Exception:  # noqa: BLE001 - no package, no service, locked: whatever it is, there is no secret there
        return ""
