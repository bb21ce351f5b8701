"""The strict, frozen base of every request model, and the friendly number and image types it uses.

Strict: unknown keys, ``"20"``, ``True`` for a number, NaN and out-of-range values are refused.
Friendly: lists for tuples, ``30.0`` for ``30``, numpy scalars, paths, bytes and Pillow images are taken.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, TypeVar, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PlainSerializer, ValidationError

from sdclient.errors import SDClientError
from sdclient.images import ImageInput, decode_base64, read_image_input
from sdclient.schemas.problems import payload_error

if TYPE_CHECKING:
    from typing_extensions import Self


_IMAGE_FIELDS = ("init_image", "mask", "image")


def _python_number(value: object) -> object:
    """Turn a numpy scalar into the Python number it stands for; leave the rest alone."""
    item = getattr(value, "item", None)
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 and callable(item):
        return cast("Callable[[], object]", item)()
    return value


# Unverified [integral-floats]: Draw Things may refuse 20.0 for an int; a whole number leaves as one.
def _integral(value: object) -> object:
    value = _python_number(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _tuple(value: object) -> object:
    return tuple(cast("list[object]", value)) if isinstance(value, list) else value


class CheckedImage(bytes):
    """The bytes of an image file that was decoded once and found whole, so that copies need not do it again."""

    __slots__ = ()


def _image_bytes(value: object) -> object:
    if value is None or isinstance(value, CheckedImage):
        return value
    if isinstance(value, str) and value.startswith("data:"):
        value = decode_base64(value)
    # Its errors are ValueErrors, to which pydantic adds the field's name.
    return CheckedImage(read_image_input(cast("ImageInput", value)))


def _data_url(data: bytes | None) -> str | None:
    return None if data is None else "data:;base64," + base64.b64encode(data).decode("ascii")


def with_images(value: JsonValue, change: Callable[[str], str]) -> JsonValue:
    """Return the fields of a request with the path of every image changed.

    Native keys are the server's own, and left alone; so is an image that is there already, as a ``data:`` URL.

    Args:
        value: Fields, and parts of them, as JSON.
        change: Gives what stands for a path.
    """
    if isinstance(value, list):
        return [with_images(item, change) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: change(item)
        if key in _IMAGE_FIELDS and isinstance(item, str) and not item.startswith("data:")
        else item
        if key == "native"
        else with_images(item, change)
        for key, item in value.items()
    }


def image_inside(path: str) -> str:
    """Return the image at a path as a ``data:`` URL; the path itself where it cannot be read, to be told when it is used."""
    try:
        return _data_url(read_image_input(path)) or path
    except SDClientError:
        return path


T = TypeVar("T")
Int = Annotated[int, BeforeValidator(_integral)]
"""An int; ``30.0`` and numpy integers are taken."""
Number = Annotated[float, BeforeValidator(_python_number)]
"""A finite float; ints and numpy numbers are taken."""
Items = Annotated[tuple[T, ...], BeforeValidator(_tuple)]
"""A tuple; lists are taken."""
ImageBytes = Annotated[bytes | None, BeforeValidator(_image_bytes), PlainSerializer(_data_url, when_used="json")]
"""The bytes of an image file; a path, bytes, a Pillow image or an earlier result's image is taken."""

Fraction = Annotated[Number, Field(ge=0, le=1)]
"""A part of the whole, 0 to 1."""
SizePx = Annotated[Int, Field(ge=64, le=8192)]
"""A side of an image in pixels, 64 to 8192."""


class RequestModel(BaseModel):
    """Base of requests and their parts: closed, frozen, uncoerced, finite."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        validate_default=False,
        protected_namespaces=(),
    )

    if not TYPE_CHECKING:

        def __init__(self, **values: object) -> None:
            """Validate ``values``; a problem is our PayloadError, which names the field and a close one."""
            try:
                super().__init__(**values)
            except ValidationError as exc:
                raise payload_error(exc, type(self), type(self).__name__) from None

        # pydantic builds nested models through __init__ when it is overridden, and would then lose the
        # path of a nested problem ("refiner.switch_at"). This mark says that ours only translates.
        __init__.__pydantic_base_init__ = True

    def __repr_args__(self) -> Iterator[tuple[str | None, object]]:
        # Only what was set: a request has forty fields, and most of them say nothing.
        for name, value in super().__repr_args__():
            if name in self.model_fields_set:
                yield name, value

    def replace(self, **changes: object) -> Self:
        """Return a copy with ``changes``, validated as a whole.

        Raises:
            PayloadError: If a field is unknown or a value not allowed.
        """
        return self.from_mapping({**self.to_mapping(), **changes})

    def to_mapping(self) -> dict[str, object]:
        """Return the fields that were set, as Python values (parts stay objects)."""
        return {name: getattr(self, name) for name in self.model_fields_set}

    @classmethod
    def from_mapping(cls, values: Mapping[str, object], *, where: str = "") -> Self:
        """Validate a plain mapping.

        Args:
            values: Field names and values.
            where: What to call the source in an error, such as a file name.

        Raises:
            PayloadError: If a field is unknown or a value not allowed.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as exc:
            raise payload_error(exc, cls, where or cls.__name__) from None
