"""The base of the data models: records made, compared, shown, and read from outside."""

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import ValidationError

from gemma4ctl.hardware.inventory import Health
from gemma4ctl.model import Bounds, Model, faults


class Part(Model):
    """A part."""

    name: str
    share: Annotated[float, Bounds(ge=0, lt=1)] | None = None


class Whole(Model):
    """A whole."""

    kind: Literal["a", "b"] = "a"
    parts: tuple[Part, ...]
    named: dict[str, Part] = {}
    spare: Part = Part(name="spare")
    place: Path | None = None


class Larger(Whole):
    """A whole and more."""

    size: int = 1


ROOT = Path(__file__).parents[1]
PLAIN = {"parts": [{"name": "x", "share": 0.5}], "named": {"y": {"name": "y"}}, "place": "/tmp"}


@pytest.fixture
def whole() -> Whole:
    return Whole(
        parts=(Part(name="x", share=0.5),), named={"y": Part(name="y")}, place=Path("/tmp")
    )


def test_defaults_are_filled_in_and_not_shared() -> None:
    one, other = Whole(parts=()), Whole(parts=())
    assert (one.kind, one.named, one.spare.name) == ("a", {}, "spare")
    one.named["z"] = Part(name="z")
    assert other.named == {} == Whole(parts=()).named


def test_a_model_inherits_fields(whole: Whole) -> None:
    larger = Larger(**dict(whole), size=2)
    assert (larger.size, larger.parts, larger.kind) == (2, whole.parts, "a")
    assert larger != whole
    assert list(Larger.model_fields) == [*Whole.model_fields, "size"]


@pytest.mark.parametrize("values", [{}, {"parts": (), "sparse": 1}])
def test_missing_and_unknown_names_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=r"unknown fields: (parts|sparse)$"):
        Whole(**values)  # type: ignore[arg-type]


def test_a_record_does_not_change(whole: Whole) -> None:
    with pytest.raises(AttributeError, match="kind"):
        whole.kind = "b"  # type: ignore[misc]
    with pytest.raises(AttributeError, match="kind"):
        del whole.kind
    assert whole.kind == "a"


def test_equal_records_are_equal_and_hash_alike() -> None:
    assert Part(name="x") == Part(share=None, name="x") != Part(name="y")
    assert len({Part(name="x"), Part(share=None, name="x"), Part(name="y")}) == 2
    assert Part(name="x") != {"name": "x", "share": None}


def test_another_process_hashes_a_record_anew() -> None:
    health = Health(reasons=("hot",))
    hash(health)
    script = (
        "import pickle, sys\n"
        "health = pickle.load(sys.stdin.buffer)\n"
        "assert hash(health) == hash(type(health)(reasons=('hot',)))\n"
    )
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", script], input=pickle.dumps(health), check=True, cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )  # fmt: skip


def test_a_record_shows_its_fields() -> None:
    assert repr(Part(name="x")) == "Part(name='x', share=None)"


def test_copies_change_what_they_are_told_to(whole: Whole) -> None:
    changed = whole.model_copy(update={"kind": "b"})
    assert (changed.kind, whole.kind) == ("b", "a")
    assert changed.parts is whole.parts
    with pytest.raises(TypeError, match="colour"):
        whole.model_copy(update={"colour": "red"})
    assert copy.deepcopy(whole) == whole == pickle.loads(pickle.dumps(whole))


def test_dumps(whole: Whole) -> None:
    assert whole.model_dump() == {
        "kind": "a",
        "parts": ({"name": "x", "share": 0.5},),
        "named": {"y": {"name": "y", "share": None}},
        "spare": {"name": "spare", "share": None},
        "place": Path("/tmp"),
    }
    assert whole.model_dump(mode="json", exclude_defaults=True) == PLAIN
    assert list(whole.model_dump(exclude={"parts", "place"})) == ["kind", "named", "spare"]
    assert json.loads(whole.model_dump_json()) == whole.model_dump(mode="json")
    assert Whole(parts=()).model_dump(exclude_defaults=True) == {"parts": ()}


def test_data_from_outside_is_validated(whole: Whole) -> None:
    assert Whole.model_validate(PLAIN) == whole
    assert Whole.model_validate_json(json.dumps(PLAIN)) == whole
    assert Whole.model_validate_json(whole.model_dump_json()) == whole
    assert (
        Whole.model_validate({"parts": []}).named is not Whole.model_validate({"parts": []}).named
    )


def test_faults_name_every_field() -> None:
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate({"kind": "c", "parts": [{"share": 1}], "colour": "red"})
    assert faults(caught.value) == [
        "kind: Input should be 'a' or 'b'",
        "parts.0.name: Field required",
        "parts.0.share: Input should be less than 1",
        "colour: unknown field",
    ]
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate("a text")
    assert faults(caught.value) == [
        "document: Input should be a dictionary or an instance of Whole"
    ]


def test_the_schema_has_defaults_bounds_and_descriptions() -> None:
    schema = Whole.model_json_schema()
    part = schema["$defs"]["Part"]
    assert (schema["description"], schema["additionalProperties"]) == ("A whole.", False)
    assert schema["required"] == ["parts"]
    assert schema["properties"]["named"]["default"] == {}
    assert schema["properties"]["spare"]["default"] == {"name": "spare", "share": None}
    share = {"exclusiveMaximum": 1, "minimum": 0, "type": "number"}
    assert part["properties"]["share"]["anyOf"] == [share, {"type": "null"}]


def test_trusted_data_makes_the_same_record(whole: Whole) -> None:
    made = Whole.from_trusted({**PLAIN, "place": Path("/tmp")})
    assert made == whole
    assert (
        Whole.from_trusted({"parts": [{"name": "x", "share": 0}]}).parts[0].share.__class__ is float
    )


def test_no_record_needs_pydantic_until_one_is_validated() -> None:
    code = (
        "import sys; from gemma4ctl.hardware.inventory import Inventory; import copy\n"
        "found = Inventory.from_trusted({'devices': [], 'host': {'packages': {}}})\n"
        "found.model_dump_json(), found.model_copy(update={'links': ()}), hash(found.devices)\n"
        "print('pydantic' in sys.modules, end=' '); Inventory.model_validate({})\n"
        "print('pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
