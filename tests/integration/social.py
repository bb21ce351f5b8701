"""A real HTTP server that behaves like X and like Mastodon, as far as posting goes, and checks what it is sent."""

from __future__ import annotations

import datetime as dt
import email.parser
import email.policy
import html
import http.server
import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from oauthlib.oauth1.rfc5849 import signature

if TYPE_CHECKING:
    from typing_extensions import Self

SECRETS = {
    "SDCLIENT_X_CONSUMER_KEY": "app-key",
    "SDCLIENT_X_CONSUMER_SECRET": "app-s3cret",
    "SDCLIENT_X_ACCESS_TOKEN": "42-user-token",
    "SDCLIENT_X_ACCESS_TOKEN_SECRET": "user-s3cret",
    "SDCLIENT_MASTODON_TOKEN": "mastodon-t0ken",
}
ORIGINS = {"/2/media": "https://api.x.com", "/1.1/media": "https://upload.twitter.com", "/": "https://api.twitter.com"}


@dataclass
class Image:
    """An image that was uploaded."""

    data: bytes
    mime: str
    name: str
    alt: str = ""


@dataclass
class Status:
    """A post that is out."""

    id: str
    text: str
    media: list[str]
    reply_to: str | None
    made: str = field(default_factory=lambda: dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z"))


@dataclass
class Fault:
    """An answer that is given instead of the right one, as often as it is listed."""

    path: str
    status: int = 500
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    """Close the connection without an answer."""
    after: bool = False
    """Do first what was asked."""


class Social:
    """The server; use as a context manager.

    Args:
        faults: What goes wrong, used up in order.
        max_bytes: Larger images are refused.
        told_max_bytes: What Mastodon's limits say; None for the truth.
    """

    def __init__(
        self, faults: Sequence[Fault] = (), *, max_bytes: int = 16_000_000, told_max_bytes: int | None = None
    ) -> None:
        self.faults = list(faults)
        self.max_bytes = max_bytes
        self.told_max_bytes = max_bytes if told_max_bytes is None else told_max_bytes
        self.images: dict[str, Image] = {}
        self.posts: list[Status] = []
        self.calls: list[str] = []
        self.complaints: list[str] = []
        self.on_post: Callable[[], object] = lambda: None
        """Called when a post is out, before that is answered."""
        self._keys: dict[str, Status] = {}
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A server whose thread could not begin would be waited for without end.
        if self._thread.is_alive():
            self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fault_for(self, path: str) -> Fault | None:
        for fault in self.faults:
            if path.startswith(fault.path):
                self.faults.remove(fault)
                return fault
        return None

    def keep_image(self, image: Image) -> str | None:
        if len(image.data) > self.max_bytes:
            return None
        number = str(1000 + len(self.images))
        self.images[number] = image
        return number

    def keep_post(self, text: str, media: list[str], reply_to: str | None, key: str | None = None) -> Status:
        if key is not None and key in self._keys:
            return self._keys[key]
        unknown = [one for one in media if one not in self.images]
        if unknown:
            self.complaints.append(f"posted with unknown images {unknown}")
        status = Status(str(9000 + len(self.posts)), text, media, reply_to)
        self.posts.append(status)
        if key is not None:
            self._keys[key] = status
        self.on_post()
        return status


@dataclass(frozen=True)
class Request:
    """A request, taken apart."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    def parts(self) -> dict[str, Image]:
        """Return the parts of a multipart body."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + self.body)
        found = {}
        for part in message.iter_parts():
            name = str(part.get_param("name", header="content-disposition"))
            data = part.get_payload(decode=True)
            assert isinstance(data, bytes)
            found[name] = Image(data, part.get_content_type(), part.get_filename() or "")
        return found

    def form(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, value in parse_qsl(self.body.decode()):
            found.setdefault(name, []).append(value)
        return found


Answer = tuple[int, object]


def _handler(social: Social) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, parts.path, parse_qsl(parts.query), headers, body)
            social.calls.append(f"{request.method} {request.path}")
            fault = social.fault_for(request.path)
            if fault is None or fault.after:
                status, value = _answer(social, request)
                data, more = json.dumps(value).encode(), {}
            if fault is not None:
                status, data, more = fault.status, fault.body, fault.headers
                if fault.drop:
                    self.close_connection = True
                    return
            self.send_response(status)
            for name, text in {"Content-Type": "application/json", "Content-Length": str(len(data)), **more}.items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self._do()

        def do_POST(self) -> None:
            self._do()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _answer(social: Social, request: Request) -> Answer:
    if request.path.startswith("/api/"):
        if request.path != "/api/v1/instance/" and request.headers.get("authorization") != "Bearer mastodon-t0ken":
            return 401, {"error": "The access token is invalid"}
        return _mastodon(social, request)
    if not _is_signed(request):
        social.complaints.append(f"{request.method} {request.path}: not signed, or wrongly")
        return 401, {"title": "Unauthorized", "detail": "Unauthorized"}
    return _x(social, request)


def _is_signed(request: Request) -> bool:
    """Compute the OAuth 1.0a signature anew, over X's own address."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    if scheme != "OAuth":
        return False
    values = {name: unquote(value) for name, value in re.findall(r'(\w+)="([^"]*)"', rest)}
    origin = next(origin for start, origin in ORIGINS.items() if request.path.startswith(start))
    form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    signed = [(name, value) for name, value in values.items() if name != "oauth_signature"]
    signed += request.query + (parse_qsl(request.body.decode()) if form else [])
    text = signature.signature_base_string(
        request.method, origin + request.path, signature.normalize_parameters([(k, v) for k, v in signed])
    )
    wanted = signature.sign_hmac_sha1_with_client(text, _Secrets())
    return (values.get("oauth_consumer_key"), values.get("oauth_token"), values.get("oauth_signature")) == (
        "app-key",
        "42-user-token",
        wanted,
    )


class _Secrets:
    client_secret = "app-s3cret"
    resource_owner_secret = "user-s3cret"


def _x(social: Social, request: Request) -> Answer:
    return _x_media(social, request) if "/media/" in request.path else _x_posts(social, request)


def _x_media(social: Social, request: Request) -> Answer:
    match request.path:
        case "/2/media/upload" | "/1.1/media/upload.json":
            number = social.keep_image(request.parts()["media"])
            if number is None:
                return 400, {"errors": [{"message": "File size exceeds 5242880 bytes."}]}
            return 200, {"data": {"id": number}} if "/2/" in request.path else {
                "media_id_string": number,
                "media_id": 1,
            }
        case "/2/media/metadata":
            body = json.loads(request.body)
            social.images[body["id"]].alt = body["metadata"]["alt_text"]["text"]
            return 200, {"data": {"id": body["id"]}}
        case "/1.1/media/metadata/create.json":
            body = json.loads(request.body)
            social.images[body["media_id"]].alt = body["alt_text"]["text"]
            return 200, {}
    return 404, {"title": "Not Found", "detail": "no such route"}


def _x_posts(social: Social, request: Request) -> Answer:
    match request.path:
        case "/2/tweets":
            body = json.loads(request.body)
            if any(one.text == body["text"] for one in social.posts):
                detail = "You are not allowed to create a Tweet with duplicate content."
                return 403, {"detail": detail, "title": "Forbidden"}
            made = social.keep_post(
                body["text"], body["media"]["media_ids"], body.get("reply", {}).get("in_reply_to_tweet_id")
            )
            return 201, {"data": {"id": made.id, "text": made.text}}
        case "/2/users/me":
            return 200, {"data": {"id": "42", "name": "Bot", "username": "bot"}}
        case "/2/users/42/tweets":
            asked = dict(request.query)
            if asked.get("tweet.fields") != "created_at":
                social.complaints.append("the times of posts were not asked for")
            posts = [
                {"id": one.id, "text": one.text, "created_at": one.made, "edit_history_tweet_ids": [one.id]}
                for one in social.posts[::-1][: int(asked["max_results"])]
            ]
            return 200, {"data": posts, "meta": {"result_count": len(posts)}}
    return 404, {"title": "Not Found", "detail": "no such route"}


def _mastodon(social: Social, request: Request) -> Answer:
    return _toot(social, request) if request.method == "POST" else _told(social, request)


def _told(social: Social, request: Request) -> Answer:
    match request.path:
        case "/api/v1/instance/" | "/api/v1/instance" | "/api/v2/instance/" | "/api/v2/instance":
            limits = {"image_size_limit": social.told_max_bytes, "image_matrix_limit": 33_177_600}
            told = {"uri": "localhost", "version": "4.3.0", "api_versions": {"mastodon": 2}}
            return 200, {**told, "configuration": {"media_attachments": limits}}
        case "/api/v1/accounts/verify_credentials":
            return 200, {"id": "7", "username": "bot", "acct": "bot"}
        case "/api/v1/accounts/7/statuses":
            limit = int(dict(request.query)["limit"])
            return 200, [_status(social, one) for one in social.posts[::-1][:limit]]
    return 404, {"error": "Record not found"}


def _toot(social: Social, request: Request) -> Answer:
    match request.path:
        case "/api/v2/media":
            parts = request.parts()
            image = parts["file"]
            image.alt = parts["description"].data.decode()
            number = social.keep_image(image)
            if number is None:
                return 422, {"error": "Validation failed: File file size must be less than 16 MB"}
            return 200, {"id": number, "type": "image", "url": f"{social.url}/{number}", "description": image.alt}
        case "/api/v1/statuses":
            form = request.form()
            key = request.headers.get("idempotency-key")
            reply = form.get("in_reply_to_id", [None])[0]
            made = social.keep_post(form["status"][0], form.get("media_ids[]", []), reply, key)
            return 200, _status(social, made)
    return 404, {"error": "Record not found"}


def _status(social: Social, one: Status) -> dict[str, object]:
    lines = re.sub(r"#(\w+)", r'<a href="x" class="mention hashtag">#<span>\1</span></a>', html.escape(one.text))
    content = "".join(f"<p>{part}</p>" for part in lines.split("\n\n"))
    return {
        "id": one.id,
        "created_at": one.made,
        "content": content,
        "url": f"{social.url}/@bot/{one.id}",
        "visibility": "public",
    }
