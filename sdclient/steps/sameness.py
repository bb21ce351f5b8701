"""Whether a server that was away is still the one it was, as far as that shows in images."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from pydantic import JsonValue

from sdclient import client as sd
from sdclient.batch.differences import differences
from sdclient.dialects.base import Loss
from sdclient.errors import ServerChangedError
from sdclient.schemas import Img2Img, Txt2Img

_WEBUI = frozenset({"a1111", "forge", "sdnext"})
_MATTERING = frozenset(
    {
        "CLIP_stop_at_last_layers",
        "ENSD",
        "ESRGAN_tile",
        "always_discard_next_to_last_sigma",
        "code_former_weight",
        "emphasis",
        "enable_quantization",
        "eta_ancestral",
        "eta_ddim",
        "eta_noise_seed_delta",
        "face_restoration_model",
        "forge_additional_modules",
        "forge_unet_storage_dtype",
        "img2img_color_correction",
        "img2img_fix_steps",
        "initial_noise_multiplier",
        "jpeg_quality",
        "randn_source",
        "s_churn",
        "s_noise",
        "s_tmin",
        "samples_format",
        "sd_model_checkpoint",
        "sd_vae",
        "sdxl_crop_left",
        "sdxl_crop_top",
        "token_merging_ratio",
        "token_merging_ratio_img2img",
        "upcast_attn",
        "upscaler_for_img2img",
        "webp_lossless",
    }
)
"""Of a web UI's several hundred options those that change images; the others are about its pages."""
_OF_THE_JOB = frozenset({"prompt", "negative_prompt", "seed", "seed_mode", "batch_count", "batch_size"})
"""What a window shows and every job brings along itself."""
_TOLD = 4
_REMEMBERED = 20


class Sameness:
    """Remembers what a server was, and compares. Threads may share it.

    Args:
        client: The server.
    """

    def __init__(self, client: sd.Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._dialect = client.dialect
        self._options: Mapping[str, JsonValue] = {}
        self._sent: frozenset[str] | None = None
        self._requests: list[tuple[Txt2Img | Img2Img, tuple[Loss, ...]]] = []

    def learn(self, request: Txt2Img | Img2Img) -> None:
        """Take note of a kind of request that is sent, while the server is as it should be."""
        losses = self._client.check(request).items
        sent = sent_options(self._client.compile(request).call.body)
        with self._lock:
            if self._sent is None:
                self._options = dict(self._client.facts.options or {})
            self._sent = sent if self._sent is None else self._sent & sent
            if len(self._requests) < _REMEMBERED:
                self._requests.append((request, tuple(losses)))

    def check(self) -> None:
        """Ask the server anew, and compare.

        Raises:
            TransportError: If it does not answer.
            ServerChangedError: Naming what is different.
        """
        with self._lock:
            connection = self._client.connection
            found = connection.ask_who()
            if found.name != self._dialect:
                raise self._changed([f"{found.title} answers there now, it was {connection.dialect.title}"])
            if self._sent is None:
                return
            before, now = self._counted(self._options), self._counted(connection.facts.options or {})
            changes = [] if before == now else [differences(before, now)]
            changes += self._new_losses()
        if changes:
            raise self._changed(changes)

    def _counted(self, options: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        return counted_options(options, self._sent or (), dialect=self._dialect)

    def _new_losses(self) -> list[str]:
        """Return what the server does not do any more of the requests that it did."""
        return [
            loss.message
            for request, before in self._requests
            for loss in self._client.check(request).items
            if loss not in before and loss.severity != "note"
        ]

    def _changed(self, changes: Sequence[str]) -> ServerChangedError:
        more = f" and {len(changes) - _TOLD} more" if len(changes) > _TOLD else ""
        return ServerChangedError(
            f"{self._client.url}: the server came back as another: {'; '.join(changes[:_TOLD])}{more}; "
            "set it as it was, and it gets work again, or stop and begin another output folder"
        )


def sent_options(body: Mapping[str, JsonValue]) -> frozenset[str]:
    """Return the names of server options that a request body sets itself."""
    overrides = body.get("override_settings")
    return frozenset(body) | frozenset(
        cast("Mapping[str, JsonValue]", overrides) if isinstance(overrides, dict) else ()
    )


def counted_options(options: Mapping[str, JsonValue], sent: Iterable[str], *, dialect: str) -> dict[str, JsonValue]:
    """Return the options that change images, apart from those that requests set themselves.

    Args:
        options: All options.
        sent: Names of those that every request sets.
        dialect: Whose they are.
    """
    own = set(sent) | _OF_THE_JOB
    return {
        name: value
        for name, value in options.items()
        if name not in own and (dialect not in _WEBUI or name in _MATTERING)
    }
