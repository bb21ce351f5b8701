"""What is installed on a simulated web UI: checkpoints, samplers, upscalers, and the lists that name them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sdclient.simulator.facts import JsonObject, JsonValue, array_at, load, object_at
from sdclient.simulator.framework import HttpError

__all__ = ["Checkpoint", "ForgeInstall", "Install", "fake_hash", "strings"]

_ROOT = "/srv/stable-diffusion-webui/models"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One model file.

    Attributes:
        filename: File name with its extension.
        sha256: Whole hash of the (imagined) file.
    """

    filename: str
    sha256: str

    @property
    def stem(self) -> str:
        """The name without the extension, which A1111 calls model_name."""
        return _stem(self.filename)

    @property
    def hash(self) -> str:
        """The ten hex digits that people see."""
        return self.sha256[:10]

    @property
    def title(self) -> str:
        """`name.ext [hash]`, as GET sd-models and the options spell it."""
        return f"{self.filename} [{self.hash}]"

    @property
    def names(self) -> frozenset[str]:
        """Every spelling the server takes for this file."""
        tagged = f"{self.stem} [{self.hash}]"
        return frozenset({self.filename, self.stem, self.title, tagged, self.hash, self.sha256, self.sha256[:8]})


class Install:
    """The invented installation of AUTOMATIC1111, and the base of its relatives.

    Args:
        models: Checkpoint files or stems, the selected one first; None for the stock list.
        version: `1.8`, `1.9` or `1.10`.
    """

    def __init__(self, models: Sequence[str] | None, version: str = "1.10") -> None:
        self.facts = self._read_facts()
        names = strings(array_at(self.facts, "models")) if models is None else models
        files = [name if name.endswith((".safetensors", ".ckpt")) else f"{name}.safetensors" for name in names]
        self.checkpoints = [Checkpoint(file, fake_hash(file)) for file in files]
        self.fused = version == "1.8"
        self.schedulers = self._schedulers(version)
        self.samplers = self._sampler_names(version)
        self.upscalers = [row for row in array_at(self.facts, "upscalers") if isinstance(row, dict)]
        self.latent_modes = strings(array_at(load("a1111"), "hires_fix", "latent_modes"))

    def _read_facts(self) -> JsonObject:
        return object_at(load("simulator"), "a1111")

    def _schedulers(self, version: str) -> dict[str, str]:
        """Give the label of each schedule by its name."""
        tables = object_at(load("a1111"), "samplers")
        names, labels = strings(array_at(tables, "schedulers")), strings(array_at(tables, "scheduler_labels"))
        # Which of them 1.9 had already is from its notes of changes, and in no table.
        known = strings(array_at(self.facts, "schedulers_1_9")) if version == "1.9" else names
        return {name: label for name, label in zip(names, labels, strict=True) if name in known}

    def checkpoint(self, name: str) -> Checkpoint | None:
        """Find a checkpoint by any of its names, or None."""
        return next((checkpoint for checkpoint in self.checkpoints if name in checkpoint.names), None)

    def has_upscaler(self, name: str) -> bool:
        """Tell whether an upscaler of exactly this name is installed."""
        return any(row["name"] == name for row in self.upscalers)

    def choose_sampler(self, name: str, scheduler: str | None) -> tuple[str, str | None]:
        """Take a fused name apart, and replace whatever is unknown by the default without saying so.

        Real servers may tell another schedule than `Automatic` where a sampler has one of its own; no table says
        so, hence the label of the schedule asked for is told.

        Args:
            name: What the request calls the sampler, for example `DPM++ 2M Karras`.
            scheduler: Name or label of the schedule, or None.

        Returns:
            The sampler used and the label of the schedule used, or None where there are no schedules.

        Raises:
            HttpError: If this program refuses unknown names.
        """
        if self.fused:
            if name not in self.samplers:
                raise HttpError(404, "Sampler not found")
            return name, None
        spellings = {**self.schedulers, **{label: label for label in self.schedulers.values()}}
        label = spellings.get(scheduler or "", "Automatic")
        for spelling, found in spellings.items():
            if name.endswith(f" {spelling}"):
                name, label = name[: -len(spelling) - 1], found
                break
        return (name if name in self.samplers else self.samplers[0]), label

    def _sampler_names(self, version: str) -> list[str]:
        """Since 1.9 the schedules are gone from the names, and each sampler is listed once."""
        fused = strings(array_at(load("a1111"), "samplers", "names_1_8"))
        if version == "1.8":
            return [*fused, "LCM"]
        names: list[str] = []
        for name in (*fused, *strings(array_at(self.facts, "extra_samplers"))):
            plain = next((name[: -len(end) - 1] for end in ("Karras", "Exponential") if name.endswith(f" {end}")), name)
            if plain not in names:
                names.append(plain)
        return names if version != "1.9" else [name for name in names if name != "DDIM CFG++"]

    # --- the lists, as the GET routes answer them ----------------------------------------------------------------------

    def list_samplers(self) -> list[JsonValue]:
        """GET samplers."""
        aliases = object_at(self.facts, "sampler_aliases")
        return [{"name": name, "aliases": aliases.get(name, []), "options": {}} for name in self.samplers]

    def list_schedulers(self) -> list[JsonValue]:
        """GET schedulers."""
        return [
            {"name": name, "label": label, "aliases": None, "default_rho": -1.0, "need_inner_model": False}
            for name, label in self.schedulers.items()
        ]

    def list_upscalers(self) -> list[JsonValue]:
        """GET upscalers."""
        return [
            {
                "name": row["name"],
                "model_name": row["model"] and _stem(str(row["model"])),
                "model_path": row["model"] and f"{_ROOT}/ESRGAN/{row['model']}",
                "model_url": None,
                "scale": row["scale"],
            }
            for row in self.upscalers
        ]

    def list_models(self) -> list[JsonValue]:
        """GET sd-models."""
        return [
            {
                "title": item.title,
                "model_name": item.stem,
                "hash": item.hash,
                "sha256": item.sha256,
                "filename": f"{_ROOT}/Stable-diffusion/{item.filename}",
                "config": None,
            }
            for item in self.checkpoints
        ]

    def list_vaes(self) -> list[JsonValue]:
        """GET sd-vae."""
        return [
            {"model_name": name, "filename": f"{_ROOT}/VAE/{name}"} for name in strings(array_at(self.facts, "vaes"))
        ]

    def list_loras(self) -> list[JsonValue]:
        """GET loras."""
        return [
            {"name": name, "alias": name, "path": f"{_ROOT}/Lora/{name}.safetensors", "metadata": {}}
            for name in strings(array_at(self.facts, "loras"))
        ]

    def list_embeddings(self) -> JsonObject:
        """GET embeddings."""
        row: JsonObject = {"step": None, "sd_checkpoint": None, "sd_checkpoint_name": None, "shape": 768, "vectors": 8}
        return {"loaded": dict.fromkeys(strings(array_at(self.facts, "embeddings")), row), "skipped": {}}

    def list_extensions(self) -> list[JsonValue]:
        """GET extensions."""
        date: JsonValue = "Sun Jul 14 23:33:20 2024" if self.fused else 1721000000
        return [
            {
                "name": name,
                "remote": "",
                "branch": "main",
                "commit_hash": fake_hash(name)[:40],
                "version": fake_hash(name)[:8],
                "commit_date": date,
                "enabled": True,
            }
            for name in strings(array_at(self.facts, "extensions"))
        ]


class ForgeInstall(Install):
    """The same installation under Forge, which has its own samplers, schedules and built-in extensions."""

    def _read_facts(self) -> JsonObject:
        return {**super()._read_facts(), **object_at(load("simulator_others"), "forge")}

    def _schedulers(self, version: str) -> dict[str, str]:  # noqa: ARG002 - one version only
        names = strings(array_at(load("others"), "forge", "samplers", "schedulers"))
        labels = {**super()._schedulers("1.10"), **self._labels()}
        return {name: labels[name] for name in names}

    def _labels(self) -> dict[str, str]:
        return {name: str(label) for name, label in object_at(self.facts, "scheduler_labels").items()}

    def _sampler_names(self, version: str) -> list[str]:  # noqa: ARG002 - one version only
        return strings(array_at(load("others"), "forge", "samplers", "names"))

    def list_modules(self) -> list[JsonValue]:
        """GET sd-modules: VAE and text encoders."""
        return [
            {"model_name": name, "filename": f"{_ROOT}/VAE/{name}"}
            for name in (*strings(array_at(self.facts, "vaes")), *strings(array_at(self.facts, "text_encoders")))
        ]


def strings(values: Sequence[JsonValue]) -> list[str]:
    """Keep the strings of a JSON array."""
    return [value for value in values if isinstance(value, str)]


def fake_hash(name: str) -> str:
    """Give an imagined file the hash of its name."""
    return hashlib.sha256(name.encode()).hexdigest()


def _stem(filename: str) -> str:
    return filename.rsplit(".", 1)[0]
