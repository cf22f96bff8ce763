"""Any message of the wire, made field by field from its descriptor, so that a new field is tried as well."""

from collections.abc import Mapping
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

AnyMessage = TypeVar("AnyMessage", bound=Message)
Hints = Mapping[str, st.SearchStrategy[Any]]  # for fields of a name, or a full one, and for messages

_LONG = 5000  # over every bound of a text
_MANY = 300  # over the bound of a batch of events
_RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, (1 << 64) - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-1, 1000),
}
_BYTES = st.sampled_from([b"", b"\0", bytes(16), bytes(range(16)), bytes(32), b"\xff" * 33, bytes(_LONG)])
_TEXTS = st.text(max_size=20) | st.sampled_from(["a" * _LONG, "\u202e\0\x1b[31m\n", "\U0010ffff" * 100])


def messages(kind: type[AnyMessage], hints: Hints) -> st.SearchStrategy[AnyMessage]:
    """Messages of a kind."""
    return _of(kind.DESCRIPTOR, hints)


def _of(descriptor: Any, hints: Hints) -> st.SearchStrategy[Any]:
    make = GetMessageClass(descriptor)
    alone = {
        field.name: _field(field, hints) for field in descriptor.fields if field.containing_oneof is None
    }
    fields = st.fixed_dictionaries(alone) | st.fixed_dictionaries({}, optional=alone)
    for group in descriptor.oneofs:
        one = st.one_of(
            [st.fixed_dictionaries({field.name: _single(field, hints)}) for field in group.fields]
        )
        fields = st.builds(lambda some, more: {**some, **more}, fields, one)
    return fields.map(lambda values: make(**values))


def _field(field: FieldDescriptor, hints: Hints) -> st.SearchStrategy[Any]:
    single = _single(field, hints)
    if not field.is_repeated:
        return single
    few = st.lists(single, max_size=4)
    return few | st.builds(lambda some: some * _MANY, st.lists(single, min_size=1, max_size=1))


def _single(field: FieldDescriptor, hints: Hints) -> st.SearchStrategy[Any]:
    """Values of a field, each a single one where it is repeated."""
    if field.message_type is not None:
        name = field.message_type.name
        return hints[name] if name in hints else _of(field.message_type, hints)
    for named in (field.full_name, field.name):
        if named in hints:
            return hints[named]
    if field.enum_type is not None:
        return st.sampled_from([*(value.number for value in field.enum_type.values), -1, 1000])
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return _BYTES if field.type == FieldDescriptor.TYPE_BYTES else _TEXTS
    low, high = _RANGES[field.cpp_type]
    return st.integers(0, 10) | st.sampled_from([low, high, low + 1, high - 1]) | st.integers(low, high)
