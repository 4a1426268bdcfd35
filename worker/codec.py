"""MessagePack with explicit limits, then a schema: the only way bytes become values in Wander.

`msgpack` bounds what a hostile message may cost, `msgspec` then checks every field against a typed `Struct`.
Extension types and duplicate keys, which MessagePack allows, are refused before the schema sees them.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import msgpack
import msgspec

from worker.errors import WireError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one message may hold, in bytes and elements."""

    message: int = 256 * 1024
    string: int = 16 * 1024
    binary: int = 128 * 1024
    array: int = 1024
    map: int = 64


SMALL = Limits()
"""Controls, credits, replies: everything but pictures and uploads."""

UPLOAD = Limits(message=20 * 1024 * 1024, binary=18 * 1024 * 1024)
"""Requests, which may carry the user's own picture as a file of up to 16 MiB."""


def pack(message: msgspec.Struct) -> bytes:
    """Encode a message. Raises `TypeError` for a value that MessagePack has no form for."""
    packed: bytes = msgpack.Packer(use_bin_type=True).pack(msgspec.to_builtins(message, builtin_types=(bytes,)))
    return packed


def unpack(raw: bytes | memoryview, schema: type[T] | Any, limits: Limits = SMALL) -> T:
    """Decode `raw` as `schema` (a `Struct` or a tagged union of them). Raises `WireError` for anything else."""
    if len(raw) > limits.message:
        raise WireError(f"A message of {len(raw)} bytes arrived where at most {limits.message} are allowed.")
    try:
        value = msgpack.unpackb(
            raw,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=_unique_keys,
            ext_hook=_refuse_extension,
            max_str_len=limits.string,
            max_bin_len=limits.binary,
            max_array_len=limits.array,
            max_map_len=limits.map,
            max_ext_len=0,
        )
        return msgspec.convert(value, schema, builtin_types=(bytes,))
    except (ValueError, RecursionError) as error:
        raise WireError(f"A message does not follow the protocol: {error}") from error


def _unique_keys(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field is given twice")
    return fields


def _refuse_extension(code: int, data: bytes) -> None:
    raise ValueError(f"extension type {code} is not part of the protocol")
