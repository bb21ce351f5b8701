"""Configurations as people write them: a TOML, YAML or JSON file becomes plain values, or a message."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from sdclient.errors import ConfigurationError
from sdclient.schemas.jsontext import parse_json_object

MAX_CONFIG_BYTES = 1_000_000
_QUOTED_BACKSLASH = re.compile(r'"[^"\n]*\\[^"\n]*"')


def read_config(path: Path, blocks: str) -> Mapping[str, object]:
    """Read a configuration; its suffix tells the format.

    Args:
        path: A ``.toml``, ``.yaml``, ``.yml`` or ``.json`` file.
        blocks: What it has to hold, in words.

    Raises:
        ConfigurationError: If it cannot be read, or is not in that format.
    """
    parsers = {".toml": parse_toml, ".yaml": _parse_yaml, ".yml": _parse_yaml, ".json": parse_json_object}
    parse = parsers.get(path.suffix.lower())
    if parse is None:
        raise ConfigurationError(f"{path}: not a configuration; give a .toml, .yaml or .json file")
    values = parse(_read(path), str(path))
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path}: the whole must hold {blocks}")
    return cast("dict[str, object]", values)


def parse_toml(text: str, where: str) -> dict[str, object]:
    """Parse TOML text.

    Args:
        text: The TOML text.
        where: What to call the source in an error, such as a file name.

    Raises:
        ConfigurationError: If it is no TOML.
    """
    # Python 3.10 has no parser of its own; the package tomli is the same one.
    parser = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        return cast("dict[str, object]", parser.loads(text))
    except (ValueError, RecursionError) as exc:
        raise ConfigurationError(f"{where}: not TOML: {exc}{_hint(text)}") from None


def _parse_yaml(text: str, where: str) -> object:
    import yaml

    from sdclient.schemas.yamltext import parse_yaml

    try:
        return parse_yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise ConfigurationError(f"{where}: not YAML: {' '.join(str(exc).split())}{_hint(text)}") from None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CONFIG_BYTES + 1)
        if len(data) > MAX_CONFIG_BYTES:
            raise ConfigurationError(f"{path}: larger than {MAX_CONFIG_BYTES} bytes; this is no configuration")
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{path}: cannot be read ({exc}); give a text file in UTF-8") from exc


def _hint(text: str) -> str:
    if _QUOTED_BACKSLASH.search(text) is None:
        return ""
    return "; put text with backslashes into single quotes, such as 'Season\\d+' or 'C:\\keys'"
