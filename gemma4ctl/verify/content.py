"""What is judged by the meaning of an answer, and so says nothing of random weights.

A server started with ``--load-format dummy`` answers with noise. Every other assertion (status,
shape, token counts, framing, limits) holds for it as well. This list is fixed: a check can skip
nothing that is not here.
"""

from __future__ import annotations

CONTENT: dict[str, str] = {
    "answer": "the answer is right, or at least not empty",
    "ends": "the model ends its turn before the token limit",
    "markers": "no control token of the model stands in the content",
    "colours": "images are described by their colours, in order",
    "thoughts": "thoughts come when asked for, apart from the answer, and only then",
    "tool-calls": "the model calls the tool it was given, as often as needed",
    "schema": "the answer follows the JSON schema",
    "own-answer": "each of many concurrent requests gets its own answer",
    "acceptance": "drafted tokens are accepted",
}
