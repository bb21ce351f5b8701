r"""The configuration of interleave: three blocks in TOML, YAML or JSON.

::

    [prompt_config]
    source = "episodes.txt"               beside the configuration
    key = "series"                        names the folder
    chapter_split_regex = 'Season\d+'
    [generation_config]
    progresive = true                     spelled so; progressive is understood too
    [[style_configs]]
    style = "wide photograph of nature, golden light"
    file_tag = "nature"
    weight = 0.9
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sdclient.errors import ConfigurationError
from sdclient.files import safe_name
from sdclient.schemas.base import Fraction, Int, Items, Number
from sdclient.schemas.configtext import read_config
from sdclient.schemas.problems import problem_lines

_TAG_BYTES = 60
Mode = Literal["progresive", "independent", "layered"]


class _Block(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True, populate_by_name=True
    )


class PromptConfig(_Block):
    """Where the prompts come from."""

    source: Annotated[str, Field(min_length=1)]
    """The text file; relative to the configuration."""
    key: Annotated[str, Field(min_length=1)]
    """Names the folder of the images."""
    prompt_override: str | None = None
    """One prompt instead of all those of the file, which still sets how many there are."""
    chapter_split_regex: Annotated[str, Field(min_length=1)] = r"Season\d+"
    """Stands before each chapter; what comes before the first is left out."""
    prompt_split_regex: Annotated[str, Field(min_length=1)] = r"\n"
    """Stands before each prompt of a chapter; what comes before the first is left out."""
    max_chapters: Annotated[Int, Field(ge=1)] = 1
    """Chapters taken at most."""
    max_entries_per_chapter: Annotated[Int, Field(ge=1)] = 9
    """Prompts taken of each chapter at most."""

    @field_validator("chapter_split_regex", "prompt_split_regex")
    @classmethod
    def _is_regex(cls, text: str) -> str:
        try:
            re.compile(text)
        except (re.error, RecursionError, OverflowError) as exc:
            raise ValueError(f"{text[:60]!r} is no regular expression: {exc}") from None
        return text


class GenerationConfig(_Block):
    """How the images are made."""

    preview: bool | str = False
    """Show the newest images on a page while the run works."""
    preview_stop: str | None = None
    """Was a shell command; taken, and never run."""
    preview_max_windows: Annotated[Int, Field(ge=1, le=1000)] = 10
    """Images on the preview page at most."""
    save_individual: bool = True
    """Put each image beside the grids, rather than into ``steps/``."""
    progresive: bool | None = None
    """Draw each image over the last one of its style. Unset: yes, unless ``layered``."""
    interleave: bool = True
    """After each prompt, hand the last images on by one style."""
    cycle_styles: bool = False
    """After each prompt, hand the styles on by one image."""
    guidance_scale: Annotated[Number, Field(ge=0, le=50)] | None = None
    """How closely the prompt is followed. Unset: as the payload says."""
    eta: Annotated[Number, Field(ge=0, le=1)] | None = None
    """Noise that DDIM adds at each step; other samplers ignore it. Unset: as the payload says."""
    num_inference_steps: Annotated[Int, Field(ge=1, le=150)] | None = None
    """Steps. Unset: as the payload says."""
    reset_between_chapters: bool = True
    """Begin each chapter anew, rather than over the last images of the chapter before."""
    grid_all_chapters: bool = False
    """Let each grid show the chapters before its own, too."""
    layered: bool = False
    """Draw the styles of one prompt over each other: the first from words, each further one over the one before."""

    @model_validator(mode="before")
    @classmethod
    def _one_spelling(cls, values: object) -> object:
        if not isinstance(values, dict) or "progressive" not in values:
            return cast("object", values)  # type: ignore[redundant-cast]  # pyright sees more than mypy here
        given = dict(cast("dict[str, object]", values))
        if "progresive" in given:
            raise ValueError("progresive and progressive are one key; keep one of them")
        given["progresive"] = given.pop("progressive")
        return given

    @model_validator(mode="after")
    def _one_mode(self) -> GenerationConfig:
        if self.layered and self.progresive:
            raise ValueError("layered and progresive exclude each other; turn one of them off")
        return self

    @property
    def mode(self) -> Mode:
        """What each image is drawn over: names a folder, too."""
        if self.layered:
            return "layered"
        return "independent" if self.progresive is False else "progresive"

    @property
    def shows_preview(self) -> bool:
        """Whether a preview was asked for; the original's documentation calls it a text."""
        if isinstance(self.preview, str):
            return self.preview.strip().casefold() not in ("", "false", "no", "off", "0", "none")
        return self.preview


class StyleConfig(_Block):
    """One style."""

    style: str
    """Words added to every prompt."""
    file_tag: Annotated[str, Field(min_length=1)]
    """Names the style's files."""
    weight: Fraction
    """How much of the image before is painted over: 0 nothing, 1 everything."""
    last_image: None = None
    """Was state of the original; only an empty one is taken."""
    images: Annotated[Items[object], Field(max_length=0)] = ()
    """Was state of the original; only an empty one is taken."""

    @property
    def name(self) -> str:
        """The tag as a part of file names: short enough that chapter and prompt always find room after it."""
        return safe_name(self.file_tag.encode()[:_TAG_BYTES].decode(errors="ignore"))


class InterleaveConfig(_Block):
    """A whole configuration."""

    prompt_config: PromptConfig
    generation_config: GenerationConfig = Field(default_factory=GenerationConfig)
    style_configs: Annotated[Items[StyleConfig], Field(min_length=1)]

    @model_validator(mode="after")
    def _tags_differ(self) -> InterleaveConfig:
        seen: dict[str, str] = {}
        for one in self.style_configs:
            name = one.name.casefold()
            if name in seen:
                raise ValueError(f"style_configs: {seen[name]!r} and {one.file_tag!r} would name the same files")
            seen[name] = one.file_tag
        return self

    def remarks(self) -> list[str]:
        """Return a sentence for everything that does not do what it seems to."""
        generation, styles = self.generation_config, self.style_configs
        said: list[str] = []
        if generation.preview_stop is not None:
            said.append("preview_stop: a configuration runs no commands here; the preview is a page, close it yourself")
        chosen = generation.model_fields_set
        if generation.mode != "progresive":
            idle = [name for name in ("interleave", "cycle_styles") if name in chosen and getattr(generation, name)]
            said += [f"{name}: has no effect without progresive" for name in idle]
        if generation.mode == "progresive" and generation.interleave and generation.cycle_styles and len(styles) > 1:
            said.append("interleave and cycle_styles undo each other: each style gets its own last image back")
        if generation.mode != "independent":
            said += [
                f"{one.file_tag}: weight 0: its image is handed on unchanged, no request is sent"
                for one in styles
                if one.weight == 0
            ]
        return said


def load_interleave(path: Path) -> InterleaveConfig:
    """Read a configuration.

    Args:
        path: A ``.toml``, ``.yaml``, ``.yml`` or ``.json`` file.

    Raises:
        ConfigurationError: If it cannot be read, or says something wrong; one line a problem.
    """
    values = read_config(path, "prompt_config, generation_config and style_configs")
    try:
        return InterleaveConfig.model_validate(values)
    except ValidationError as exc:
        lines = [_plain(line) for line in problem_lines(exc.errors(), InterleaveConfig, f"{path}: ")]
        raise ConfigurationError("\n".join(dict.fromkeys(lines))) from None


def _plain(line: str) -> str:
    if "style_configs: " in line and "at least 1 item" in line:
        return line.split("style_configs: ", maxsplit=1)[0] + "style_configs: holds no style; describe one at least"
    if line.endswith(("should be a valid string, not True", "should be a valid string, not False")):
        return line + "; put the word into quotes: without them, on, off, yes and no are truth values in YAML"
    if "should be a valid string, not " in line:
        return line + "; put it into quotes"
    if "last_image" in line or ".images" in line:
        return line + "; images are kept by the run, leave this key out"
    # The union of the two kinds a preview may be shows in pydantic's path.
    return line.replace(".preview.bool", ".preview").replace(".preview.str", ".preview")
