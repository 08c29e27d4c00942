"""What docs/kernels.md says was measured is what the records hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import pytest

from gemma4ctl.capacity import stages
from gemma4ctl.profiles.load import load
from gemma4ctl.sglang_model import support

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "benchmarks" / "results" / "kernels"
PAGE = " ".join((ROOT / "docs" / "kernels.md").read_text(encoding="utf-8").split())
PLAIN = PAGE.replace("**", "")
VARIANTS = ("E2B", "E4B", "26B-A4B", "12B", "31B")


def record(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return document


@pytest.mark.parametrize("tokens", [64, 610, 2048])
def test_time_to_the_first_token(tokens: int) -> None:
    found = record(f"E2B-H200-ttft-p{tokens}.json")
    eager = found["other_fused"]["fused-eager"]["fused-eager"]
    times = " | ".join(f"{value:.1f}" for value in (found["stock"], eager, found["fused"]))
    assert f"| {tokens:,} | {times} | **{found['ratio']:.2f}** |" in PAGE
    assert len(found["pairs"]) == 3


@pytest.mark.parametrize(
    ("measure", "text"),
    [
        ("p64", "E4B {E4B:.2f}, 26B-A4B {26B-A4B:.2f}, 12B {12B:.2f} and 31B {31B:.2f} times"),
        (
            "padded",
            "come {E2B:.2f} (E2B), {E4B:.2f} (E4B), {26B-A4B:.2f} (26B-A4B), {12B:.2f} (12B) and "
            "{31B:.2f} times (31B)",
        ),
        (
            "c1",
            "E2B {E2B:.2f}, E4B {E4B:.2f} and 26B-A4B {26B-A4B:.2f} with [CUDA graphs]"
            "(#prefill-from-cuda-graphs), 12B {12B:.2f} and 31B {31B:.2f} without",
        ),
        (
            "c100",
            "100 requests at once, on average: {E2B:.2f}, {E4B:.2f}, {26B-A4B:.2f}, {12B:.2f} and "
            "{31B:.2f}.",
        ),
    ],
)
def test_time_to_the_first_token_of_all(measure: str, text: str) -> None:
    found = measured(f"ttft-{measure}")
    assert all(len(row["pairs"]) == 3 and row["reached"] for row in found)
    assert text.format(**{row["variant"]: row["ratio"] for row in found}) in PLAIN


def test_medians_of_first_tokens_at_once() -> None:
    found = {row["variant"]: row["ttft_ms.median"] for row in measured("ttft-c100")}
    *first, last = (f"{found[name]['ratio']:.2f}" for name in VARIANTS)
    assert f"Their medians are {', '.join(first)} and {last}:" in PLAIN
    assert [name for name in VARIANTS if found[name]["ratio"] < 0.97] == ["26B-A4B"]
    ratios = [pair["ratio"] for pair in found["26B-A4B"]["pairs"]]
    assert f"26B-A4B's varies ({min(ratios):.2f} to {max(ratios):.2f})" in PLAIN


def test_tuned_stock() -> None:
    tuned = {row["variant"]: row["tuned_stock"] for row in measured("tpot-c1")}
    for variant, kinds in tuned.items():
        for row in kinds.values():
            assert f"{row['ratio']:.2f} ({variant})" in PLAIN or (
                f"{row['ratio']:.2f} times ({variant})" in PLAIN
            )
            assert len(row["pairs"]) == 3


def test_certification() -> None:
    found = record("certify-E2B-H200.json")
    stock, fused = (1e3 * found["receipt"][f"{kind}_seconds"] for kind in ("stock", "fused"))
    assert f"{found['seconds']:.0f} s: {stock:.2f} ms a token" in PAGE
    assert f"with stock and {fused:.2f} with fused" in PAGE
    assert found["exit_status"] == 0
    assert (found["plan_before"], found["plan_after"]["kernels"]) == ({"kernels": "stock"}, "fused")
    assert not any(one["problems"] for one in found["receipt"]["comparisons"].values())


LONG = "32768"  # tokens of one request, in the cases that have such a one


def faster(name: str, way: str, *words: str) -> list[float]:
    """How often as fast as SGLang's a way is in the cases whose names have these words."""
    rows = record(f"{name}-H200.json")["rows"]
    found = [row for title, row in rows.items() if set(words) <= set(title.split())]
    assert found
    return [row["stock_us"] / row["tried"][way] for row in found]


def test_attention_of_crowds() -> None:
    """The geometric means over all layers of a kind, and the range with one long request."""
    tiles, wide, of_12b = "4096 4 1 4 128", "8192 4 2 8 128", "8192 4 5 4 256"
    paired = record("decode-paired-H200.json")["rows"].values()
    ways = {way for row in paired for way in row["tried"] if not way.startswith("stream")}
    mean = {way: geometric_mean(faster("decode-paired", way)) for way in ways}
    streams = geometric_mean(faster("decode-paired", "stream 4 2 4 512"))
    assert (
        f"{streams:.2f} times as fast as SGLang's, by the geometric mean, {mean[tiles]:.2f} times"
        in PLAIN
    )
    assert f"and {max(mean.values()):.2f} times with the fastest tiles" in PLAIN
    sliding = [one for v in ("E2B", "E4B") for one in faster("decode", tiles, v, "sliding")]
    others = [name for name in VARIANTS if name != "12B"]
    full = [one for v in others for one in faster("decode", wide, v, "full")]
    its_full = geometric_mean(faster("decode", of_12b, "12B", "full"))
    tiled = f"layers of E2B and E4B are {geometric_mean(sliding):.2f} times as fast as SGLang's"
    assert f"{tiled}, full layers {geometric_mean(full):.2f} times (12B's {its_full:.2f})" in PLAIN
    rows = record("decode-H200.json")["rows"]
    long = [name for name in others if f"{name} 100 decode full 448 and {LONG}" in rows]
    assert len(long) == 3  # there was no time for 31B

    def span(found: list[float]) -> str:
        return f"{min(found):.2f} to {max(found):.2f}"

    now = span([one for v in long for one in faster("decode", wide, v, "full", LONG)])
    (its_long,) = faster("decode", of_12b, "12B", "full", LONG)
    assert f"full layers are {now} times as fast (12B's {its_long:.2f})" in PLAIN
    two = "8192 4 5 2 256"  # as the servers of E2B and E4B had it
    before = {
        name: faster("decode", way, name, "full", LONG)[0]
        for name, way in (("26B-A4B", of_12b), ("E2B", two), ("E4B", two))
    }
    said = "was {26B-A4B:.2f} (26B-A4B, four), {E2B:.2f} (E2B, two) and {E4B:.2f} times (E4B, two)"
    assert said.format(**before) in PLAIN


def profiles(variant: str, batch: int) -> dict[str, dict[str, Any]]:
    """The profiles of both servers with so many requests."""
    rows = record(f"profile-{variant}-H200.json")["profiles"]
    return {row["contender"]: row for row in rows if row["batch"] == batch}


def kernels(row: dict[str, Any]) -> dict[str, float]:
    """Milliseconds a step of each kernel of a profile."""
    return {kernel["name"]: kernel["us"] / 1e3 for kernel in row["kernels"]}


def test_steps_of_one_request() -> None:
    for variant in VARIANTS:
        found = profiles(variant, 1)
        stock, fused = found["stock"], found["fused"]
        launches = f"{stock['launches']:,.0f} | {fused['launches']:,.0f}"
        busy = f"{stock['busy_us'] / 1e3:.2f} | {fused['busy_us'] / 1e3:.2f}"
        assert f"| {variant} | {launches} | {busy} |" in PLAIN


def test_steps_of_100_requests() -> None:
    copies = "unrolled_elementwise_kernel direct_copy_kernel_cuda"
    for variant in ("E2B", "E4B", "26B-A4B", "12B"):
        found = profiles(variant, 100)
        ours, stock = kernels(found["fused"]), kernels(found["stock"])
        theirs = (stock["_fwd_grouped_kernel_stage1"], stock["_fwd_kernel_stage2"])
        attention = ours["split_attention"] + ours.get("stream_attention", 0.0)
        row = " | ".join(f"{time:.2f}" for time in (attention, *theirs))
        assert f"| {variant} | {row} |" in PLAIN
        beside = f"{stock[copies]:.2f} of copies and {stock['softcap_inplace_logits_kernel']:.2f}"
        assert f"takes {ours['softcap']:.2f} ms in one launch, beside {beside} of" in PLAIN
    assert not profiles("31B", 100) and "31B has none" in PLAIN


def test_experts_of_100_requests_are_bound_by_their_bytes() -> None:
    found = profiles("26B-A4B", 100)
    fused, stock = (kernels(found[name])["fused_moe_kernel"] for name in ("fused", "stock"))
    step = f"{found['fused']['busy_us'] / 1e3:.1f} ms"
    assert f"26B-A4B's {step} the experts take {fused:.1f}, in both" in PLAIN
    assert f"{fused:.1f}" == f"{stock:.1f}"
    variant = load().variants["26B-A4B"]
    assert variant.experts is not None
    bytes_read = 2 * variant.experts.parameters  # bf16, all of them
    assert f"reading the {bytes_read / 1e9:.1f} GB of all experts" in PLAIN
    copy = record("bandwidth-H200.json")["bytes_per_second"]
    assert bytes_read / (fused / 1e3) == pytest.approx(copy, rel=0.02)


def test_kernels_against_pytorch() -> None:
    rows = [row for name in ("small", "large") for row in record(f"check-{name}-H200.json")["rows"]]
    assert f"{sum(row['checks'] for row in rows):,} comparisons, all within a third" in PLAIN
    assert all(row["passed"] for row in rows)
    for of, bound in (("norm_of_differences", "norm"), ("largest_difference", "largest")):
        assert max(row[of] / row[f"bound_of_{bound}"] for row in rows) <= 1 / 3
    chains = record("check-chain-H200.json")["rows"]
    assert f"in all of {sum(row['replays'] for row in chains)} replays" in PLAIN
    assert not any(row["different"] for row in chains)


def test_memory_of_prefill_graphs() -> None:
    """Of servers alone on the GPU; the others' logs hold what servers beside took or gave back."""
    rows = record("prefill-graphs-memory-H200.json")["rows"]
    counted, took = {}, {}
    for variant in VARIANTS:
        sizes = list(support.prefill_graph_sizes(variant))
        found = [row for row in rows if (row["variant"], row["sizes"]) == (variant, sizes)]
        alone = [row["gib"] for row in found if not row["beside"]]
        counted[variant] = stages.prefill_graphs(load().variants[variant], sizes, 1) / 2**30
        if alone:
            took[variant] = f"{max(alone):.2f}"
            assert max(alone) < counted[variant] < max(alone) + 0.2
    assert set(took) == set(VARIANTS) - {"E4B"}
    said = "took {E2B} (E2B), {26B-A4B} (26B-A4B), {12B} (12B) and {31B} GiB (31B)"
    assert said.format(**took) in PLAIN
    low, high = min(counted.values()), max(counted.values())
    assert f"Plans count on {low:.2f} (31B) to {high:.2f} GiB (E4B)" in PLAIN
    assert (low, high) == (counted["31B"], counted["E4B"])


def test_starts_as_a_container() -> None:
    for variant in ("E2B", "26B-A4B", "12B"):
        found = record(f"container-{variant}-H200.json")
        assert (
            found["found_in_the_mounts"] and found["answered"] and not found["found_without_them"]
        )
        said = " ".join(found["announced"])
        assert "kernels: fused" in said and "prefill: graphs" in said and "KV: shared" not in said
    assert "(E2B, 26B-A4B and 12B, `container-*-H200.json`). KV stayed SGLang's own there" in PLAIN


def test_answers_with_prefill_from_graphs() -> None:
    cases = record("prefill-graphs-answers-H200.json")["cases"]
    (case,) = [case for case in cases if case["case"] == "E2B"]
    (server,) = case["servers"]
    counts = server["prefills"]
    assert f"{counts['from_graphs']} batches of prefill from graphs and {counts['others']}" in PAGE
    ranges = []
    for kind in ("fused", "noise"):
        means = [one[kind]["mean"] for one in server["comparisons"].values()]
        ranges.append(f"{min(means):.3f} to {max(means):.3f}")
    assert f"{ranges[0]} nats where stock's own are {ranges[1]}" in PAGE


def measured(metric: str) -> list[dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"*-H200-{metric}.json"))]
    assert found
    return found


def test_speed() -> None:
    """The figures of the table, in its rows."""
    for metric, digits in (("tpot-c1", ".2f"), ("output-throughput-c100", ",.0f")):
        assert {row["variant"] for row in measured(metric)} == set(VARIANTS)
        for row in measured(metric):
            assert row["reached"]
            figures = f"{row['stock']:{digits}} | {row['fused']:{digits}} | {row['ratio']:.2f}"
            assert f" | {figures} | {len(row['pairs'])} |" in PLAIN, (metric, row["variant"])


def test_start_up() -> None:
    """The range of every variant's pairs, of which there are enough."""
    assert {row["variant"] for row in measured("start-up")} == set(VARIANTS)
    for row in measured("start-up"):
        times = sorted(pair["fused"] / pair["stock"] for pair in row["pairs"])
        assert len(times) >= 3 and times[-1] <= 1.1
        assert f"{times[0]:.2f} to {times[-1]:.2f} ({row['variant']})" in PLAIN


def test_bound() -> None:
    for row in record("roofline-H200.json")["rows"]:
        times = row["times_bound"]
        kinds = ("stock", "stock-splits-16", "stock-compile", "fused")
        found = " | ".join(f"{times[kind]:.2f}x" if kind in times else "" for kind in kinds)
        about = f"{row['bytes_at_least'] / 1e9:.2f} | {row['bound_ms']:.2f}"
        assert " ".join(f"| {row['variant']} | {about} | {found} |".split()) in PLAIN


def test_kv_pools() -> None:
    for variant in ("E2B", "E4B"):
        found = record(f"capacity-{variant}-H200-shared-kv.json")
        ours, stock = found["fused"], found["stock"]
        tokens = f"{ours:,} tokens instead of {stock:,} ({found['ratio']:.2f} times)"
        assert f"{variant} holds {tokens}" in PLAIN
        assert f"{found['load']['stock_and_ours']['same']:.0%} ({variant})" in PLAIN
        assert found["load"]["roomy_stock_and_ours"]["same"] == 1  # "all those"
        runs = found["load"]["runs"]
        assert {run["retracted_requests"] for run in runs["roomy stock"]} == {0}
        assert {run["retracted_requests"] for run in runs["stock"]} == {33}
        assert {run["retracted_requests"] for run in runs["shared-kv"]} == {0}


ANSWERS = {  # rows of the table: file, case, contender, title
    **{(name, "fused"): ("prefill-graphs-answers", name) for name in VARIANTS},
    ("E2B-tp2", "fused"): ("answers-tp2", "E2B on two GPUs (TP 2)"),
    ("26B-A4B-tp2", "fused"): ("answers-tp2", "26B-A4B on two GPUs (TP 2)"),
    **{(f"{v}-mtp", "fused"): ("answers", f"{v} with MTP") for v in VARIANTS},
    **{
        (name, f"broken-{fault}"): ("answers", f"{name}, {title}")
        for name in ("E2B", "26B-A4B")
        for fault, title in (
            ("residual", "no residual"),
            ("scalar", "no layer scalar"),
            ("slot", "KV slots off by one"),
        )
    },
}


@pytest.mark.parametrize(("case", "contender"), ANSWERS)
def test_answers(case: str, contender: str) -> None:
    file, title = ANSWERS[case, contender]
    (found,) = (row for row in record(f"{file}-H200.json")["cases"] if row["case"] == case)
    (server,) = (row for row in found["servers"] if row["contender"] == contender)
    comparisons = server["comparisons"]
    alone = comparisons["alone"]
    prompts, same = alone["prompts"], alone["fused"]["same_texts"]
    if contender == "fused":
        cells = [
            f"{one['fused']['mean']:.3f} ({one['noise']['mean']:.3f})"
            for one in comparisons.values()
        ]
        texts = f"{same} of {prompts} ({alone['noise']['same_texts']})"
    else:
        means = [one["fused"]["mean"] for one in comparisons.values()]
        digits = 2 if min(means) > 0.2 else 3
        cells = [f"{mean:.{digits}f}" for mean in means]
        texts = f"{same} of {prompts}: refused"
        assert not any(one["passed"] for one in comparisons.values())
    assert f"| {title} | {' | '.join(cells)} | {texts} |" in PLAIN


def test_prefills_of_the_answers() -> None:
    cases = record("prefill-graphs-answers-H200.json")["cases"]
    counts = [case["servers"][0]["prefills"]["from_graphs"] for case in cases]
    assert f"({min(counts)} to {max(counts)} batches" in PLAIN
    load_of_experts = max(case["expert_load"] or 0 for case in cases)
    assert f"the most used expert had {load_of_experts:.1f} times the mean load" in PLAIN


def ratios() -> Iterator[dict[str, str]]:
    """Of one request and of 100, by variant."""
    for metric in ("tpot-c1", "output-throughput-c100"):
        yield {row["variant"]: f"{row['ratio']:.2f}" for row in measured(metric)}


def test_the_first_lines_of_the_page() -> None:
    one, many = ratios()
    assert f"times as fast with E2B, {one['E4B']} with E4B, {one['26B-A4B']} with 26B-A4B" in PLAIN
    assert f"its tokens {one['E2B']} times" in PLAIN
    assert f"{one['12B']} with 12B and {one['31B']} with 31B" in PLAIN
    *first, last = (many[name] for name in VARIANTS)
    assert f"100 requests at once get them {', '.join(first)} and {last} times" in PLAIN


def test_the_readme_and_the_changelog() -> None:
    """The ratios of one request and of 100, in the order of their sentences."""
    order = VARIANTS
    one, many = ratios()
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    *first, last = (f"{one[name]} ({name})" for name in order[:-1])
    assert f"{', '.join((*first, last))} and {one['31B']} times (31B) as fast" in readme
    *first, last = (many[name] for name in order)
    assert f"100 at once {', '.join(first)} and {last} times" in readme
    changes = " ".join((ROOT / "CHANGELOG.md").read_text(encoding="utf-8").split())
    ours = ", ".join(f"{one[name]} with {name}" for name in order[1:-1])
    assert f"{one['E2B']} times as fast with E2B, {ours} and {one['31B']} with 31B" in changes
    assert f"100 at once {many['E2B']} to {many['31B']} times" in changes
    first_token = [row["ratio"] for row in measured("ttft-p64")]
    times = f"{min(first_token):.1f} to {max(first_token):.1f} times as soon"
    assert f"the first token of 64 comes {times}" in changes
    rules = ROOT / "gemma4ctl" / "planning" / "rules" / "kernels.py"
    assert f"the first token {times}" in rules.read_text(encoding="utf-8")
