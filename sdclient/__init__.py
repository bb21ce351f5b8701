"""Drive Stable Diffusion servers that speak ``/sdapi/v1``: requests in, verified images out, long queues that resume.

::

    from sdclient import Client, Txt2Img, Run

    result = Client("http://127.0.0.1:7860").txt2img("a red fox", steps=30, seed=7)
    result.image.save("fox.png")

Importing this loads next to nothing; each name is fetched from its module when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdclient._late import late
from sdclient._version import __version__

if TYPE_CHECKING:
    from sdclient.client import AsyncClient, Change, Client, Losses, Result, StepProgress
    from sdclient.errors import (
        AnswerLostError,
        AuthenticationError,
        BadReplyError,
        CancelledError,
        ChangedPlanError,
        CodecError,
        ConfigurationError,
        DeadlineError,
        ImageLimitError,
        LossError,
        MissingExtraError,
        MissingRouteError,
        NotListeningError,
        NotSentError,
        OverloadError,
        PayloadError,
        PlanError,
        RejectedError,
        RunError,
        RunFolderError,
        SDClientError,
        SegmentationError,
        ServerBusyError,
        ServerChangedError,
        ServerError,
        ServerFaultError,
        StorageError,
        TransportError,
        WrongServerError,
    )
    from sdclient.images import GeneratedImage
    from sdclient.planning import Variations, Watch
    from sdclient.run import Run
    from sdclient.schemas import (
        ADetailer,
        ControlNet,
        Enlarge,
        HiresFix,
        Img2Img,
        Lora,
        Refiner,
        SDUpscale,
        Tiled,
        Tiles,
        Txt2Img,
        UltimateUpscale,
    )
    from sdclient.segment import SegmentSettings
    from sdclient.transport import CancelToken

__all__ = [
    "ADetailer",
    "AnswerLostError",
    "AsyncClient",
    "AuthenticationError",
    "BadReplyError",
    "CancelToken",
    "CancelledError",
    "Change",
    "ChangedPlanError",
    "Client",
    "CodecError",
    "ConfigurationError",
    "ControlNet",
    "DeadlineError",
    "Enlarge",
    "GeneratedImage",
    "HiresFix",
    "ImageLimitError",
    "Img2Img",
    "Lora",
    "LossError",
    "Losses",
    "MissingExtraError",
    "MissingRouteError",
    "NotListeningError",
    "NotSentError",
    "OverloadError",
    "PayloadError",
    "PlanError",
    "Refiner",
    "RejectedError",
    "Result",
    "Run",
    "RunError",
    "RunFolderError",
    "SDClientError",
    "SDUpscale",
    "SegmentSettings",
    "SegmentationError",
    "ServerBusyError",
    "ServerChangedError",
    "ServerError",
    "ServerFaultError",
    "StepProgress",
    "StorageError",
    "Tiled",
    "Tiles",
    "TransportError",
    "Txt2Img",
    "UltimateUpscale",
    "Variations",
    "Watch",
    "WrongServerError",
    "__version__",
]

_MODULES = {
    "client": ("AsyncClient", "Change", "Client", "Losses", "Result", "StepProgress"),
    "errors": (
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
    ),
    "images": ("GeneratedImage",),
    "planning": ("Variations", "Watch"),
    "run": ("Run",),
    "schemas": (
        "ADetailer",
        "ControlNet",
        "Enlarge",
        "HiresFix",
        "Img2Img",
        "Lora",
        "Refiner",
        "SDUpscale",
        "Tiled",
        "Tiles",
        "Txt2Img",
        "UltimateUpscale",
    ),
    "segment": ("SegmentSettings",),
    "transport": ("CancelToken",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}
__getattr__ = late(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
