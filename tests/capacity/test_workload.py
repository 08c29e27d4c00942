"""Loads: how they are written, and what a request of them holds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4ctl.capacity.workload import (
    LARGEST_NUMBER,
    Hold,
    Keeping,
    Share,
    Workload,
    cut_prompts,
    hold,
    parse_mix,
    uniform,
)
from gemma4ctl.errors import UsageError

TOKENS = st.integers(1, LARGEST_NUMBER)
KEEPING = Keeping(1_024, 1_024)


@pytest.mark.parametrize(
    ("text", "mix"),
    [
        ("32k", [(32_768, 1)]),
        ("32768", [(32_768, 1)]),
        ("1k:9,32k:1", [(1_024, 0.9), (32_768, 0.1)]),
        (" 1K : 3 , 2k ", [(1_024, 0.75), (2_048, 0.25)]),
        ("512:0.5", [(512, 1)]),
        ("32k+512", [(33_280, 1)]),
        ("1k+256:9, 32k + 1k :1", [(1_280, 0.9), (33_792, 0.1)]),
    ],
)
def test_parse(text: str, mix: list[tuple[int, float]]) -> None:
    found = parse_mix(text, concurrency=4)
    assert found.concurrency == 4
    assert [share.tokens for share in found.mix] == [tokens for tokens, _ in mix]
    assert [share.share for share in found.mix] == pytest.approx([share for _, share in mix])


@pytest.mark.parametrize(
    "text",
    [
        "", ",", "k", "0", "-1", "1k:0", "1k:-1", "1k:1:1", "1k:nan", "1k:inf", "nan", "1.5k",
        "1k,,2k", "1k:x", "1k+", "+1k", "1k+0", "1k+1+1", "1k+-1",
        "9" * 5_000, "2000000000", "1k:2e9", "1k;2k",
    ],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_mix(text)
    assert raised.value.needed and raised.value.found == text
    assert raised.value.code == "bad-value"


@given(st.text(max_size=40) | st.text("0123456789k:,. eE+-naif", max_size=40))
def test_any_text_is_a_load_or_refused(text: str) -> None:
    try:
        found = parse_mix(text)
    except UsageError:
        return
    assert found.mix and math.isclose(sum(part.share for part in found.mix), 1)
    assert all(1 <= part.tokens <= LARGEST_NUMBER and 0 <= part.share <= 1 for part in found.mix)
    assert found.longest >= 1 and found.text().endswith("tokens")
    needs = hold(found, KEEPING, chunk=8192)
    assert math.isfinite(needs.full) and 0 < needs.sliding <= needs.full


def test_a_length_reads_back() -> None:
    for text in ("32768", "1024+256", "1:3,2+1:1"):
        mix = parse_mix(text).mix
        again = parse_mix(",".join(f"{part.argument()}:{part.share}" for part in mix)).mix
        assert again == mix


def test_in_words() -> None:
    assert parse_mix("1k+256:9,32k+512:1").lengths() == "90% 1,024+256 + 10% 32,768+512 tokens"
    assert uniform(32_768).text() == "32,768 tokens"
    assert uniform(32_768, 16).text() == "32,768 tokens, 16 at once"
    mix = parse_mix("1k:9,32k:1", 20)
    assert mix.lengths() == "90% 1,024 + 10% 32,768 tokens"
    assert mix.text() == "90% 1,024 + 10% 32,768 tokens, 20 at once"
    assert mix.longest == 32_768


def test_what_requests_hold() -> None:
    assert hold(uniform(32_768), KEEPING, chunk=4_096) == Hold(32_768, 2_048 + 128 + 1, 8_192)
    assert hold(uniform(600), KEEPING, chunk=4_096) == Hold(600, 600, 600)
    for unchunked in (0, -1):
        assert hold(uniform(32_768), KEEPING, chunk=unchunked).in_flight == 32_768
    drafting = hold(uniform(32_768), KEEPING._replace(interval=6 * 128), chunk=4_096)
    assert drafting.sliding == 2_048 + 6 * 128 + 1
    paged = hold(uniform(32_768), KEEPING._replace(page=64), chunk=4_096)
    assert paged == Hold(32_768 + 63, 2_048 + 128 + 64, 8_192)
    mixed = hold(Workload((Share(1_000, 0.9), Share(32_000, 0.1))), KEEPING, chunk=4_096)
    assert mixed.full == pytest.approx(0.9 * 1_000 + 0.1 * 32_000)
    assert mixed.sliding == pytest.approx(0.9 * 1_000 + 0.1 * 2_177)


@pytest.mark.parametrize(
    ("prompt", "answer", "kept"),
    [
        (32_768, 512, 1_024 + 512 + 1),  # the locked end of the prompt, and the answer
        (32_768, 4_096, 1_024 + 1_024 + 128 + 1),  # of the answer, what is not evicted yet
        (100, 4_096, 100 + 1_024 + 128 + 1),
        (100, 50, 150),
    ],
)
def test_what_a_request_keeps_of_prompt_and_answer(prompt: int, answer: int, kept: int) -> None:
    part = Share(prompt + answer, 1.0, answer)
    assert KEEPING.tokens(part) == kept
    assert KEEPING.tokens(part) <= KEEPING.tokens(part._replace(answer=None)) <= KEEPING.most


@pytest.mark.parametrize(
    ("window", "chunk", "more"),
    [(1_024, 8_192, 64), (512, 8_192, 16), (1_024, 512, 256), (1_024, 256, 128), (1_024, -1, 0)],
)
def test_what_prompts_keep_that_prefill_cuts(window: int, chunk: int, more: int) -> None:
    """SGLang's own tree (0.5.16, no GPU) keeps 263 tokens with chunks of 512, 128 with 256."""
    assert cut_prompts(window, chunk) == more


def test_without_radix_cache_a_prompt_is_not_locked() -> None:
    keeping = KEEPING._replace(locked=0)
    for answer in (None, 512, 8_192):
        assert keeping.tokens(Share(40_960, 1.0, answer)) == 1_024 + 128 + 1


@given(TOKENS, TOKENS, st.sampled_from([512, 1_024]), st.sampled_from([-1, 2_048, 8_192]))
def test_a_longer_request_holds_no_less(a: int, b: int, window: int, chunk: int) -> None:
    keeping = Keeping(window, window)
    short, long = (hold(uniform(tokens), keeping, chunk=chunk) for tokens in sorted((a, b)))
    assert all(less <= more for less, more in zip(short, long, strict=True))
