"""Rules about speculative decoding with the paired assistants (MTP)."""

from __future__ import annotations

from packaging.version import Version

from gemma4ctl.errors import NoPlanError
from gemma4ctl.planning.memory import memory
from gemma4ctl.planning.rules.attention import backend_in_use
from gemma4ctl.planning.rules.base import Choose, Outcomes, Warn, rule
from gemma4ctl.planning.rules.capacity import cap_reason
from gemma4ctl.planning.situation import Situation
from gemma4ctl.profiles.table import Cell, Status

# Names that SGLang knows in one release or another; NEXTN is another name of EAGLE.
ALGORITHMS = (
    "NEXTN",
    "EAGLE",
    "EAGLE3",
    "FROZEN_KV_MTP",
    "NGRAM",
    "STANDALONE",
    "DFLASH",
    "DSPARK",
    "UNO",
    "NONE",
)
FLASHINFER_LONG_DRAFTS = "0.6.14"  # first with trtllm_mha kernels for 5 or more draft tokens
SHORT_STEPS = 3
SPECULATIVE_SET = (
    "speculative_draft_model_path",
    "speculative_num_steps",
    "speculative_num_draft_tokens",
    "speculative_eagle_topk",
)
SWA_FIX_RELEASE = "0.5.14"  # first with the fix of sglang#26966


@rule("mtp", source="cookbook-2026-06", severity="perf")
def mtp(s: Situation) -> Outcomes:
    """Draft with the assistant when asked, or for latency where it is published."""
    if s.request.mtp is not None:
        on, reason = s.request.mtp, "asked for"
        origin = s.request.origins.get("mtp", "flag")
    else:
        published = s.platform.mtp_algorithm == "NEXTN" and s.cell(mtp=True) is not None
        on = s.request.objective == "latency" and published and _able(s) is None
        reason = "published for the latency objective" if on else "not asked for"
        origin = "rule"
    obstacle = _able(s) if on else None
    if obstacle is not None:
        raise obstacle
    yield Choose("mtp", on, reason, origin=origin, status="verified")
    if on and s.platform.vendor == "amd":
        yield Warn(
            "mtp-unpublished",
            f"no MTP setting is published for {s.platform_name}",
            "compare speed and answers with --no-mtp before you rely on it",
        )


def _able(s: Situation) -> NoPlanError | None:
    """Why MTP is impossible here; None when it is possible."""
    if s.platform.mtp_algorithm == "NGRAM":
        return None
    if not s.release.row.mtp or s.release.before(s.variant.mtp_min_release):
        return NoPlanError(
            f"SGLang {s.release.name} has no MTP for Gemma 4 {s.variant_name}",
            needed=f"SGLang {s.variant.mtp_min_release} or newer",
            found=f"{s.release.name} with transformers {s.release.row.transformers}",
            remedies=["--no-mtp", f"--sglang-version {s.profiles.default_release}"],
            code="mtp-unsupported",
        )
    if s.checkpoint.draft is None and s.request.draft_path is None:
        return NoPlanError(
            f"{s.checkpoint.id} has no paired draft",
            needed="an assistant of the same checkpoint line",
            found="none published",
            remedies=["--no-mtp", "--draft-path PATH"],
            code="mtp-no-draft",
        )
    return None


@rule("mtp-flags", source="mtp-assistant", severity="crash")
def mtp_flags(s: Situation) -> Outcomes:
    """The whole speculative set, always: SGLang fills in no defaults for Gemma 4's drafts."""
    if not s.mtp:
        return
    if s.platform.mtp_algorithm == "NGRAM":
        yield Choose(
            "speculative_algorithm",
            "NGRAM",
            f"n-gram drafts: what is published for {s.platform.title}",
            flag="--speculative-algorithm",
            status="verified",
            source="selector",
        )
        return
    yield Choose(
        "speculative_algorithm",
        "NEXTN",
        "SGLang turns it into its frozen-KV MTP for Gemma 4's assistants",
        flag="--speculative-algorithm",
        status="verified",
        source="cookbook-2026-06",
    )
    yield Choose(
        "draft_model_path",
        s.request.draft_path or s.checkpoint.draft,
        "given"
        if s.request.draft_path
        else f"the assistant of the same checkpoint line ({s.checkpoint.line})",
        flag="--speculative-draft-model-path",
        status="verified",
        source=s.checkpoint.source,
        origin=s.request.origins.get("draft_path", "flag") if s.request.draft_path else "rule",
    )
    cell = s.cell()
    measured = cell is not None and all(getattr(cell, name) is not None for name in TRIPLE)
    yield from _tuned_drafts(s, cell) if cell and measured else _usual_drafts(s)


def _tuned_drafts(s: Situation, cell: Cell) -> Outcomes:
    for name in TRIPLE:
        flag = "--" + name.replace("_", "-")
        reason = f"measured best for {cell.load}"
        yield Choose(name, getattr(cell, name), reason, flag, None, cell.status, cell.source)


TRIPLE = ("speculative_num_steps", "speculative_num_draft_tokens", "speculative_eagle_topk")


def _usual_drafts(s: Situation) -> Outcomes:
    """The published drafts, or the longest that this release has a kernel for."""
    steps, reason, status = _steps(s)
    yield Choose(
        "speculative_num_steps",
        steps,
        reason,
        flag="--speculative-num-steps",
        status=status,
    )
    own = s.given("speculative_num_steps")
    yield Choose(
        "speculative_num_draft_tokens",
        (steps if own is None else int(own)) + 1,
        "one more than the steps at top-k 1",
        flag="--speculative-num-draft-tokens",
        status=status,
    )
    yield Choose(
        "speculative_eagle_topk",
        s.profiles.mtp.topk,
        "drafts are chains, not trees",
        flag="--speculative-eagle-topk",
        status="verified",
    )


def _steps(s: Situation) -> tuple[int, str, Status]:
    """Draft steps, why, and how well that is known."""
    tokens = s.given("speculative_num_draft_tokens")
    if tokens is not None:
        return max(1, int(tokens) - 1), f"one less than your {tokens} draft tokens", "estimated"
    if _short_drafts(s):
        flashinfer = s.release.row.flashinfer
        reason = f"trtllm_mha of flashinfer {flashinfer} has no kernel for longer drafts"
        return SHORT_STEPS, reason, "estimated"
    return s.profiles.mtp.steps, "the published length", "verified"


def _short_drafts(s: Situation) -> bool:
    """Whether trtllm_mha will verify the drafts with kernels that stop at 4 draft tokens."""
    flashinfer = s.release.row.flashinfer
    old = flashinfer is not None and Version(flashinfer) < Version(FLASHINFER_LONG_DRAFTS)
    return old and backend_in_use(s) == "trtllm_mha"


@rule("mtp-swa-crash", source="pull-26966", severity="crash")
def mtp_swa_crash(s: Situation) -> Outcomes:
    """Releases before the fix of sglang#26966 crash on Blackwell when the sliding pool fills."""
    if s.mtp and backend_in_use(s) == "trtllm_mha" and s.release.before(SWA_FIX_RELEASE):
        yield Warn(
            "mtp-swa-crash",
            f"SGLang {s.release.name} with MTP and trtllm_mha accesses memory illegally once the "
            "sliding-window pool is about 85% full",
            f"use SGLang {SWA_FIX_RELEASE} or newer, or `-- --attention-backend triton`",
        )


@rule("mtp-running-requests", source="wheels", severity="perf")
def mtp_running_requests(s: Situation) -> Outcomes:
    """With MTP SGLang runs 48 requests at once unless told otherwise."""
    cap = s.profiles.mtp.max_running_requests
    if not s.mtp or s.platform.mtp_algorithm != "NEXTN":
        return
    wanted, found = s.concurrency_of_each, memory(s, s.tp, s.mtp)
    if wanted is not None and wanted > cap:
        yield Choose(
            "max_running_requests",
            wanted,
            f"the concurrency asked for; with MTP SGLang would stop at {cap}",
            flag="--max-running-requests",
            origin=s.request.origins.get("concurrency", "flag"),
        )
    elif found is not None and found.running < cap:
        yield Choose(
            "max_running_requests",
            found.running,
            f"{cap_reason(s, found)}; SGLang would start {cap}, and take some back",
            flag="--max-running-requests",
        )
    else:
        yield Choose("max_running_requests", cap, "SGLang's own cap with MTP", status="verified")


@rule("mtp-exclusions", source="wheels", severity="crash")
def mtp_exclusions(s: Situation) -> Outcomes:
    """Name what cannot be combined with Gemma 4's drafts."""
    if not s.mtp:
        return
    if s.pp > 1:
        yield Warn("mtp-pipeline", "MTP does not work with pipeline parallelism", "drop --pp-size")
    if s.given("lora_paths") or s.given("enable_lora"):
        yield Warn("mtp-lora", "MTP does not work with LoRA adapters", "use --no-mtp")
    if s.given("speculative_algorithm") == "EAGLE3":
        yield Warn("mtp-eagle3", "SGLang refuses EAGLE3 with Gemma 4's assistants", "use NEXTN")
    if s.given("enable_mixed_chunk"):
        yield Warn(
            "mtp-mixed-chunk",
            "SGLang switches mixed chunks off with MTP",
            "drop --enable-mixed-chunk",
            severity="silent",
        )


@rule("mtp-shape", source="wheels", severity="crash")
def mtp_shape(s: Situation) -> Outcomes:
    """Check steps, draft tokens and top-k where the user changed one of them."""
    steps, tokens, topk = (int(str(s.value(name) or 0)) for name in SPECULATIVE_SET[1:])
    if topk > 1 and backend_in_use(s) == "trtllm_mha":
        yield Warn(
            "mtp-topk",
            "draft trees (top-k above 1) need the triton backend",
            "use --speculative-eagle-topk 1 or --attention-backend triton",
        )
    if topk == 1 and tokens != steps + 1:
        yield Warn(
            "mtp-draft-tokens",
            f"{tokens} draft tokens do not match {steps} steps: SGLang corrects neither",
            f"use --speculative-num-draft-tokens {steps + 1}",
        )
    if tokens > SHORT_STEPS + 1 and _short_drafts(s):
        yield Warn(
            "mtp-draft-too-long",
            f"trtllm_mha of flashinfer {s.release.row.flashinfer} has no kernel for {tokens} "
            "draft tokens",
            f"use {SHORT_STEPS} steps and {SHORT_STEPS + 1} draft tokens, or the triton backend",
        )


@rule("mtp-by-hand", source="wheels", severity="crash")
def mtp_by_hand(s: Situation) -> Outcomes:
    """A speculative set of the user's own must be complete: SGLang fills in no defaults."""
    if s.mtp or s.given("speculative_algorithm") not in ("NEXTN", "EAGLE"):
        return
    missing = [
        flag.canonical
        for dest in SPECULATIVE_SET
        if s.given(dest) is None and (flag := s.flags.flag_of(dest)) is not None
    ]
    if missing:
        yield Warn(
            "mtp-incomplete",
            f"SGLang has no default for {', '.join(missing)} with Gemma 4's assistants",
            "drop the speculative flags and use --mtp, which sets all of them",
        )


@rule("speculative-name", source="wheels", severity="crash")
def speculative_name(s: Situation) -> Outcomes:
    """From 0.5.12 on SGLang's parser takes any name; only its own algorithms work."""
    name = s.given("speculative_algorithm")
    if name is not None and str(name).upper() not in ALGORITHMS:
        from difflib import get_close_matches  # only a mistake pays for it

        near = get_close_matches(str(name).upper(), ALGORITHMS, n=1)
        yield Warn(
            "speculative-unknown",
            f"{name} is no speculative algorithm of SGLang, unless a plugin adds it",
            f"use {near[0] if near else 'one of ' + ', '.join(ALGORITHMS)}",
        )


@rule("mtp-draft-line", source="page-config", severity="silent")
def mtp_draft_line(s: Situation) -> Outcomes:
    """A draft of another checkpoint line or variant drafts badly, without an error."""
    path = s.given("speculative_draft_model_path") or s.request.draft_path
    known = {row.draft: row for row in reversed(s.profiles.checkpoints) if row.draft}
    if s.mtp and path in known and known[path].draft != s.checkpoint.draft:
        yield Warn(
            "draft-mismatch",
            f"{path} is the draft of {known[path].id}",
            f"use {s.checkpoint.draft}",
        )
