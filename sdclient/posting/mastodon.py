"""Posts on Mastodon, through `Mastodon.py`."""

from __future__ import annotations

import datetime as dt
import html
import importlib
import re
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import cast

import requests

from sdclient.errors import (
    AnswerLostError,
    AuthenticationError,
    BadReplyError,
    ImageLimitError,
    MissingExtraError,
    NotSentError,
    RejectedError,
    SDClientError,
    ServerFaultError,
)
from sdclient.posting.door import NONSENSE, go_through, is_never_sent, no_connection, quota_error
from sdclient.posting.media import MediaLimits
from sdclient.posting.publish import Post, Published, refuse_short_look

SECRETS = ("SDCLIENT_MASTODON_TOKEN",)
_MAX_BYTES = 8_000_000
"""What every version takes; larger only where the server says so."""
_LOOK_BACK = 40
_SHOWN_CHARS = 200


class MastodonPublisher:
    """Posts on Mastodon.

    Args:
        url: The server's address.
        token: The account's access token.
        reply_to: Id of the post that begins the thread; None for none.

    Raises:
        MissingExtraError: If `Mastodon.py` is not installed.
    """

    name = "mastodon"
    text_limit = 500
    alt_limit = 1500

    def __init__(self, url: str, token: str, *, reply_to: str | None = None) -> None:
        try:
            self._library: ModuleType = importlib.import_module("mastodon")
        except ImportError as exc:
            raise MissingExtraError("posting on Mastodon needs Mastodon.py: pip install 'sdclient[daily]'") from exc
        self._url = url.rstrip("/")
        self._reply_to = reply_to
        # Waiting out a quota here would hold the slot: our caller decides. The version is given, because the library
        # asks for ever (2.3.3: until Python's recursion limit) where it wants to ask for it and nobody answers.
        self._api = self._library.Mastodon(
            access_token=token,
            api_base_url=self._url,
            ratelimit_method="throw",
            mastodon_version="4.0.0",
            version_check_mode="created",
            session=go_through(requests.Session(), None),
        )

    def limits(self) -> MediaLimits:
        """Return the server's limits for images, as it tells them."""
        with self._errors("asking Mastodon for its limits", is_post=False):
            instance = self._api.instance()
        told = _mapping(_mapping(_mapping(instance).get("configuration")).get("media_attachments"))
        size, pixels = told.get("image_size_limit"), told.get("image_matrix_limit")
        return MediaLimits(
            size if isinstance(size, int) and size > 0 else _MAX_BYTES,
            pixels if isinstance(pixels, int) and pixels > 0 else 16_777_216,
        )

    def publish(self, post: Post) -> Published:
        """Upload the image with its alternative text, and post; the server itself refuses to post one slot twice."""
        with self._errors("uploading the image to Mastodon", is_post=False):
            media = self._api.media_post(
                post.media.data,
                mime_type=post.media.mime,
                description=post.alt,
                file_name=f"image{post.media.extension}",
            )
            media_id = media["id"]
        with self._errors("posting on Mastodon", is_post=True):
            made = self._api.status_post(
                post.text, in_reply_to_id=self._reply_to, media_ids=[media_id], idempotency_key=post.key
            )
        if not _mapping(made).get("id"):
            raise AnswerLostError("posting on Mastodon: the answer names no post")
        return Published(str(made["id"]), str(made.get("url") or self._url))

    def find(self, mark: str, key: str, since: dt.datetime) -> Published | None:  # noqa: ARG002 - known by its mark
        """Look through the account's last posts."""
        with self._errors("looking at the thread on Mastodon", is_post=False):
            me = self._api.account_verify_credentials()
            told: object = self._api.account_statuses(me["id"], limit=_LOOK_BACK)
            if not isinstance(told, Sequence):
                raise BadReplyError("looking at the thread on Mastodon: the answer is no list of posts")
            posts = cast("Sequence[Mapping[str, object]]", told)
            for one in posts:
                if _plain(str(one["content"])).split("\n", 1)[0].strip() == mark:
                    return Published(str(one["id"]), str(one.get("url") or ""), ("found in the thread",))
            times = [made for one in posts if isinstance(made := one.get("created_at"), dt.datetime)]
            refuse_short_look(times, _LOOK_BACK, since)
        return None

    def _quota_wait_s(self) -> float | None:
        """Return the seconds until the server takes posts again, where its last answer told."""
        reset = self._api.ratelimit_reset
        wait_s = reset - time.time() if isinstance(reset, int | float) else 0.0
        return wait_s if wait_s > 0 else None

    @contextmanager
    def _errors(self, doing: str, *, is_post: bool) -> Generator[None, None, None]:
        library = self._library
        try:
            yield
        except library.MastodonRatelimitError as exc:
            raise quota_error(doing, self._quota_wait_s()) from exc
        except library.MastodonNetworkError as exc:
            inner = exc.__cause__ or exc.__context__ or exc
            if is_never_sent(inner):
                raise NotSentError(no_connection(doing, self._url)) from exc
            lost = f"{doing}: sent to {self._url}, and the answer was lost ({type(inner).__name__})"
            raise AnswerLostError(lost) if is_post else NotSentError(lost) from exc
        except library.MastodonAPIError as exc:
            raise _by_status(exc.args, doing, is_post=is_post) from exc
        except library.MastodonError as exc:
            raise RejectedError(f"{doing}: {str(exc)[:_SHOWN_CHARS]}") from exc
        except SDClientError:
            raise
        except NONSENSE as exc:
            kind = AnswerLostError if is_post else BadReplyError
            raise kind(f"{doing}: the answer of {self._url} makes no sense ({type(exc).__name__})") from exc


def _by_status(arguments: tuple[object, ...], doing: str, *, is_post: bool) -> SDClientError:
    """Return the error for an answer, of which the library gives (words, status, reason, the server's words)."""
    status = arguments[1] if len(arguments) > 1 and isinstance(arguments[1], int) else 0
    detail = " ".join(str(one) for one in arguments[2:] if one)[:_SHOWN_CHARS]
    text = f"{doing}: {status}: {detail}"
    lower = detail.lower()
    if status == requests.codes.request_entity_too_large or "file size" in lower or "too large" in lower:
        return ImageLimitError(text)
    if status in (401, 403):
        return AuthenticationError(f"{text}; check the token and its right to write", status, detail)
    if status >= requests.codes.server_error or not status:
        return AnswerLostError(text) if is_post else ServerFaultError(text, status, detail)
    return RejectedError(text, status, detail)


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def _plain(content: str) -> str:
    """Return the words of a post, which the server gives as HTML."""
    lines = re.sub(r"<br\s*/?>|</p>", "\n", content)
    return html.unescape(re.sub(r"<[^>]*>", "", lines)).strip()
