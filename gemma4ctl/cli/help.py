"""Help texts: options under the heading of their panel, without rich, which is slow to import."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

OTHER = "Options"


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
