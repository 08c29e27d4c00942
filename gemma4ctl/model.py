"""The base of every data model: immutable, closed, and fast to build."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """An immutable record that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
