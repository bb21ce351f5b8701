"""Samplers and schedules: one fused label on Draw Things and old A1111, two names since A1111 1.9."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "DrawThingsSampler",
    "SamplerChoice",
    "drawthings_sampler",
    "native_sampler",
    "native_schedule",
    "schedule_label",
    "split_native",
    "split_sampler",
]

# Words at the end of a fused label, longest first, and the schedule (by A1111's label) that each stands for.
_SUFFIXES: Mapping[str, str] = {
    "align your steps": "Align Your Steps",
    "polyexponential": "Polyexponential",
    "exponential": "Exponential",
    "sgm uniform": "SGM Uniform",
    "kl optimal": "KL Optimal",
    "trailing": "Trailing",
    "substep": "Substep",
    "karras": "Karras",
    "ays": "Align Your Steps",
}

# Draw Things' labels: sampler -> schedule -> label. The first schedule of each is what the plain name means.
_DRAWTHINGS: Mapping[str, Mapping[str, str]] = {
    "dpm++ 2m": {
        "Karras": "DPM++ 2M Karras",
        "Align Your Steps": "DPM++ 2M AYS",
        "Trailing": "DPM++ 2M Trailing",
    },
    "dpm++ sde": {
        "Karras": "DPM++ SDE Karras",
        "Align Your Steps": "DPM++ SDE AYS",
        "Trailing": "DPM++ SDE Trailing",
        "Substep": "DPM++ SDE Substep",
    },
    "euler a": {
        "Automatic": "Euler a",
        "Align Your Steps": "Euler A AYS",
        "Trailing": "Euler A Trailing",
        "Substep": "Euler A Substep",
    },
    "ddim": {"Automatic": "DDIM", "Trailing": "DDIM Trailing"},
    "plms": {"Automatic": "PLMS"},
    "unipc": {"Automatic": "UniPC", "Align Your Steps": "UniPC AYS", "Trailing": "UniPC Trailing"},
    "lcm": {"Automatic": "LCM"},
    "tcd": {"Automatic": "TCD", "Trailing": "TCD Trailing"},
}

# Samplers that Draw Things lacks, and the nearest it has. DDIM without noise takes the same first-order
# steps as Euler; the SDE solvers of other orders share the noise and the look of DPM++ SDE.
_NEAREST: Mapping[str, str] = {
    "euler": "ddim",
    "dpm++ 2m sde": "dpm++ sde",
    "dpm++ 3m sde": "dpm++ sde",
    "dpm++ 2m sde heun": "dpm++ sde",
    "dpm++ 2s a": "euler a",
    "dpm2 a": "euler a",
    "heun": "dpm++ 2m",
    "dpm2": "dpm++ 2m",
    "lms": "plms",
}

# Schedules that mean the same under two names, or nearly: asked -> what Draw Things calls the nearest.
_SAME_SPACING: Mapping[str, str] = {"SGM Uniform": "Trailing"}
_NEAR_SPACING: Mapping[str, str] = {
    "Exponential": "Karras",
    "Polyexponential": "Karras",
    "Uniform": "Automatic",
    "Normal": "Automatic",
    "DDIM": "Automatic",
    "Simple": "Trailing",
}

# stable-diffusion.cpp's own names, and the nearest where it lacks a sampler. Its DDIM takes trailing steps.
_NATIVE: Mapping[str, str] = {
    "euler": "euler",
    "euler a": "euler_a",
    "heun": "heun",
    "dpm2": "dpm2",
    "dpm++ 2s a": "dpm++2s_a",
    "dpm++ 2m": "dpm++2m",
    "dpm++ 2m v2": "dpm++2mv2",
    "dpm++ 2m sde": "dpm++2m_sde",
    "ipndm": "ipndm",
    "ipndm_v": "ipndm_v",
    "lcm": "lcm",
    "lms": "lms",
    "ddim": "ddim_trailing",
    "tcd": "tcd",
    "res multistep": "res_multistep",
    "res 2s": "res_2s",
    "default": "default",
}
# Names of these that are not written in capitals.
_PRETTY: Mapping[str, str] = {
    "euler": "Euler",
    "euler a": "Euler a",
    "heun": "Heun",
    "dpm++ 2s a": "DPM++ 2S a",
    "dpm++ 2m v2": "DPM++ 2M v2",
    "ipndm_v": "ipndm_v",
    "ipndm": "ipndm",
    "res multistep": "Res Multistep",
    "res 2s": "Res 2s",
    "default": "default",
}
_NATIVE_NEAREST: Mapping[str, tuple[str, ...]] = {
    "dpm++ sde": ("dpm++2m_sde", "dpm++2m"),
    "dpm++ 2m sde": ("dpm++2m",),
    "dpm++ 3m sde": ("dpm++2m_sde", "dpm++2m"),
    "dpm++ 2m sde heun": ("dpm++2m_sde", "dpm++2m"),
    "dpm++ 2s a": ("euler_a",),
    "dpm2 a": ("dpm++2s_a", "euler_a"),
    "unipc": ("dpm++2m",),
    "plms": ("lms",),
}
_NATIVE_SCHEDULES: Mapping[str, str] = {
    "Normal": "discrete",
    "Karras": "karras",
    "Exponential": "exponential",
    "Align Your Steps": "ays",
    "SGM Uniform": "sgm_uniform",
    "Trailing": "sgm_uniform",
    "Simple": "simple",
    "KL Optimal": "kl_optimal",
    "Beta": "beta",
}
_NATIVE_NEAR_SCHEDULES: Mapping[str, str] = {
    "Uniform": "discrete",
    "DDIM": "discrete",
    "Polyexponential": "exponential",
}

_LABEL_OF_NAME: Mapping[str, str] = {
    "automatic": "Automatic",
    "uniform": "Uniform",
    "karras": "Karras",
    "sgm_uniform": "SGM Uniform",
    "kl_optimal": "KL Optimal",
    "align_your_steps": "Align Your Steps",
    "normal": "Normal",
    "ddim": "DDIM",
    "simple": "Simple",
    "beta": "Beta",
}


@dataclass(frozen=True, slots=True)
class SamplerChoice:
    """A sampler and a schedule, apart.

    Attributes:
        sampler: The sampler's own name, without a schedule at its end.
        schedule: The schedule by its label, such as ``Karras``; None where nothing was said.
    """

    sampler: str
    schedule: str | None


@dataclass(frozen=True, slots=True)
class DrawThingsSampler:
    """The label for Draw Things.

    Attributes:
        label: One of the labels that Draw Things takes; None where none is near.
        difference: What differs from what was asked; empty where nothing does.
    """

    label: str | None
    difference: str = ""


def split_sampler(sampler: str, scheduler: str | None) -> SamplerChoice:
    """Take a sampler name apart from a schedule fused to its end; a ``scheduler`` that is said wins."""
    name, fused = sampler.strip(), None
    for suffix, label in _SUFFIXES.items():
        if name.casefold().endswith(f" {suffix}"):
            name, fused = name[: -len(suffix) - 1].rstrip(), label
            break
    schedule = schedule_label(scheduler) if scheduler else fused
    if name.casefold() == "euler a":
        name = "Euler a"
    return SamplerChoice(name, schedule)


def schedule_label(scheduler: str) -> str:
    """Return a schedule's label for its name or label in any letter case; an unknown one stays as it is."""
    folded = scheduler.strip().casefold()
    return _SUFFIXES.get(folded) or _LABEL_OF_NAME.get(folded.replace(" ", "_")) or scheduler.strip()


def drawthings_sampler(sampler: str, scheduler: str | None) -> DrawThingsSampler:
    """Find the label of Draw Things for a sampler and a schedule."""
    choice = split_sampler(sampler, scheduler)
    family = choice.sampler.casefold()
    if family in _DRAWTHINGS:
        label, difference = _label(family, choice.schedule)
        return DrawThingsSampler(label, difference)
    if family in _NEAREST:
        label, _ = _label(_NEAREST[family], choice.schedule)
        return DrawThingsSampler(label, f"Draw Things has no {choice.sampler}")
    return DrawThingsSampler(None)


def native_sampler(sampler: str, known: Sequence[str]) -> tuple[str | None, str]:
    """Find the name of a sampler where stable-diffusion.cpp draws.

    Args:
        sampler: A sampler's own name, without a schedule.
        known: The names to choose from; A1111's, or those of stable-diffusion.cpp itself.

    Returns:
        The name, None where none is near; and the sampler that is missing, empty where none is.
    """
    by_fold = {name.casefold(): name for name in known}
    family = sampler.casefold()
    if family in by_fold:
        return by_fold[family], ""
    if _NATIVE.get(family) in by_fold:
        return by_fold[_NATIVE[family]], ""
    for near in _NATIVE_NEAREST.get(family, ()):
        # The nearest by its own name, or by the name that A1111 has for it.
        names = (near, *(name for name, native in _NATIVE.items() if native == near))
        found = next((by_fold[name] for name in names if name in by_fold), None)
        if found is not None:
            return found, sampler
    return None, ""


def native_schedule(label: str) -> tuple[str | None, bool]:
    """Return stable-diffusion.cpp's name of a schedule by its label, and whether that is only near; None: no name."""
    if label in _NATIVE_SCHEDULES:
        return _NATIVE_SCHEDULES[label], False
    near = _NATIVE_NEAR_SCHEDULES.get(label)
    return near, near is not None


def split_native(label: str, samplers: Sequence[str], schedules: Sequence[str]) -> SamplerChoice | None:
    """Take a label of stable-diffusion.cpp apart, such as ``euler_a discrete``, into the names used everywhere else.

    Args:
        label: The label.
        samplers: Its samplers, by its own names.
        schedules: Its schedules, by its own names.

    Returns:
        The choice; None where it is no such label.
    """
    name, _, schedule = label.strip().rpartition(" ")
    if name not in samplers or schedule not in schedules:
        name, schedule = label.strip(), ""
    if name not in samplers:
        return None
    sampler = next((_PRETTY.get(ours, ours.upper()) for ours, native in _NATIVE.items() if native == name), name)
    told = next((ours for ours, native in _NATIVE_SCHEDULES.items() if native == schedule), schedule)
    return SamplerChoice(sampler, told or None)


def _label(family: str, schedule: str | None) -> tuple[str, str]:
    labels = _DRAWTHINGS[family]
    plain = next(iter(labels.values()))
    # Automatic lets the sampler choose, and each label's first schedule is that choice.
    if schedule is None or schedule == "Automatic":
        return plain, ""
    schedule = _SAME_SPACING.get(schedule, schedule)
    if schedule in labels:
        return labels[schedule], ""
    near = _NEAR_SPACING.get(schedule, "")
    return labels.get(near, plain), f"Draw Things has no {schedule} schedule for it"
