"""Every error sdclient raises, as one tree.

::

    SDClientError
    ├── ConfigurationError (ValueError)   a file, key or option is wrong; nothing was sent
    │   ├── PayloadError                  a request field or payload file
    │   └── LossError                     the server cannot do what the request asks
    ├── CodecError (ValueError)           bytes that are not what they should be
    │   └── ImageLimitError               an image larger than the limits in force
    ├── MissingExtraError (ImportError)   an optional package is not installed
    ├── TransportError                    no usable answer
    │   ├── NotSentError                  never reached the server; repeating is free
    │   │   └── NotListeningError         the machine is there, and nothing listens at the port
    │   ├── AnswerLostError               sent, answer lost; the server may have drawn it
    │   │   └── DeadlineError             sent, no whole answer within the limits
    │   └── CancelledError                ended on request
    ├── ServerError                       the server answered, and not with what was asked
    │   ├── AuthenticationError           401 or 403
    │   ├── MissingRouteError             this server does not have the route
    │   ├── ServerBusyError               429 or 503; later it may work
    │   ├── RejectedError                 the request itself is at fault; repeating is useless
    │   ├── ServerFaultError              the server failed while working
    │   │   └── OverloadError             out of memory, or numbers that overflow: too much was asked of it
    │   ├── ServerChangedError            it came back with another program, model or options
    │   ├── WrongServerError              something answers, but not a Stable Diffusion server
    │   └── BadReplyError                 success by its status, nonsense by its content
    ├── RunError                          a run folder or its plan
    │   ├── PlanError (ValueError)        jobs that contradict each other or the folder
    │   │   └── ChangedPlanError          jobs asked for otherwise than they are planned
    │   ├── RunFolderError                the folder cannot hold a run, or is damaged
    │   └── StorageError                  disk full, share gone, read-only
    └── SegmentationError                 a segmenter or its weights

Two class attributes carry the consequences, so that no caller compares status codes:

* ``retryable``: a second try of the same thing may succeed;
* ``blames_server``: counts against the server's health rather than against the job.
"""

from __future__ import annotations

__all__ = [
    "AnswerLostError",
    "AuthenticationError",
    "BadReplyError",
    "CancelledError",
    "ChangedPlanError",
    "CodecError",
    "ConfigurationError",
    "DeadlineError",
    "ImageLimitError",
    "LossError",
    "MissingExtraError",
    "MissingRouteError",
    "NotListeningError",
    "NotSentError",
    "OverloadError",
    "PayloadError",
    "PlanError",
    "RejectedError",
    "RunError",
    "RunFolderError",
    "SDClientError",
    "SegmentationError",
    "ServerBusyError",
    "ServerChangedError",
    "ServerError",
    "ServerFaultError",
    "StorageError",
    "TransportError",
    "WrongServerError",
]


class SDClientError(Exception):
    """Base of every error sdclient raises on purpose.

    The message has four parts: what failed, on what, the value seen (cut short), what to do.
    """

    retryable: bool = False
    blames_server: bool = False


class ConfigurationError(SDClientError, ValueError):
    """A file, key or option is wrong. Nothing was sent and nothing was written."""


class PayloadError(ConfigurationError):
    """A request field or a payload file is wrong."""


class LossError(ConfigurationError):
    """The chosen server cannot do what the request asks, and leaving it out would be a lie."""


class CodecError(SDClientError, ValueError):
    """Bytes or text that do not decode to what they claim to be."""


class ImageLimitError(CodecError):
    """An image with more bytes or pixels than the limits in force allow."""


class MissingExtraError(SDClientError, ImportError):
    """An optional package is missing; the message names the extra that brings it."""


class TransportError(SDClientError):
    """No usable answer came back."""

    retryable = True
    blames_server = True


class NotSentError(TransportError):
    """The request never reached the server (refused, unknown host, connect timeout). Repeating is free."""


class NotListeningError(NotSentError):
    """The machine answers and nothing listens at the port: the server is not running."""


class AnswerLostError(TransportError):
    """The request was sent and the answer was lost. The server may have drawn the image."""


class DeadlineError(AnswerLostError):
    """The request was sent and no whole answer came within the limits."""


class CancelledError(TransportError):
    """The call was ended on request."""

    retryable = False
    blames_server = False


class ServerError(SDClientError):
    """The server answered, and not with what was asked.

    Attributes:
        status: HTTP status of the reply, 0 where there was none to speak of.
        body: The start of the reply's text, cut short; kept for the log, not for people.
        field: The request field at fault, where the server names one.
        retry_after_s: Seconds the server asked to wait, where it did.
    """

    def __init__(
        self,
        message: str,
        status: int = 0,
        body: str = "",
        field: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, status, body, field, retry_after_s)
        self.status = status
        self.body = body
        self.field = field
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return str(self.args[0])


class AuthenticationError(ServerError):
    """The server wants other credentials (401 or 403)."""


class MissingRouteError(ServerError):
    """This server does not have the route that was called."""


class ServerBusyError(ServerError):
    """The server is up but refuses work for now (429 or 503)."""

    retryable = True


class RejectedError(ServerError):
    """The request itself is at fault; sending it again would end the same way."""


class ServerFaultError(ServerError):
    """The server failed while working on a request it had accepted."""

    retryable = True
    blames_server = True


class OverloadError(ServerFaultError):
    """The server ran out of memory or drew garbage: the request asks too much of it, and would again."""

    retryable = False
    blames_server = False


class ServerChangedError(ServerError):
    """The server came back as another: program, model, or options that matter to the images."""

    retryable = True
    blames_server = True


class WrongServerError(ServerError):
    """Something answers at this address, but not a Stable Diffusion server."""


class BadReplyError(ServerError):
    """A success by its status and nonsense by its content: no images, broken base64, another size."""

    retryable = True
    blames_server = True


class RunError(SDClientError):
    """A run folder, or what was asked of it."""


class PlanError(RunError, ValueError):
    """Jobs that contradict each other, or what the folder already holds."""


class ChangedPlanError(PlanError):
    """Jobs are asked for otherwise than they are planned, and nobody said what shall become of them."""


class RunFolderError(RunError):
    """The folder cannot hold a run, is damaged, or was written by a newer format."""


class StorageError(RunError):
    """The disk is full, read-only, or the share is gone."""

    retryable = True


class SegmentationError(SDClientError):
    """A segmenter, its device or its weights."""
