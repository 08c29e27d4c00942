"""Tool calls and JSON schemas: output that a program reads."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from gemma4ctl.verify.faults import Fault, Skip
from gemma4ctl.verify.reply import Reply, ToolCall
from gemma4ctl.verify.session import Done, Session, counted, question, shortened

MAX_TOKENS = 256


class Weather(BaseModel):
    """Where, and in which unit."""

    model_config = ConfigDict(extra="forbid")
    city: str
    unit: Literal["celsius", "fahrenheit"]


class Time(BaseModel):
    """Where."""

    model_config = ConfigDict(extra="forbid")
    city: str


class City(BaseModel):
    """Facts about a city."""

    model_config = ConfigDict(extra="forbid")
    name: str
    country: str
    population_millions: float
    is_capital: bool


TOOLS: dict[str, tuple[str, type[BaseModel]]] = {
    "get_time": ("Tell the local time in a city.", Time),
    "get_weather": ("Tell the current weather in a city.", Weather),
}
PARIS = "What is the weather in Paris now, in celsius? Use the tool."
PARIS_AND_TOKYO = (
    "What is the weather in Paris and in Tokyo now, in celsius? Call the tool once for each city."
)

# SGLang's parser for Gemma 4 numbers calls by the tool's place in the request.
KNOWN_INDEX = "SGLang is known for it (issue 25073): go by the id, or --skip tools-several"


def tools(session: Session) -> Done:
    """A tool is called, with arguments that its schema takes."""
    _need(session)
    return _called(session, session.client.chat(request(PARIS, "get_weather")))


def tools_stream(session: Session) -> Done:
    """The same, streamed: the parts of the call have index 0."""
    _need(session)
    return _called(session, session.client.stream(request(PARIS, "get_weather")))


def tools_several(session: Session) -> Done:
    """Two calls in one answer have the indices 0 and 1, whichever tools they are of."""
    _need(session)
    try:
        reply = session.client.stream(request(PARIS_AND_TOKYO, "get_time", "get_weather"))
    except Fault as fault:
        if fault.code == "tool-index" and session.facts.release:
            raise Fault(fault.code, f"{fault.message}; {KNOWN_INDEX}", fault.body) from None
        raise
    cities = [_arguments(reply, call)["city"] for call in reply.tool_calls]
    session.judge(
        "tool-calls",
        len(cities) >= 2,
        "tool-missing",
        f"{len(cities)} calls where two are due: {shortened(reply.content)}",
        reply,
    )
    ids = {call.id for call in reply.tool_calls}
    if len(ids) < len(reply.tool_calls):
        raise reply.exchange.fault("tool-index", "two calls have the same id")
    shown = f"calls for {' and '.join(cities)}" if cities else "no call"
    return Done(f"{shown}, {counted(reply)}", {"seconds": reply.seconds})


def json_schema(session: Session) -> Done:
    """An answer is a JSON object of the schema, though the question does not ask for JSON."""
    if session.facts.argument("grammar_backend") == "none":
        raise Skip("the server was started with --grammar-backend none")
    schema = {"name": "city", "schema": City.model_json_schema(), "strict": True}
    form = {"type": "json_schema", "json_schema": schema}
    reply = session.client.chat(
        question("Tell me about Paris, in one sentence.", MAX_TOKENS, response_format=form)
    )
    problem = _misfit(City, reply.content)
    session.judge(
        "schema",
        problem is None,
        "schema-ignored",
        f"the answer does not follow the schema ({problem}): {shortened(reply.content)}",
        reply,
    )
    return Done(f"{shortened(reply.content, 40)}, {counted(reply)}")


def _need(session: Session) -> None:
    session.require_argument("tool_call_parser", "--tool-call-parser")


def request(text: str, *names: str) -> dict[str, Any]:
    """A question with the tools ``names`` of ``TOOLS`` at hand."""
    described = [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": TOOLS[name][0],
                "parameters": TOOLS[name][1].model_json_schema(),
            },
        }
        for name in names
    ]
    return question(text, MAX_TOKENS, tools=described, tool_choice="auto")


def _called(session: Session, reply: Reply) -> Done:
    """What one due call of ``get_weather`` amounts to."""
    names = [call.name for call in reply.tool_calls]
    given = [_arguments(reply, call) for call in reply.tool_calls]
    session.judge(
        "tool-calls",
        names == ["get_weather"],
        "tool-missing",
        f"calls of {', '.join(names) or 'no tool'}; the content is {shortened(reply.content)}",
        reply,
    )
    session.judge(
        "tool-calls",
        reply.finish_reason == "tool_calls",
        "tool-missing",
        f"a tool is called, and the finish reason is {reply.finish_reason}",
        reply,
    )
    shown = f"{names[0]}({given[0]})" if names else "no call"
    return Done(f"{shown}, {counted(reply)}", {"seconds": reply.seconds})


def _arguments(reply: Reply, call: ToolCall) -> dict[str, Any]:
    """The arguments of ``call``, which have to fit the tool.

    Raises:
        Fault: "tool-json", "tool-arguments".
    """
    if call.name not in TOOLS:
        raise reply.exchange.fault("tool-arguments", f"a call of {call.name!r}, which is no tool")
    if not call.id:
        raise reply.exchange.fault("bad-shape", f"the call of {call.name} has no id")
    kind = TOOLS[call.name][1]
    try:
        return kind.model_validate_json(call.arguments).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        code = "tool-json" if first["type"] == "json_invalid" else "tool-arguments"
        raise reply.exchange.fault(
            code,
            f"arguments of {call.name}: {first['msg']}: {shortened(call.arguments)}",
        ) from None


def _misfit(kind: type[BaseModel], text: str) -> str | None:
    try:
        kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
    return None
