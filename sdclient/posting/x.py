"""Posts on X, through `tweepy`; the image by X's second API, which tweepy does not know, else by its first."""

from __future__ import annotations

import datetime as dt
import importlib
import io
import json
import logging
import time
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Protocol, cast

import requests
import requests.auth

from sdclient.errors import (
    AnswerLostError,
    AuthenticationError,
    BadReplyError,
    ImageLimitError,
    MissingExtraError,
    MissingRouteError,
    NotSentError,
    RejectedError,
    SDClientError,
    ServerError,
    ServerFaultError,
)
from sdclient.posting.door import NONSENSE, go_through, network_errors, quota_error
from sdclient.posting.media import MediaLimits
from sdclient.posting.publish import Post, Published, refuse_short_look

log = logging.getLogger(__name__)

SECRETS = (
    "SDCLIENT_X_CONSUMER_KEY",
    "SDCLIENT_X_CONSUMER_SECRET",
    "SDCLIENT_X_ACCESS_TOKEN",
    "SDCLIENT_X_ACCESS_TOKEN_SECRET",
)
"""The four values of OAuth 1.0a."""
_UPLOAD = "https://api.x.com/2/media/upload"
_METADATA = "https://api.x.com/2/media/metadata"
POSTING = "posting on X"
_LOOK_BACK = 100
_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class XSecrets:
    """Who posts.

    Attributes:
        consumer_key: The app.
        consumer_secret: Its secret.
        access_token: The user.
        access_token_secret: The user's secret.
    """

    consumer_key: str = field(repr=False)
    consumer_secret: str = field(repr=False)
    access_token: str = field(repr=False)
    access_token_secret: str = field(repr=False)


class _Tweet(Protocol):
    """What we read of a post."""

    id: object
    text: object
    created_at: object


class XPublisher:
    """Posts on X.

    Args:
        secrets: Who posts.
        reply_to: Id of the post that begins the thread; None for none.
        elsewhere: Another address of the same API.

    Raises:
        MissingExtraError: If `tweepy` is not installed.
    """

    name = "x"
    text_limit = 280
    alt_limit = 1000

    def __init__(self, secrets: XSecrets, *, reply_to: str | None = None, elsewhere: str | None = None) -> None:
        try:
            self._tweepy: ModuleType = importlib.import_module("tweepy")
        except ImportError as exc:
            raise MissingExtraError("posting on X needs tweepy: pip install 'sdclient[daily]'") from exc
        for noisy in ("oauthlib", "requests_oauthlib", "tweepy"):
            # With -vv they would write keys and signatures into the log.
            logging.getLogger(noisy).setLevel(logging.WARNING)
        values = (secrets.consumer_key, secrets.consumer_secret, secrets.access_token, secrets.access_token_secret)
        handler = self._tweepy.OAuth1UserHandler(*values)
        names = ("consumer_key", "consumer_secret", "access_token", "access_token_secret")
        self._client = self._tweepy.Client(**dict(zip(names, values, strict=True)))
        self._first = self._tweepy.API(handler)
        self._sign: Callable[[], requests.auth.AuthBase] = handler.apply_auth
        self._session = go_through(self._client.session, elsewhere)
        go_through(self._first.session, elsewhere)
        self._reply_to = reply_to

    def limits(self) -> MediaLimits:
        """Return X's own limit for images."""
        return MediaLimits(max_bytes=5_000_000)

    def publish(self, post: Post) -> Published:
        """Upload the image, describe it, and post; an alternative text that is refused does not hold the post up."""
        media, notes = self._upload(post)
        with self._errors(POSTING):
            reply = self._client.create_tweet(
                text=post.text, media_ids=[media], in_reply_to_tweet_id=self._reply_to, user_auth=True
            )
        try:
            post_id = str(reply.data["id"])
        except (TypeError, KeyError) as exc:
            raise AnswerLostError("posting on X: the answer names no post") from exc
        return Published(post_id, f"https://x.com/i/status/{post_id}", notes)

    def find(self, mark: str, key: str, since: dt.datetime) -> Published | None:  # noqa: ARG002 - known by its mark
        """Look through the account's last posts."""
        with self._errors("looking at the thread on X"):
            me = self._client.get_me(user_auth=True).data
            found = self._client.get_users_tweets(
                me.id, max_results=_LOOK_BACK, tweet_fields=["created_at"], user_auth=True
            ).data
            posts = cast("Sequence[_Tweet]", found or ())
            for one in posts:
                if str(one.text).split("\n", 1)[0].strip() == mark:
                    return Published(str(one.id), f"https://x.com/i/status/{one.id}", ("found in the thread",))
            refuse_short_look(
                [one.created_at for one in posts if isinstance(one.created_at, dt.datetime)], _LOOK_BACK, since
            )
        return None

    # The image

    def _upload(self, post: Post) -> tuple[str, tuple[str, ...]]:
        """Upload the image by the second API, else by the first; whatever fails here, nothing is posted."""
        try:
            media, describe = self._upload_by_either(post)
        except AnswerLostError as exc:
            raise NotSentError(f"{exc}; nothing is posted") from exc
        try:
            describe(media, post.alt)
        except SDClientError as exc:
            return media, (f"without its alternative text: {exc}",)
        return media, ()

    def _upload_by_either(self, post: Post) -> tuple[str, Callable[[str, str], None]]:
        try:
            return self._upload_second(post), self._describe_second
        except (MissingRouteError, AuthenticationError, ServerFaultError, BadReplyError) as exc:
            log.info("%s; trying v1.1", exc)
            return self._upload_first(post), self._describe_first

    def _upload_second(self, post: Post) -> str:
        files = {"media": (f"image{post.media.extension}", post.media.data, post.media.mime)}
        fields = {"media_category": "tweet_image", "media_type": post.media.mime}
        with self._errors("uploading the image to X"):
            reply = self._session.post(_UPLOAD, files=files, data=fields, auth=self._sign())
            answer = _checked(reply, "uploading the image to X")
        media = _mapping(answer.get("data")).get("id")
        if not media:
            raise BadReplyError("uploading the image to X: the answer names no image")
        return str(media)

    def _describe_second(self, media: str, alt: str) -> None:
        body = {"id": media, "metadata": {"alt_text": {"text": alt}}}
        with self._errors("describing the image on X"):
            _checked(self._session.post(_METADATA, json=body, auth=self._sign()), "describing the image on X")

    def _upload_first(self, post: Post) -> str:
        with self._errors("uploading the image to X (v1.1)"), warnings.catch_warnings():
            # tweepy still looks for a module that newer Pythons do without.
            warnings.simplefilter("ignore", DeprecationWarning)
            # By a name with an extension: tweepy guesses the type from that alone.
            made = self._first.media_upload(f"image{post.media.extension}", file=io.BytesIO(post.media.data))
        return str(made.media_id_string)

    def _describe_first(self, media: str, alt: str) -> None:
        with self._errors("describing the image on X (v1.1)"):
            self._first.create_media_metadata(media, alt)

    @contextmanager
    def _errors(self, doing: str) -> Generator[None, None, None]:
        try:
            with network_errors(doing):
                yield
        except self._tweepy.HTTPException as exc:
            raise _by_status(exc.response, doing) from exc
        except self._tweepy.TweepyException as exc:
            with network_errors(doing):
                _raise_inner(exc)
            raise AnswerLostError(f"{doing}: {str(exc)[:_SHOWN_CHARS]}") from exc
        except SDClientError:
            raise
        except NONSENSE as exc:
            kind = AnswerLostError if doing == POSTING else BadReplyError
            raise kind(f"{doing}: the answer makes no sense ({type(exc).__name__})") from exc


def _raise_inner(exc: BaseException) -> None:
    inner = exc.__cause__ or exc.__context__
    if isinstance(inner, requests.RequestException):
        raise inner


def _checked(reply: requests.Response, doing: str) -> Mapping[str, object]:
    if not reply.ok:
        raise _by_status(reply, doing)
    if not reply.content:
        return {}
    try:
        return _mapping(reply.json())
    except ValueError as exc:
        raise BadReplyError(f"{doing}: the answer is no JSON", reply.status_code) from exc


def _by_status(reply: requests.Response, doing: str) -> SDClientError:
    """Return the error that an answer's status stands for."""
    status, detail = reply.status_code, _detail(reply)
    text = f"{doing}: {status}: {detail}"
    if status == requests.codes.too_many_requests:
        return quota_error(doing, _wait_s(reply), detail)
    if "duplicate content" in detail.lower():
        return AnswerLostError(f"{text}; a post like this is out already")
    if status == requests.codes.request_entity_too_large or _is_about_size(detail):
        return ImageLimitError(text)
    if status >= requests.codes.server_error and doing == POSTING:
        # It may have been posted before the failure.
        return AnswerLostError(text)
    kind, advice = _KINDS.get(
        status, (ServerFaultError if status >= requests.codes.server_error else RejectedError, "")
    )
    return kind(text + advice, status, detail)


_KEYS = "; check the four keys and the app's permission to write"
_KINDS: Mapping[int, tuple[type[ServerError], str]] = {
    401: (AuthenticationError, _KEYS),
    403: (AuthenticationError, _KEYS),
    404: (MissingRouteError, ""),
    410: (MissingRouteError, ""),
}


def _is_about_size(detail: str) -> bool:
    lower = detail.lower()
    return "file size" in lower or "too large" in lower or "image dimensions" in lower


def _detail(reply: requests.Response) -> str:
    try:
        value = reply.json()
    except ValueError:
        return (reply.text or reply.reason or "")[:_SHOWN_CHARS]
    told = _mapping(value)
    return str(told.get("detail") or told.get("errors") or told.get("title") or json.dumps(value))[:_SHOWN_CHARS]


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def _wait_s(reply: requests.Response) -> float | None:
    reset = reply.headers.get("x-rate-limit-reset", "")
    return max(0.0, float(reset) - time.time()) if reset.isdecimal() else None
