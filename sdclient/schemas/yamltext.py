"""YAML from a person's hand: plain values only, and no key twice."""

from __future__ import annotations

from collections.abc import Hashable
from typing import cast

import yaml


class _Loader(yaml.SafeLoader):
    """Builds plain values, and refuses a repeated key instead of keeping the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:  # noqa: FBT001, FBT002 - the base class's signature
        """Build a mapping, every key once."""
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise ValueError(f"line {key.start_mark.line + 1}: the key {name[:60]!r} is there twice; keep one")
            seen.add(name)
        return cast("dict[Hashable, object]", super().construct_mapping(node, deep=deep))


def parse_yaml(text: str) -> object:
    """Parse YAML text into plain values.

    Raises:
        yaml.YAMLError: If it is no YAML, or asks for anything but plain values.
        ValueError: If a key is there twice.
    """
    # A loader of our own, made from the safe one.
    return cast("object", yaml.load(text, Loader=_Loader))  # noqa: S506 - it derives from SafeLoader
