"""Options that stay text.

typer converts values through pydantic, which takes longer to import than most commands take to
run. What our options hold is read where it is used anyway.
"""

from __future__ import annotations

from functools import partial
from typing import Any


def keep_text(parameters: list[Any]) -> list[Any]:
    """``parameters``, each made to give what the command line holds, through its callback if any.

    To be called on what ``get_params`` of a command returns: --help and others join late.
    """
    for parameter in parameters:
        parameter.process_value = partial(_as_written, parameter)
    return parameters


def _as_written(parameter: Any, ctx: Any, value: Any) -> Any:
    return parameter.callback(ctx, parameter, value) if parameter.callback else value
