"""What can be found out about a server, without drawing anything."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

from sdclient.client import Client
from sdclient.client.connection import Connection
from sdclient.dialects.a1111_names import without_hash
from sdclient.dialects.facts import few_names
from sdclient.doctor.finding import Finding
from sdclient.doctor.payload import look_at_payload
from sdclient.errors import MissingRouteError, NotSentError, SDClientError, TransportError, WrongServerError
from sdclient.transport import HttpSettings, RequestsTransport

# Unverified [drawthings-port]: which program is behind a port is found out, never supposed.
USUAL_PORTS = (7860, 7861, 1234, 5001)
"""Where these servers listen unless told otherwise."""
_SHOWN_MODELS = 8
_MACOS = "darwin"


def look_around(payload: str | None, sets: Sequence[str], *, ports: Sequence[int] = USUAL_PORTS) -> list[Finding]:
    """Look for servers on this machine.

    Args:
        payload: A payload to check on every server that is found; None checks none.
        sets: ``field=value`` texts over the payload.
        ports: Where to look.
    """
    findings: list[Finding] = []
    for port in ports:
        found = look_at_server(f"http://127.0.0.1:{port}", payload, sets)
        findings += [] if found[0].level == "no server" else found
    if findings:
        return findings
    names = ", ".join(map(str, ports))
    text = (
        f"nothing answers at the usual ports ({names}). Start your server with its API on, give its address, "
        "or try things with: sdclient simulate"
    )
    return [Finding("no server", "this machine", text)]


def look_at_server(
    url: str,
    payload: str | None,
    sets: Sequence[str],
    *,
    dialect: str | None = None,
    platform: str = sys.platform,
) -> list[Finding]:
    """Look at one server, and at what it makes of a payload.

    Args:
        url: Its address, or its name in ``sdclient.toml``.
        payload: A payload to check there; None checks none.
        sets: ``field=value`` texts over the payload.
        dialect: The program to take it for; None finds out.
        platform: The system this runs on, for its hints.

    Raises:
        ConfigurationError: If the address is none.
    """
    client = Client(url, dialect=dialect)
    try:
        title, facts = client.title, client.facts
    except (TransportError, WrongServerError) as exc:
        return [Finding("no server", client.url, str(exc) + _network_hint(client, exc, platform))]
    except SDClientError as exc:
        return [Finding("wrong", client.url, str(exc))]
    version = f"version {facts.version}" if facts.version else "its API does not say which version"
    # Whoever is told what answers there does not look.
    said = f"{title} answers; {version}" if dialect is None else f"it answers, and is taken for {title} as you say"
    said += " (SIMULATED by sdclient)" if client.connection.is_simulated else ""
    told = {"dialect": client.dialect, "title": title, "version": facts.version}
    findings = [Finding("good", client.url, said, "server", told)]
    findings += _other_program(url, client) if dialect is not None else ()
    findings += _open_to_all(client)
    findings += _what_it_does(client)
    findings.append(_models(client))
    if payload is not None:
        findings += look_at_payload(client, payload, sets)
    return findings


def _network_hint(client: Client, exc: SDClientError, platform: str) -> str:
    if platform == _MACOS and isinstance(exc, NotSentError) and not client.address.is_loopback:
        return "; macOS may be in the way: System Settings, Privacy & Security, Local Network, allow your terminal"
    return ""


def _other_program(url: str, client: Client) -> Iterator[Finding]:
    """Say where a server that was named by hand looks like another program."""
    looks_like = client.connection.taken_for
    if looks_like is not None:
        text = f"it looks like {looks_like.title}; leave --dialect out for {url} unless you know better"
        yield Finding("note", client.url, text, "server", {"looks_like": looks_like.name})


def _open_to_all(client: Client) -> Iterator[Finding]:
    """Warn where whoever reaches the server may use it: its password is not asked for, or it has none."""
    if client.address.is_loopback:
        return
    if client.address.credentials is not None:
        bare = client.address.with_credentials(None)
        try:
            Connection(bare, RequestsTransport(HttpSettings(), server=bare), client.dialect).read_options()
        except SDClientError:
            return
    text = (
        "it answers without a password to everyone on this network; switch its own on "
        "(A1111 and Forge: --api-auth, SD.Next: --auth), or let only your machines reach it"
    )
    yield Finding("note", client.url, text, "auth", {"asks_for_password": False})


def _what_it_does(client: Client) -> list[Finding]:
    try:
        progress = client.progress()
    except SDClientError as exc:
        unknown = "it does not tell what it is drawing, nor how far it is"
        return [Finding("note", client.url, unknown, "busy")] if isinstance(exc, MissingRouteError) else []
    if progress.is_idle:
        return []
    done = "" if progress.fraction is None else f", {progress.fraction:.0%} done"
    text = f"it is drawing for somebody right now{done}; your images will wait"
    return [Finding("note", client.url, text, "busy", {"fraction": progress.fraction})]


def _models(client: Client) -> Finding:
    if client.facts.models is None:
        shown = (client.facts.options or {}).get("model")
        text = f"its models cannot be listed over the API; its window shows {shown or 'none'}"
        return Finding("note", client.url, text, "models", {"models": None, "shown": shown})
    names = (without_hash(model.title or model.model_name or "") for model in client.models())
    titles = list(filter(None, names))
    if not titles:
        return Finding("wrong", client.url, "no models are installed; put one into its models folder", "models")
    count = "1 model" if len(titles) == 1 else f"{len(titles)} models"
    text = f"{count}: {few_names(titles, _SHOWN_MODELS)}"
    return Finding("good", client.url, text, "models", {"models": [*titles]})
