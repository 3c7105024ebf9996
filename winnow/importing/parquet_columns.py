"""The columns of a Parquet file: which one is what, and its cells as plain values. Runs in the reader's process."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.compute as pc  # type: ignore[import-untyped]
from pyarrow import types

from winnow.errors import Invalid
from winnow.importing.table import KNOWN_COLUMNS
from winnow.intake import CONTENT_OF_TASK

_KNOWN = KNOWN_COLUMNS | {"image": ("image", "img"), "labels": ("labels",)}
_NAMED = 50  # so many columns are named in a message


class Unreadable(str):
    """In place of a cell's value: the reason why it has none."""

    __slots__ = ()


@dataclass(frozen=True)
class Options:
    """What the file is read for; as `winnow.importing.rows.Wanted`, but plain JSON."""

    task: str
    mapping: Mapping[str, str]
    use_labels: bool
    most_bytes: int


Cells = list[Any]
Convert = Callable[[Any], Cells]


class Columns:
    """Which column is what: by the mapping, else by name and type. Other columns of single values go to meta.

    ``fields`` gives the column of each field; ``paths`` names what must be read, of a struct with an image only the
    bytes.

    Raises:
        Invalid: a column is missing, is there twice, or cannot hold what it should.
    """

    def __init__(self, schema: Any, options: Options) -> None:
        self._names: list[str] = list(schema.names)
        doubled = sorted({name for name in self._names if self._names.count(name) > 1})
        if doubled:
            raise Invalid(f"Two columns are named {doubled[0][:100]!r}. Give every column a name of its own.")
        self._classes = class_names(schema.metadata or {})
        self.paths: list[str] = []
        self._convert: dict[str, tuple[str, Convert]] = {}
        self.fields = self._assign(options, schema)
        for field, column in self.fields.items():
            if field in ("label", "labels") and not options.use_labels:
                continue
            kind = _value_type(schema.field(column).type)
            self._convert[field] = (column, self._converter(field, column, kind))
            self.paths.append(f"{column}.bytes" if field == "image" and types.is_struct(kind) else column)
        taken = set(self.fields.values())
        self._others = [name for name in self._names if name not in taken and _is_single(schema.field(name).type)]
        self.paths.extend(self._others)

    def _assign(self, options: Options, schema: Any) -> dict[str, str]:
        fields: dict[str, str] = {}
        for field, column in options.mapping.items():
            if column not in self._names:
                raise Invalid(f"mapping: there is no column {column[:100]!r}; the columns are {self._listed()}.")
            fields[field] = column
        content = CONTENT_OF_TASK[options.task]
        lowered = {name.strip().lower(): name for name in reversed(self._names)}
        for field, known in _KNOWN.items():
            if field in fields or (field in CONTENT_OF_TASK.values() and field != content):
                continue
            free = (lowered[name] for name in known if name in lowered and lowered[name] not in fields.values())
            # Beside the item itself, a name alone says little: an id may be a UUID, a target a list of numbers.
            found = next((name for name in free if field == content or fits(field, schema.field(name).type)), None)
            if found is not None:
                fields[field] = found
        if content not in fields:
            if len(self._names) != 1:
                raise Invalid(
                    f"No column is named {content}; the columns are {self._listed()}. "
                    f'Say which one it is with mapping {{"{content}": "COLUMN"}}.'
                )
            fields = {content: self._names[0]}
        return fields

    def _listed(self) -> str:
        return ", ".join(repr(name[:100]) for name in self._names[:_NAMED]) or "none"

    def _converter(self, field: str, column: str, kind: Any) -> Convert:
        _, convert, what = _FIELDS[field]
        if not fits(field, kind):
            raise Invalid(f"The column {column[:100]!r} holds {str(kind)[:100]}; as {field} it must hold {what}.")
        names = self._classes.get(column)
        if names is None or field not in ("label", "labels"):
            return convert
        if field == "label":
            return lambda array: [_named(value, names) for value in convert(array)]
        return lambda array: [_all_named(values, names) for values in convert(array)]

    def rows(self, batch: Any) -> Iterator[dict[str, Any] | Unreadable]:
        """The rows of a batch, or why one cannot be read."""
        cells = {field: convert(_decoded(batch, column)) for field, (column, convert) in self._convert.items()}
        others = {name: _singles(_decoded(batch, name)) for name in self._others}
        for place in range(batch.num_rows):
            row: dict[str, Any] = {}
            wrong: Unreadable | None = None
            for field, values in cells.items():
                value = values[place]
                if isinstance(value, Unreadable):
                    wrong = Unreadable(f"{field}: {value}")
                elif value is not None:
                    row[field] = value
            more = {name: value for name, values in others.items() if _says_something(value := values[place])}
            if more and isinstance(row.get("meta", {}), dict):
                row["meta"] = more | row.get("meta", {})
            yield row if wrong is None else wrong


def fits(field: str, kind: Any) -> bool:
    """Whether a column of the type ``kind`` can be the ``field``."""
    kind = _value_type(kind)
    return bool(types.is_null(kind)) or _FIELDS[field][0](kind)


def class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """The names of the classes that whole numbers in a column stand for, where a Hugging Face data set says them."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"].items()
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}
    found = {}
    for column, feature in features:
        inner = feature.get("feature", feature) if isinstance(feature, dict) else None
        names = inner.get("names") if isinstance(inner, dict) and inner.get("_type") == "ClassLabel" else None
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            found[column] = names
    return found


def _named(value: Any, names: Sequence[str]) -> Any:
    if not isinstance(value, int) or isinstance(value, bool) or value == -1:
        return None if value == -1 else value
    return names[value] if 0 <= value < len(names) else Unreadable(f"{value}, but the file names {len(names)} classes.")


def _all_named(values: Any, names: Sequence[str]) -> Any:
    return _readable([_named(value, names) for value in values]) if isinstance(values, list) else values


def _readable(values: Cells) -> Any:
    """The values of one cell, or the reason why one of them has none."""
    return next((value for value in values if isinstance(value, Unreadable)), values)


def _value_type(kind: Any) -> Any:
    return kind.value_type if types.is_dictionary(kind) else kind


def _decoded(batch: Any, column: str) -> Any:
    array = batch.column(batch.schema.get_field_index(column))
    return array.dictionary_decode() if types.is_dictionary(array.type) else array


def _is_text(kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_bytes(kind: Any) -> bool:
    plain = types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)
    return bool(plain or types.is_fixed_size_binary(kind))


def _is_text_or_bytes(kind: Any) -> bool:
    return _is_text(kind) or _is_bytes(kind)


def _is_number(kind: Any) -> bool:
    return bool(types.is_integer(kind) or types.is_floating(kind))


def _is_key(kind: Any) -> bool:
    return _is_text(kind) or _is_number(kind)


def _is_list(kind: Any) -> bool:
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_image(kind: Any) -> bool:
    if types.is_struct(kind):
        place = kind.get_field_index("bytes")
        return place >= 0 and _is_bytes(kind.field(place).type)
    return _is_text_or_bytes(kind)


def _is_features(kind: Any) -> bool:
    return _is_list(kind) and _is_number(kind.value_type)


def _is_name(kind: Any) -> bool:
    return _is_key(kind) or bool(types.is_boolean(kind))


def _is_names(kind: Any) -> bool:
    return _is_list(kind) and (_is_name(_value_type(kind.value_type)) or bool(types.is_null(kind.value_type)))


def _is_meta(kind: Any) -> bool:
    return _is_text(kind) or bool(types.is_struct(kind)) or bool(types.is_map(kind) and _is_text(kind.key_type))


def _is_single(kind: Any) -> bool:
    kind = _value_type(kind)
    return _is_name(kind) or bool(types.is_date(kind) or types.is_timestamp(kind) or types.is_decimal(kind))


def _values(array: Any) -> Cells:
    """Plain values; a string that is none becomes `Unreadable`."""
    try:
        return list(array.to_pylist())
    except UnicodeDecodeError:
        return [_value(cell) for cell in array]


def _value(cell: Any) -> Any:
    try:
        return cell.as_py()
    except UnicodeDecodeError:
        return Unreadable("this is not valid UTF-8.")


def _texts(array: Any) -> Cells:
    if not _is_bytes(array.type):
        return _values(array)
    found: Cells = []
    for value in array.to_pylist():
        try:
            found.append(value if value is None else value.decode())
        except UnicodeDecodeError:
            found.append(Unreadable("this is not valid UTF-8."))
    return found


def _images(array: Any) -> Cells:
    return _values(pc.struct_field(array, "bytes") if types.is_struct(array.type) else array)


def _features(array: Any) -> Cells:
    """Little-endian float32 vectors. What is missing in one becomes NaN, which an item may not have."""
    found: Cells = []
    for cell in array:
        if not cell.is_valid:
            found.append(None)
            continue
        with np.errstate(over="ignore", invalid="ignore"):
            found.append(cell.values.to_numpy(zero_copy_only=False).astype("<f4").tobytes())
    return found


def _names(array: Any) -> Cells:
    """Strings and whole numbers; a column of whole numbers with gaps comes as floats, True and False as their names."""
    return [_name(value) for value in _values(array)]


def _name_lists(array: Any) -> Cells:
    return [_readable(list(map(_name, cell))) if isinstance(cell, list) else cell for cell in _values(array)]


def _name(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value)
    if not isinstance(value, float):
        return value
    if value != value:
        return None
    return int(value) if value.is_integer() else Unreadable(f"{value} is neither a name nor a whole number.")


def _metas(array: Any) -> Cells:
    if _is_text(array.type):
        return [value if value is None or isinstance(value, Unreadable) else _parsed(value) for value in _values(array)]
    found: Cells = []
    for cell in array:
        try:
            found.append(_plain(cell.as_py(maps_as_pydicts="strict")))
        except (ValueError, TypeError, OverflowError, KeyError, RecursionError, pa.ArrowException):
            found.append(Unreadable("it holds what JSON cannot, or a key twice."))
    return found


def _parsed(value: str) -> Any:
    if not value.strip():
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return Unreadable('it must be JSON, like {"source": "mail"}.')


def _plain(value: Any) -> Any:
    """What JSON can hold: moments and decimals as text; bytes are refused with a TypeError."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, bytes):
        raise TypeError("bytes")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _singles(array: Any) -> Cells:
    if _is_name(array.type):
        return _values(array)
    try:
        return _values(array.cast(pa.string()))
    except pa.ArrowInvalid:
        if not types.is_timestamp(array.type):
            raise
        return _values(array.cast(pa.timestamp(array.type.unit, "UTC")).cast(pa.string()))  # its zone is not known here


def _says_something(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)  # JSON has no other numbers
    return value is not None and value != "" and not isinstance(value, Unreadable)


_FIELDS: dict[str, tuple[Callable[[Any], bool], Convert, str]] = {
    "text": (_is_text_or_bytes, _texts, "strings"),
    "image": (_is_image, _images, "the bytes of image files, base64, or a struct with bytes"),
    "features": (_is_features, _features, "lists of numbers"),
    "label": (_is_name, _names, "strings or whole numbers"),
    "labels": (_is_names, _name_lists, "lists of strings"),
    "key": (_is_key, _names, "strings or whole numbers"),
    "split": (_is_text, _values, "strings"),
    "meta": (_is_meta, _metas, "structs, maps or JSON"),
}
