"""Names against what an A1111 server has installed: most wrong ones are swallowed there without a word."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from pydantic import JsonValue

from sdclient.dialects.base import ServerFacts
from sdclient.dialects.draft import Draft, shown
from sdclient.dialects.facts import a1111_samplers, a1111_schedulers, close_names, few_names
from sdclient.dialects.samplers import SamplerChoice, drawthings_sampler, schedule_label, split_sampler

__all__ = [
    "NATIVE_SAMPLERS",
    "NATIVE_SCHEDULES",
    "check_control_model",
    "check_native_choice",
    "check_upscaler",
    "close_hint",
    "doubt_sampler",
    "exact_control_model",
    "listed",
    "model_stem",
    "model_titles",
    "put_sampler",
    "spelled_model",
    "without_hash",
]

_PATH = re.compile(r"[/\\]|[A-Za-z]:[/\\]")
_HASH = re.compile(r"[0-9a-fA-F]{8}|[0-9a-fA-F]{10}|[0-9a-fA-F]{64}")
_ENDING = re.compile(r"\.(safetensors|ckpt|pth?|bin)$", re.IGNORECASE)
_HASH_BEHIND = re.compile(r" \[[0-9a-fA-F]{6,64}\]$")
NATIVE_SAMPLERS = ("sampler_name", "sampler_index", "hr_sampler_name")
"""Keys of the body that name a sampler."""
NATIVE_SCHEDULES = ("scheduler", "hr_scheduler")
"""Keys of the body that name a schedule."""

# Schedules that only Draw Things' labels know, and the nearest of A1111's.
_NEAREST_SCHEDULE = {"Trailing": "SGM Uniform", "Substep": None}


def model_stem(name: str) -> str:
    """Return a checkpoint's name without folder, hash and file ending, in lower case, to compare two spellings."""
    stem = name.rsplit(" [", 1)[0] if name.endswith("]") else name
    stem = stem.replace("\\", "/").rsplit("/", 1)[-1]
    for ending in (".safetensors", ".ckpt", ".pt", ".pth", ".bin"):
        stem = stem.removesuffix(ending)
    return stem.casefold()


def without_hash(title: str) -> str:
    """Return a checkpoint's title without the hash that some servers put behind it."""
    return _HASH_BEHIND.sub("", title)


def model_titles(known: Sequence[str]) -> tuple[str, ...]:
    """Return one name a model for messages: never a path or a hash of the server's, under which it also lists them."""
    titles: dict[str, str] = {}
    for name in known:
        if _is_title(name):
            titles.setdefault(model_stem(name), without_hash(name))
    return tuple(titles.values())


def _is_title(name: str) -> bool:
    return _PATH.match(name) is None and _HASH.fullmatch(name) is None


def spelled_model(name: str, field: str, draft: Draft, facts: ServerFacts) -> str:
    """Return a checkpoint as the server knows it; one that it does not is replaced by the only one that fits.

    For a request's own checkpoint these servers look up whole names alone, and draw with whatever is loaded where
    they find none. So a name that none or several fit is refused.
    """
    known = facts.models
    # Most names are listed as they are; of a thousand models all the others take a millisecond to work out.
    if known is None or (name in known and _PATH.match(name) is None) or name in _whole_names(known):
        return name
    fitting = _fitting(name, known)
    if len(fitting) == 1:
        title = without_hash(fitting[0])
        message = f"this server knows no model {shown(name)}; it is taken for {title}, the only one that fits"
        draft.lose(field, "replaced", "note", message)
        return fitting[0]
    titles = model_titles(known)
    stems = {model_stem(title): title for title in titles}
    close = difflib.get_close_matches(model_stem(name), list(stems), n=1)
    hint = f"; did you mean {stems[close[0]]}?" if close else close_hint(name, titles)
    if fitting:
        hint = f", and several fit: {few_names([without_hash(title) for title in fitting])}"
    draft.refuse(field, f"this server has no model {shown(name)}{hint}")
    return name


def _whole_names(known: Sequence[str]) -> frozenset[str]:
    """Return every name by which the server finds a checkpoint: not by its path, which holds the models folder."""
    names = {name for name in known if _PATH.match(name) is None}
    for title in filter(_is_title, known):
        file = without_hash(title)
        stem = _ENDING.sub("", file.replace("\\", "/").rsplit("/", 1)[-1])
        tag = title.removeprefix(file)
        names |= {file, stem, stem + tag, tag.strip(" []")}
    return frozenset(names - {""})


def _fitting(name: str, known: Sequence[str]) -> list[str]:
    """Return the title of each checkpoint that has this name in another case, ending or folder, or as a part of it."""
    titles = _titles(known)
    stem, tag = model_stem(name), _HASH_BEHIND.search(name)
    same = [title for title in titles if model_stem(title) == stem]
    if same:
        # Another hash of the same kind is another file.
        tags = [(title, _HASH_BEHIND.search(title)) for title in same]
        return [title for title, its in tags if not (tag and its and len(tag[0]) == len(its[0]) and tag[0] != its[0])]
    return [title for title in titles if stem and stem in without_hash(title).casefold()]


def _titles(known: Sequence[str]) -> list[str]:
    """Return the whole title of each checkpoint; its other names are listed behind it, without hash or ending."""
    titles: dict[str, str] = {}
    for title in filter(_is_title, known):
        flat = _ENDING.sub("", without_hash(title)).replace("\\", "/")
        # Where checkpoints lie in folders, the second name has `_` between them, or no folder.
        others = {flat, flat.replace("/", "_"), flat.rsplit("/", 1)[-1]}
        if title not in titles:
            titles |= dict.fromkeys({title, *others} - titles.keys(), title)
    return list(dict.fromkeys(titles.values()))


def check_upscaler(name: str, field: str, draft: Draft, facts: ServerFacts, also: Sequence[str] = ()) -> None:
    """Refuse an upscaler that is not installed."""
    known = None if facts.upscalers is None else (*facts.upscalers, *also)
    if known is not None and name not in known:
        draft.refuse(field, f"this server has no upscaler {shown(name)}{close_hint(name, known)}")


def check_control_model(name: str, field: str, draft: Draft, facts: ServerFacts) -> None:
    """Refuse a ControlNet model that is not installed; the extension finds one by a part of its name."""
    # Unverified [tile-models]: names of models are common ones; the server's own list decides.
    known = facts.controlnet_models
    if known is None or name.casefold() == "none":
        return
    if not any(name.casefold() in model.casefold() for model in known):
        draft.refuse(field, f"this server has no ControlNet model {shown(name)}{close_hint(name, known)}")


def exact_control_model(name: str, field: str, draft: Draft, facts: ServerFacts) -> str:
    """Return a ControlNet model as the server lists it, for one that takes nothing else."""
    known = facts.controlnet_models
    if name.casefold() == "none" or (known is not None and name in known):
        return name
    # The shortest name that holds the one asked for, as A1111's extension would choose.
    found = sorted((model for model in known or () if name.casefold() in model.casefold()), key=len)
    if found:
        return found[0]
    if known is None and not name.endswith("]"):
        message = f"{draft.program} knows a ControlNet model by its whole name with the hash, which is not known here"
        draft.lose(field, "approximated", "note", message)
    return name


def put_sampler(sampler: str | None, scheduler: str | None, draft: Draft, facts: ServerFacts) -> None:
    """Write sampler and schedule as this version spells them."""
    if sampler is None:
        if scheduler is not None:
            _put_schedule(schedule_label(scheduler), "scheduler", draft, facts)
        return
    choice = split_sampler(sampler, scheduler)
    choice = SamplerChoice(choice.sampler, _known_schedule(choice.schedule, draft))
    if facts.schedulers == ():
        _put_fused(choice, sampler, draft, facts)
        return
    # Unverified [unknown-sampler]: a 404, or another sampler in silence; so none is sent that the server does not list.
    name = listed(choice.sampler, facts.samplers)
    if name is None:
        _refuse_sampler(sampler, choice, draft, facts)
        return
    draft.put("sampler_name", name, "sampler_name")
    doubt_sampler(name, a1111_samplers(), draft, facts)
    if choice.schedule is not None:
        _put_schedule(choice.schedule, "scheduler" if scheduler else "sampler_name", draft, facts)


def doubt_sampler(name: str, usual: Sequence[str], draft: Draft, facts: ServerFacts) -> None:
    """Say where a sampler is none of those that the program comes with, and no list of the server's tells better."""
    if facts.samplers is None and listed(name, usual) is None:
        message = (
            f"{draft.program} comes with no sampler {shown(name)}; whether this server has it is not known here, and "
            f"without it some versions draw with their default and say nothing{close_names(name, usual)}"
        )
        draft.lose("sampler_name", "replaced", "warning", message)


def check_native_choice(name: str, value: JsonValue, where: str, draft: Draft, facts: ServerFacts) -> None:
    """Refuse a sampler or schedule among native keys that the server would replace by its default in silence.

    Args:
        name: The key.
        value: What it is set to.
        where: How errors call the place.
        draft: The draft.
        facts: What the server lists.
    """
    if not isinstance(value, str) or not value or value.casefold().startswith("use same"):
        return
    if name in NATIVE_SCHEDULES:
        _check_native_schedule(value, where, draft, facts)
        return
    choice = split_sampler(value, None)
    if facts.samplers is not None and not any(listed(one, facts.samplers) for one in (value, choice.sampler)):
        draft.refuse(where, f"this server has no sampler {shown(value)}{close_hint(choice.sampler, facts.samplers)}")


def _check_native_schedule(value: str, where: str, draft: Draft, facts: ServerFacts) -> None:
    names = a1111_schedulers()
    known = tuple(names.values()) if facts.schedulers is None else facts.schedulers
    if any(listed(one, known) for one in (value, names.get(value, value))):
        return
    if facts.schedulers == ():
        if value.casefold() != "automatic":
            draft.drop(where, "this version has no schedules apart from its samplers; name both, as one")
        return
    # Names and labels are listed, which often differ in letter case alone.
    choices = tuple({one.casefold(): one for one in known}.values())
    message = f"{draft.program} takes Automatic for a schedule it does not know, such as {shown(value)}"
    message += close_hint(value, choices)
    if facts.schedulers is None:
        draft.lose(where, "replaced", "warning", message)
    else:
        draft.refuse(where, message)


def _known_schedule(schedule: str | None, draft: Draft) -> str | None:
    if schedule not in _NEAREST_SCHEDULE:
        return schedule
    near = _NEAREST_SCHEDULE[schedule]
    message = f"{draft.program} has no {schedule} schedule; {near or 'its own choice'} is used"
    draft.lose("sampler_name", "approximated", "note" if near else "warning", message)
    return near


def _put_schedule(label: str, field: str, draft: Draft, facts: ServerFacts) -> None:
    if facts.schedulers == ():
        draft.drop(field, "this version has no schedules apart from its samplers; name both, as one")
        return
    known = facts.schedulers if facts.schedulers is not None else tuple(a1111_schedulers().values())
    # A list may hold labels, names or both.
    names = [name for name, its_label in a1111_schedulers().items() if its_label == label]
    found = next((found for name in (label, *names) if (found := listed(name, known)) is not None), None)
    if found is None and facts.schedulers is not None:
        # The server would take Automatic without a word.
        draft.refuse(field, f"this server has no schedule {shown(label)}{close_hint(label, known)}")
        return
    if found is None:
        message = f"{draft.program} comes with no schedule {shown(label)}, and takes Automatic for one it does not know"
        draft.lose(field, "replaced", "warning", f"{message}{close_names(label, known)}")
    draft.put("scheduler", found or label, field)


def _put_fused(choice: SamplerChoice, asked: str, draft: Draft, facts: ServerFacts) -> None:
    """Write one label for both, as versions before 1.9 have it."""
    fused = choice.sampler if choice.schedule in (None, "Automatic") else f"{choice.sampler} {choice.schedule}"
    name = listed(fused, facts.samplers)
    if name is None and listed(choice.sampler, facts.samplers) is not None:
        name = listed(choice.sampler, facts.samplers)
        message = f"this version has no {choice.schedule} schedule for it; {name} is used"
        draft.lose("scheduler", "approximated", "warning", message)
    if name is None:
        _refuse_sampler(asked, choice, draft, facts)
    else:
        doubt_sampler(choice.sampler, a1111_samplers(), draft, facts)
        draft.put("sampler_name", name, "sampler_name")


def _refuse_sampler(asked: str, choice: SamplerChoice, draft: Draft, facts: ServerFacts) -> None:
    message = f"this server has no sampler {shown(asked)}{close_hint(choice.sampler, facts.samplers or ())}"
    # TCD is what bake payloads for Draw Things use, and no stock A1111 has it.
    if choice.sampler.casefold() == "tcd" and drawthings_sampler(asked, None).label:
        message += "; LCM with an LCM LoRA comes nearest"
    draft.refuse("sampler_name", message)


def listed(name: str, known: Sequence[str] | None) -> str | None:
    """Return ``name`` as the server spells it; itself where the list is not known, None where it is not in it."""
    if known is None:
        return name
    # Schedules are listed by name and by label, which may differ in letter case alone.
    return name if name in known else next((item for item in known if item.casefold() == name.casefold()), None)


def close_hint(name: str, known: Sequence[str]) -> str:
    """Return the end of a message: close names, or else some of those there are."""
    return close_names(name, known) or (f"; it has {few_names(known)}" if known else "")
