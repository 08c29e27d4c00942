"""Commands and their help texts, without rich, which takes longer to import than all else.

Options stand under the heading of their panel.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand

AFTER_DASHES = {"allow_extra_args": True}  # of a command that takes SGLang's own flags after --
OTHER = "Options"


def command_app(**settings: Any) -> typer.Typer:
    """The ``app`` that each module of commands has: its command, or its group of commands."""
    plain = {"rich_markup_mode": None, "pretty_exceptions_enable": False, "add_completion": False}
    return typer.Typer(**{**plain, **settings})


class Command(TyperCommand):
    """A command whose help groups its options by their ``rich_help_panel``."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, a section a panel, the unnamed panel last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(_panel(parameter), []).append(record)
        for title in sorted(sections, key=lambda title: title == OTHER):
            with formatter.section(title):
                formatter.write_dl(sections[title])


def _panel(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return "Arguments"
    return getattr(parameter, "rich_help_panel", None) or OTHER
