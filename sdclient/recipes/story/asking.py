"""Whom a story's ideas are asked of, as people say it, and the list that comes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sdclient.chat import Api, Endpoint
from sdclient.errors import ConfigurationError
from sdclient.recipes.story.draft import Draft
from sdclient.recipes.story.endpoint import EndpointIdeas
from sdclient.recipes.story.extract import ExtractIdeas
from sdclient.recipes.story.extracts import collect_extracts
from sdclient.recipes.story.ideas import IDEAS_PER_SECTION, STYLE, IdeaSettings, collect_ideas
from sdclient.recipes.story.manifest import Manifest, keep_manifest, write_manifest
from sdclient.recipes.story.text import SourceText, sentences

_OPENAI_KEYS = ("OPENAI_API_KEY", "OPENAI_TOKEN")


@dataclass(frozen=True, slots=True)
class Asked:
    """Where ideas come from and how many are wanted.

    Attributes:
        base_url: Address of a language model; None and no model means key sentences of the text.
        model: Its name; None takes the only one there.
        key_env: The environment variable with its key.
        api: How it is spoken to.
        count: Ideas for each section.
        style: Words for every prompt.
        extracts: One image for every hundred words or so, instead.
        words_by_model: Let the model find words for each prompt.
        anew: Make new ideas where there are some.
        given: Those of these options that were typed, as the list of ideas notes them.
    """

    base_url: str | None = None
    model: str | None = None
    key_env: str | None = None
    api: Api = "chat"
    count: int = IDEAS_PER_SECTION
    style: str = STYLE
    extracts: bool = False
    words_by_model: bool = False
    anew: bool = False
    given: tuple[str, ...] = ()

    @property
    def wants_model(self) -> bool:
        """Whether a language model is asked."""
        return self.base_url is not None or self.model is not None

    def given_to_no_avail(self, there: Manifest) -> Iterator[str]:
        """Yield the options that ideas of before were not made with."""
        if self.base_url is not None and there.source == ExtractIdeas().name:
            yield "--base-url"
        for option in self.given:
            if option.startswith("--ideas "):
                is_so = all(len(one.ideas) == self.count for one in there.sections)
            else:
                is_so = option in there.made_with or option == f"--model {there.source}"
            if not is_so:
                yield option

    def endpoint(self, environ: Mapping[str, str]) -> Endpoint:
        """Return whom to ask.

        Raises:
            ConfigurationError: If a key is wanted and there is none.
        """
        # OpenAI's key goes to OpenAI only: another address gets the key that was named for it, or none.
        names = (self.key_env,) if self.key_env else () if self.base_url else _OPENAI_KEYS
        key = next((environ[name] for name in names if environ.get(name)), None)
        if key is None and names:
            raise ConfigurationError(
                f"no key in {' or '.join(names)}; set it there, or give --base-url of a server without"
            )
        return Endpoint(self.base_url, self.model, key, self.api)

    def draft(self, source: SourceText, folder: Path) -> Draft:
        """Return where the sections of a list that is being made are kept."""
        return Draft(folder, [source.sha256, self.base_url or "", self.model or "", *self.given])


@dataclass(frozen=True, slots=True)
class Made:
    """A list of ideas that was made.

    Attributes:
        manifest: The list; another program's, where that one was first.
        kept: Where the list is that stood in its place before; None where there was none.
        is_written: Whether it is in its file.
    """

    manifest: Manifest
    kept: Path | None = None
    is_written: bool = True


def foresee_ideas(source: SourceText, folder: Path, asked: Asked, environ: Mapping[str, str]) -> Made:
    """Make a story's list of ideas without writing over the one that is there.

    What a language model gives is kept aside, so that `new_ideas` has the same without asking again.
    """
    return Made(_collect(source, asked, environ, asked.draft(source, folder)), is_written=False)


def new_ideas(source: SourceText, folder: Path, asked: Asked, environ: Mapping[str, str]) -> Made:
    """Make a story's list of ideas, and write it; what a language model gave before it failed is used again.

    Args:
        source: The text.
        folder: The story's folder.
        asked: Whom to ask, and for what.
        environ: Where keys are.

    Returns:
        The list that is in force now, and where the one before is.

    Raises:
        ConfigurationError: If what is asked for does not go together, or a key is missing.
        TransportError: If a language model cannot be reached.
        ServerError: If it refuses, or gives no ideas.
    """
    draft = asked.draft(source, folder)
    made = _collect(source, asked, environ, draft).model_copy(update={"made_with": asked.given})
    # A list that somebody has worked on is not made again.
    kept = keep_manifest(folder) if asked.anew else None
    written = write_manifest(folder, made, replace=asked.anew)
    draft.drop()
    return Made(written, kept)


def _collect(source: SourceText, asked: Asked, environ: Mapping[str, str], draft: Draft) -> Manifest:
    if not asked.wants_model:
        if asked.words_by_model:
            raise ConfigurationError("--words-by-model needs --base-url or --model")
        settings = IdeaSettings(asked.count, asked.style)
        if asked.extracts:
            return collect_extracts(source, None, settings)
        return collect_ideas(source, ExtractIdeas(), settings)
    with EndpointIdeas(asked.endpoint(environ), sentences(source.text)) as model:
        settings = IdeaSettings(asked.count, asked.style, model if asked.words_by_model else None)
        if asked.extracts:
            return collect_extracts(source, model, settings, draft)
        return collect_ideas(source, model, settings, draft)
