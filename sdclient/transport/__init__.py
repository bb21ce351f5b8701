"""How a request reaches a server and its whole reply comes back, or which error says that it did not.

What a failed call means depends on how far it had come, and each stage has its own error::

    connecting ──▶ sending ──▶ waiting for headers ──▶ reading the body ──▶ HttpReply, whatever its status
        │             │                 │                     │
    NotSentError   AnswerLostError, or its DeadlineError where a limit of time ran out
                   WrongServerError where the answer is not HTTP, BadReplyError where it breaks HTTP or the limits
    CancelledError at any stage

Each call has a connection of its own and makes exactly one try. A watchdog holds a duplicate of its socket
and shuts it down when the deadline comes or the call is cancelled, which no timeout of a library does: those
count the silence between two bytes, and one byte now and then keeps them content for ever.
"""

from sdclient.transport.address import Credentials, Origin, ServerAddress, origin_of, parse_server_url, safe_url
from sdclient.transport.cancel import CancelToken, ended_by, token_of_block
from sdclient.transport.contract import CallLimits, HttpReply, HttpSettings, Transport
from sdclient.transport.decoding import UnusableJsonError, decode_json
from sdclient.transport.requests_transport import RequestsTransport

__all__ = [
    "CallLimits",
    "CancelToken",
    "Credentials",
    "HttpReply",
    "HttpSettings",
    "Origin",
    "RequestsTransport",
    "ServerAddress",
    "Transport",
    "UnusableJsonError",
    "decode_json",
    "ended_by",
    "origin_of",
    "parse_server_url",
    "safe_url",
    "token_of_block",
]
