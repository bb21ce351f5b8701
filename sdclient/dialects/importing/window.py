"""A server's current settings frozen into a request: Draw Things' window, or the options of A1111's family."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from sdclient.dialects.importing import drawthings
from sdclient.dialects.importing.result import Imported
from sdclient.dialects.tables import Kind
from sdclient.schemas.generation import Img2Img, Txt2Img

__all__ = ["snapshot"]

# Options of A1111's family that change an image; the rest are folders, saving, and how its pages look.
_DRAWING = frozenset(
    {
        *("eta_noise_seed_delta", "img2img_color_correction", "img2img_fix_steps", "img2img_background_color"),
        *("initial_noise_multiplier", "eta_ddim", "eta_ancestral", "ddim_discretize", "s_churn", "s_tmin", "s_tmax"),
        *("s_noise", "s_min_uncond", "k_sched_type", "sigma_min", "sigma_max", "rho", "uni_pc_variant"),
        *("uni_pc_skip_type", "uni_pc_order", "uni_pc_lower_order_final", "randn_source", "upcast_attn", "emphasis"),
        *("enable_emphasis", "enable_batch_seeds", "comma_padding_backtrack", "token_merging_ratio"),
        *(
            "token_merging_ratio_img2img",
            "token_merging_ratio_hr",
            "pad_cond_uncond",
            "fp8_storage",
            "cache_fp16_weight",
        ),
        *("sdxl_crop_top", "sdxl_crop_left", "sdxl_refiner_low_aesthetic_score", "sdxl_refiner_high_aesthetic_score"),
        *("hires_fix_refiner_pass", "hires_fix_use_firstpass_conds", "upscaler_for_img2img", "ESRGAN_tile"),
        *("ESRGAN_tile_overlap", "face_restoration", "face_restoration_model", "code_former_weight", "tiling"),
        *("always_discard_next_to_last_sigma", "sgm_noise_multiplier", "no_dpmpp_sde_batch_determinism"),
        *("use_old_karras_scheduler_sigmas", "use_old_emphasis_implementation", "use_old_hires_fix_width_height"),
        *("dont_fix_second_order_samplers_schedule", "hires_fix_use_firstpass_conds", "use_old_scheduling"),
        *("use_downcasted_alpha_bar", "sd_noise_schedule", "skip_early_cond", "beta_dist_alpha", "beta_dist_beta"),
        *("forge_additional_modules", "forge_unet_storage_dtype"),
    }
)
_FIELDS: Mapping[str, str] = {"sd_model_checkpoint": "model", "sd_vae": "vae", "CLIP_stop_at_last_layers": "clip_skip"}
_FAMILY = ("a1111", "forge", "sdnext")


def snapshot(dialect: str, options: Mapping[str, JsonValue], kind: Kind = "txt2img") -> Imported:
    """Freeze what a server shows now, so that later changes there change nothing here.

    Args:
        dialect: Who answers.
        options: The body of ``GET options``.
        kind: Which request to make.

    Raises:
        PayloadError: If what the server shows contradicts itself.
    """
    if dialect == "drawthings":
        return drawthings.import_body(options, kind)
    cls = Img2Img if kind == "img2img" else Txt2Img
    if dialect not in _FAMILY:
        model = options.get("sd_model_checkpoint")
        named = {"model": model} if isinstance(model, str) and model not in ("", "inactive") else {}
        left = {name: "not a setting of drawing" for name in options if name != "sd_model_checkpoint"}
        return Imported(cls.from_mapping({"overlays": {dialect: named}} if named else {}), dialect, left)
    fields = {field: options[name] for name, field in _FIELDS.items() if options.get(name)}
    if dialect == "forge":
        # There modules say it, and the option of A1111 only seems to.
        fields.pop("vae", None)
    kept: dict[str, JsonValue] = {
        name: value for name, value in options.items() if name in _DRAWING and value is not None
    }
    overlay: dict[str, JsonValue] = {**fields, **({"native": {"override_settings": kept}} if kept else {})}
    reason = "belongs to the server: saving, folders, or how its pages look"
    left = {name: reason for name in options if name not in _FIELDS and name not in kept}
    return Imported(cls.from_mapping({"overlays": {dialect: overlay}}), dialect, left)
