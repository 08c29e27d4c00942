"""Whether anything answers at an endpoint, and serves a model: said alike by every command."""

from __future__ import annotations

from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.endpoint.facts import Facts
from gemma4ctl.errors import Gemma4ctlError, ProblemsFoundError


class EndpointUnreachableError(Gemma4ctlError):
    """Nothing answers at the URL."""


def require_answer(endpoint: Endpoint, facts: Facts) -> None:
    """Refuse to go on when not one of the three questions of ``facts`` had any answer.

    Raises:
        EndpointUnreachableError: nothing answers at ``endpoint``.
    """
    if facts.model_ids or facts.model_path or facts.server_args is not None:
        return
    if any("HTTP" in problem or "answer is" in problem for problem in facts.problems):
        return
    raise EndpointUnreachableError(
        f"nothing answers at {endpoint.url}",
        needed="a running OpenAI-compatible server",
        found=_found(facts),
        remedies=["--url URL or GEMMA4CTL_URL names another address", "gemma4ctl serve starts one"],
        code="endpoint-unreachable",
    )


def require_model(endpoint: Endpoint, facts: Facts) -> str:
    """The name of the model that ``endpoint`` serves, the first where there are several.

    Raises:
        EndpointUnreachableError: nothing answers there.
        ProblemsFoundError: it names no model, or wants another API key.
    """
    require_answer(endpoint, facts)
    if facts.model_ids:
        return facts.model_ids[0]
    if any(problem.endswith(("HTTP 401", "HTTP 403")) for problem in facts.problems):
        raise ProblemsFoundError(
            f"{endpoint.url} refuses the API key" if endpoint.api_key else "an API key is missing",
            needed=f"the key of {endpoint.url}, from GEMMA4CTL_API_KEY or --api-key-file FILE",
            found=_found(facts),
            code="key-refused",
        )
    raise ProblemsFoundError(
        f"no model is served at {endpoint.url}",
        needed="an OpenAI-compatible endpoint that serves Gemma 4",
        found=_found(facts) or "an empty list of models",
        remedies=[f"gemma4ctl verify --url {endpoint.url}"],
        code="no-model",
    )


def _found(facts: Facts) -> str:
    """What came instead of answers, each only once."""
    return "; ".join(dict.fromkeys(problem.partition(": ")[2] for problem in facts.problems))
