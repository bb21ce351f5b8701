"""Asks the servers about a request before it becomes jobs: a plan does not change, so a slip must not enter it."""

from __future__ import annotations

from collections.abc import Sequence

from sdclient.client import Client
from sdclient.errors import LossError, SDClientError
from sdclient.schemas import Img2Img, Txt2Img

_PLAIN_PX = (512, 512)


def check_request(urls: Sequence[str], request: Txt2Img | Img2Img) -> None:
    """Do nothing where one of the servers would draw a request.

    Args:
        urls: Servers by address or name; none means the usual one.
        request: The request; an img2img one need not have its image yet.

    Raises:
        SDClientError: What is in the way on the first server, where none would: it is away, or lacks what is asked for.
    """
    if isinstance(request, Img2Img) and request.init_image is None:
        from PIL import Image

        request = request.replace(init_image=Image.new("RGB", request.size or _PLAIN_PX))
    errors: list[SDClientError] = []
    for url in urls or (None,):
        try:
            losses = Client(url).check(request)
        except SDClientError as exc:
            errors.append(exc)
            continue
        if not losses.is_refused:
            return
        errors.append(LossError(str(losses)))
    raise errors[0]
