"""The base of every data model: immutable, closed, and cheap.

A model is a standard dataclass with methods that are written once, here: generated ones take a
millisecond a class, and a short command needs fifty classes. pydantic, which takes longer to import
than most commands to run, is loaded when something from outside is validated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field
from functools import cached_property
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    NoReturn,
    Union,
    get_args,
    get_origin,
)

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError
    from typing_extensions import Self, dataclass_transform
else:

    def dataclass_transform(**_):
        """A note for type checkers; typing has it from Python 3.11."""
        return lambda cls: cls


_PLAIN = (str, int, float, bool, type(None))


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Model:
    """An immutable record that refuses unknown fields.

    A subclass lists its fields as ``name: type = default``. Values given to the constructor are
    not validated, as the type checker has seen them; data from outside goes through
    ``model_validate``.
    """

    model_fields: ClassVar[Mapping[str, Field[Any]]]
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid"}
    _defaults: ClassVar[Mapping[str, Any]]
    _factories: ClassVar[Mapping[str, Callable[[], Any]]]  # of the defaults that can change

    def __init_subclass__(cls) -> None:
        for name, value in tuple(vars(cls).items()):
            if isinstance(value, dict) and name in cls.__annotations__:
                setattr(cls, name, field(default_factory=value.copy))
        dataclass(init=False, repr=False, eq=False, kw_only=True)(cls)
        cls.model_fields = cls.__dataclass_fields__  # type: ignore[attr-defined]
        fields = cls.model_fields.values()
        cls._defaults = {f.name: f.default for f in fields if f.default is not MISSING}
        cls._factories = {
            f.name: f.default_factory for f in fields if f.default_factory is not MISSING
        }

    def __init__(self, **values: Any) -> None:
        """Make a record.

        Raises:
            TypeError: a field is missing or unknown.
        """
        made = self.__dict__
        made.update(self._defaults)
        made.update(values)
        for name, factory in self._factories.items():
            if name not in values:
                made[name] = factory()
        if made.keys() != self.model_fields.keys():
            wrong = ", ".join(sorted(made.keys() ^ self.model_fields.keys()))
            raise TypeError(f"{type(self).__name__}: missing or unknown fields: {wrong}")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Each field's name and value."""
        return zip(self.model_fields, self._values(), strict=True)

    def _values(self) -> tuple[Any, ...]:
        return tuple(map(self.__dict__.__getitem__, self.model_fields))

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if type(other) is type(self) else NotImplemented

    @cached_property
    def _hash(self) -> int:
        return hash(self._values())

    def __hash__(self) -> int:
        return self._hash

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what was computed of them, the hash above all, is another process's."""
        return dict(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self)})"

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """This record with the fields in ``update`` changed."""
        return type(self)(**{**dict(self), **update})

    # --- to plain data

    def model_dump(
        self,
        *,
        mode: Literal["python", "json"] = "python",
        exclude: Collection[str] = (),
        exclude_defaults: bool = False,
    ) -> dict[str, Any]:
        """The record as plain data, the records in it too.

        Args:
            mode: "json" makes lists of tuples, and text of what JSON does not have.
            exclude: fields of this record to leave out.
            exclude_defaults: leave out what has its default, in all records.
        """
        shown = iter(self)
        if exclude or exclude_defaults:
            shown = (
                (name, value)
                for name, value in self
                if name not in exclude and not (exclude_defaults and self._is_default(name, value))
            )
        return {
            name: value if type(value) in _PLAIN else _plain(value, mode, exclude_defaults)
            for name, value in shown
        }

    def _is_default(self, name: str, value: object) -> bool:
        if name in self._factories:
            return bool(self._factories[name]() == value)
        return name in self._defaults and bool(self._defaults[name] == value)

    def model_dump_json(self) -> str:
        """The record as JSON."""
        import json

        return json.dumps(self.model_dump(mode="json"), separators=(",", ":"), ensure_ascii=False)

    # --- from plain data

    @classmethod
    def from_trusted(cls, data: Mapping[str, Any]) -> Self:
        """The record of plain data that the package ships, which its tests have validated."""
        values = dict(data)
        for name, read in _readers(cls).items():
            if name in values:
                values[name] = read(values[name])
        return cls(**values)

    @classmethod
    def model_validate(cls, data: object) -> Self:
        """The record of data from outside.

        Raises:
            pydantic.ValidationError: something in it is missing, unknown or of the wrong type.
        """
        record: Self = _adapter(cls).validate_python(data)
        return record

    @classmethod
    def model_validate_json(cls, text: str) -> Self:
        """The record of JSON from outside; raises as ``model_validate`` does."""
        record: Self = _adapter(cls).validate_json(text)
        return record

    @classmethod
    def model_json_schema(
        cls, *, mode: Literal["validation", "serialization"] = "validation"
    ) -> dict[str, Any]:
        """The JSON schema of what ``model_validate`` takes or ``model_dump`` gives."""
        from inspect import cleandoc

        from pydantic.json_schema import GenerateJsonSchema

        class Whole(GenerateJsonSchema):
            """Shows empty mappings as the defaults they are, and what each record is."""

            def get_default_value(self, schema: Any) -> Any:
                factory = schema.get("default_factory")
                return factory() if factory else super().get_default_value(schema)

            def dataclass_schema(self, schema: Any) -> dict[str, Any]:
                description = cleandoc(schema["cls"].__doc__)  # older pydantic leaves it out
                return super().dataclass_schema(schema) | {"description": description}

        return _adapter(cls).json_schema(mode=mode, schema_generator=Whole)


def faults(error: ValidationError) -> list[str]:
    """What keeps data from being a record: ``devices.0.name: Field required``, ..."""
    return [
        f"{'.'.join(map(str, fault['loc'])) or 'document'}: "
        f"{'unknown field' if fault['type'] == 'unexpected_keyword_argument' else fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False)
    ]


class Bounds:
    """The limits of a number, for ``Annotated[float, Bounds(gt=0, lt=1)]``: gt, ge, lt, le.

    pydantic asks for them when it validates (the protocol of grouped metadata of annotated_types,
    a package that takes too long to import here).
    """

    __is_annotated_types_grouped_metadata__ = True

    def __init__(self, **limits: float) -> None:
        self.limits = limits

    def __iter__(self) -> Iterator[Any]:
        from annotated_types import Interval

        return iter(Interval(**self.limits))


Positive = Annotated[int, Bounds(ge=1)]


def _plain(value: Any, mode: Literal["python", "json"], exclude_defaults: bool) -> Any:
    """``value`` as :meth:`Model.model_dump` shows it."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Model):
        return value.model_dump(mode=mode, exclude_defaults=exclude_defaults)
    if isinstance(value, (tuple, list)):
        items = [_plain(one, mode, exclude_defaults) for one in value]
        return items if mode == "json" or isinstance(value, list) else tuple(items)
    if isinstance(value, Mapping):
        return {key: _plain(one, mode, exclude_defaults) for key, one in value.items()}
    return str(value) if mode == "json" else value


def _readers(model: type[Model]) -> Mapping[str, _Reader]:
    """For each field of ``model`` that plain data is no value of: what makes one of it."""
    if model not in _READERS:
        found = {name: _reader(one.type) for name, one in model.model_fields.items()}
        _READERS[model] = {name: read for name, read in found.items() if read}
    return _READERS[model]


def _reader(kind: Any) -> _Reader | None:
    """What makes a value of type ``kind`` of plain data; None where plain data is one already.

    A union must be of one type and None, an annotation not postponed.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is None and issubclass(kind, Model):
        made: _Reader = kind.from_trusted
        return made
    if origin not in (Annotated, Union, UnionType, dict, tuple):
        return float if kind is float else None
    each = _reader(arguments[1 if origin is dict else 0])
    if origin is tuple:
        return (lambda values: tuple(map(each, values))) if each else tuple
    if each is None:
        return None
    if origin is dict:
        return lambda values: {key: each(value) for key, value in values.items()}
    return lambda value: None if value is None else each(value)


def _adapter(model: type[Any]) -> TypeAdapter[Any]:
    """pydantic's view of ``model``, made once."""
    if model not in _ADAPTERS:
        from pydantic import TypeAdapter

        _ADAPTERS[model] = TypeAdapter(model)
    return _ADAPTERS[model]


_Reader = Callable[[Any], Any]
_READERS: dict[type[Model], Mapping[str, _Reader]] = {}
_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}
