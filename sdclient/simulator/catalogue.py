"""What is installed on a simulated A1111: checkpoints, samplers, upscalers, and the lists that name them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sdclient.simulator.facts import JsonObject, JsonValue, array_at, load, object_at

__all__ = ["Checkpoint", "Install"]

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
    """The invented installation.

    Args:
        models: Checkpoint files or stems, the selected one first; None for the stock list.
    """

    def __init__(self, models: Sequence[str] | None) -> None:
        self.facts = object_at(load("simulator"), "a1111")
        names = strings(array_at(self.facts, "models")) if models is None else models
        files = [name if name.endswith((".safetensors", ".ckpt")) else f"{name}.safetensors" for name in names]
        self.checkpoints = [Checkpoint(file, fake_hash(file)) for file in files]
        tables = object_at(load("a1111"), "samplers")
        schedulers, labels = strings(array_at(tables, "schedulers")), strings(array_at(tables, "scheduler_labels"))
        self.schedulers = dict(zip(schedulers, labels, strict=True))
        self.samplers = self._sampler_names(strings(array_at(tables, "names_1_8")))
        self.upscalers = [row for row in array_at(self.facts, "upscalers") if isinstance(row, dict)]
        self.latent_modes = strings(array_at(load("a1111"), "hires_fix", "latent_modes"))

    def checkpoint(self, name: str) -> Checkpoint | None:
        """Find a checkpoint by any of its names, or None."""
        return next((checkpoint for checkpoint in self.checkpoints if name in checkpoint.names), None)

    def has_upscaler(self, name: str) -> bool:
        """Tell whether an upscaler of exactly this name is installed."""
        return any(row["name"] == name for row in self.upscalers)

    def split_sampler(self, name: str, scheduler: str | None) -> tuple[str, str]:
        """Take a fused name apart, and replace whatever is unknown by the default without saying so.

        Args:
            name: What the request calls the sampler, for example `DPM++ 2M Karras`.
            scheduler: Name or label of the schedule, or None.

        Returns:
            The sampler used and the label of the schedule used.
        """
        spellings = {**self.schedulers, **{label: label for label in self.schedulers.values()}}
        label = spellings.get(scheduler or "", "Automatic")
        for spelling, found in spellings.items():
            if name.endswith(f" {spelling}"):
                name, label = name[: -len(spelling) - 1], found
                break
        return (name if name in self.samplers else self.samplers[0]), label

    def _sampler_names(self, fused: Sequence[str]) -> list[str]:
        """Since 1.9 the schedules are gone from the names, and each sampler is listed once."""
        names: list[str] = []
        for name in (*fused, *strings(array_at(self.facts, "extra_samplers"))):
            plain = next((name[: -len(end) - 1] for end in ("Karras", "Exponential") if name.endswith(f" {end}")), name)
            if plain not in names:
                names.append(plain)
        return names

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
        return [
            {
                "name": name,
                "remote": "",
                "branch": "main",
                "commit_hash": fake_hash(name)[:40],
                "version": fake_hash(name)[:8],
                "commit_date": 1721000000,
                "enabled": True,
            }
            for name in strings(array_at(self.facts, "extensions"))
        ]


def strings(values: Sequence[JsonValue]) -> list[str]:
    """Keep the strings of a JSON array."""
    return [value for value in values if isinstance(value, str)]


def fake_hash(name: str) -> str:
    """Give an imagined file the hash of its name."""
    return hashlib.sha256(name.encode()).hexdigest()


def _stem(filename: str) -> str:
    return filename.rsplit(".", 1)[0]
