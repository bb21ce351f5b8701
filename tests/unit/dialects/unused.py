"""What the servers' tables hold and no request can say, on purpose; each with its reason."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["UNUSED"]

_TRAINING = "training and model making are no drawing"
_FILES = "lists what only the server's own pages use"
_OWNER = "belongs to the server's owner, and no client should do it unasked"
_FACES = "the image is only enlarged there; restore_faces asks for faces while drawing"

UNUSED: Mapping[str, Mapping[str, str]] = {
    "a1111 endpoints": {
        "/sdapi/v1/extra-batch-images": "each image is enlarged and retried alone, by extra-single-image",
        "/sdapi/v1/interrogate": "describes images, and draws none",
        "/sdapi/v1/cmd-flags": _FILES,
        "/sdapi/v1/hypernetworks": _FILES,
        "/sdapi/v1/face-restorers": _FILES,
        "/sdapi/v1/realesrgan-models": _FILES,
        "/sdapi/v1/embeddings": "embeddings are words of the prompt",
        "/sdapi/v1/extensions": "scripts tells which of them can be called",
        "/sdapi/v1/refresh-loras": _OWNER,
        "/sdapi/v1/refresh-embeddings": _OWNER,
        "/sdapi/v1/refresh-checkpoints": _OWNER,
        "/sdapi/v1/refresh-vae": _OWNER,
        "/sdapi/v1/unload-checkpoint": _OWNER,
        "/sdapi/v1/reload-checkpoint": _OWNER,
        "/sdapi/v1/server-kill": _OWNER,
        "/sdapi/v1/server-restart": _OWNER,
        "/sdapi/v1/server-stop": _OWNER,
        "/sdapi/v1/create/embedding": _TRAINING,
        "/sdapi/v1/create/hypernetwork": _TRAINING,
        "/sdapi/v1/train/embedding": _TRAINING,
        "/sdapi/v1/train/hypernetwork": _TRAINING,
        "/internal/ping": "web UI mode only; options answers everywhere",
        "/internal/pending-tasks": "progress asks for one task by its id",
    },
    "extra-single-image": {
        "show_extras_results": "the result is what is asked for",
        "gfpgan_visibility": _FACES,
        "codeformer_visibility": _FACES,
        "codeformer_weight": _FACES,
        "upscaling_resize_w": "enlarging goes by a factor, so that no image is stretched or cut",
        "upscaling_resize_h": "enlarging goes by a factor, so that no image is stretched or cut",
        "upscaling_crop": "enlarging goes by a factor, so that nothing is cut",
        "upscaler_2": "one upscaler is used; a mix of two has no name of its own elsewhere",
        "extras_upscaler_2_visibility": "one upscaler is used",
        "upscale_first": "no faces are restored there, so there is no order to choose",
        "image": "the image in hand is put there",
    },
    "a1111 excluded": dict.fromkeys(
        (
            *("sd_model", "outpath_samples", "outpath_grids", "extra_generation_params", "overlay_images"),
            *("do_not_reload_embeddings", "seed_enable_extras", "prompt_for_display"),
            *("sampler_noise_scheduler_override", "ddim_discretize"),
        ),
        "the server's own constructor; it takes no such key over HTTP",
    ),
    "controlnet endpoints": {
        "/controlnet/version": "scripts tells whether ControlNet is there",
        "/controlnet/control_types": "the lists of modules and models say it",
        "/controlnet/settings": "options holds the number of units",
        "/controlnet/detect": "makes maps, and draws nothing",
        "/controlnet/render_openpose_json": "draws stick figures, and no image",
    },
}
"""Names that no request uses, by table: the reason for each."""
