"""Story: ideas for the beginning, middle and end of a text, an image of each, and a document with both.

::

    OUT/<text>/ideas.json                               what is drawn: every idea with its prompt; yours to edit
    OUT/<text>/images/<section>-<nn>-<hash>_1.png       the images; the hash is the prompt's
    OUT/<text>/<Title> - Illustrations.docx|.md|.html   the documents

``ideas.json`` says what belongs to the story and in which order; nothing is read out of file names.
"""

from __future__ import annotations

from sdclient.chat import Endpoint
from sdclient.recipes.story.documents import FORMATS, BuiltDocuments, Format, build_documents, require_docx
from sdclient.recipes.story.endpoint import EndpointIdeas
from sdclient.recipes.story.extract import ExtractIdeas
from sdclient.recipes.story.extracts import collect_extracts
from sdclient.recipes.story.ideas import Ideas, IdeaSettings, collect_ideas
from sdclient.recipes.story.manifest import Idea, Manifest, SectionIdeas, read_manifest, write_manifest
from sdclient.recipes.story.plan import PAYLOAD, plan_story
from sdclient.recipes.story.text import SECTIONS, SourceText, read_text

__all__ = [
    "FORMATS",
    "PAYLOAD",
    "SECTIONS",
    "BuiltDocuments",
    "Endpoint",
    "EndpointIdeas",
    "ExtractIdeas",
    "Format",
    "Idea",
    "IdeaSettings",
    "Ideas",
    "Manifest",
    "SectionIdeas",
    "SourceText",
    "build_documents",
    "collect_extracts",
    "collect_ideas",
    "plan_story",
    "read_manifest",
    "read_text",
    "require_docx",
    "write_manifest",
]
