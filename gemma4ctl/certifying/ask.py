"""Ask a server everything that is compared."""

from __future__ import annotations

from collections.abc import Sequence

from gemma4ctl.certifying import collect, images
from gemma4ctl.certifying.compare import Answers, Sample
from gemma4ctl.certifying.prompts import CROWD, crowd
from gemma4ctl.endpoint.address import Endpoint

AT_ONCE = 8  # requests of ``together``
FEWER = 48  # requests at once of ``crowd_again``
CROWD_GIVEN = 4  # tokens of a crowd's prompts: all are computed in one prefill


def ask(endpoint: Endpoint, prompts: Sequence[Sequence[int]], *, about_images: bool) -> Answers:
    """The answers to ``prompts``, to questions about images if wanted, and to a crowd.

    Raises:
        ServerFailedError: a request was not answered.
    """

    def answers(at_once: int) -> list[Sample]:
        found = collect.collect(endpoint, prompts, at_once)
        return found + images.collect(endpoint, at_once) if about_images else found

    return Answers(
        alone=tuple(answers(1)),
        together=tuple(answers(AT_ONCE)),
        crowd=tuple(collect.collect(endpoint, crowd(), CROWD, CROWD_GIVEN)),
        crowd_again=tuple(collect.collect(endpoint, crowd(), FEWER, CROWD_GIVEN)),
    )
