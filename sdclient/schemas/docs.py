"""The sentences under the fields of a model, read from its source when somebody asks for them.

pydantic can do this when a class is made (``use_attribute_docstrings``), which would cost every import.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Mapping
from itertools import pairwise

from pydantic import BaseModel

__all__ = ["field_docs"]


@functools.cache
def field_docs(model: type[BaseModel]) -> Mapping[str, str]:
    """Return what stands under each field of ``model`` and of the models it is built on.

    A field without a sentence is left out.
    """
    docs: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if cls is not BaseModel and issubclass(cls, BaseModel):
            docs |= _own_docs(cls)
    return {name: docs[name] for name in model.model_fields if name in docs}


def _own_docs(cls: type[BaseModel]) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef))
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
