"""Whether the bundled model module does what the plan switched on, by the server's own log."""

from __future__ import annotations

from gemma4ctl.launch.logs import Notice, Reported
from gemma4ctl.launch.spec import LaunchSpec
from gemma4ctl.sglang_model.announce import FROM_GRAPHS, FUSED, LEFT, SHARED

SILENT = "the server's log does not mention it: gemma4ctl is not installed beside SGLang"


def module_notices(spec: LaunchSpec, reported: Reported) -> tuple[Notice, ...]:
    """A notice for each part that was switched on and is not active.

    Args:
        spec: what was launched; it says what was switched on.
        reported: what the server's log said until it was ready.
    """
    found = []
    if spec.fused and not _says(reported.kernels, FUSED):
        message = f"the fused kernels are not active: {_reason(reported.kernels)}"
        found.append(
            Notice(
                "kernels_not_active",
                message,
                "the answers are right, only slower; "
                "plan with --kernels stock for figures that hold",
            )
        )
    elif spec.fused and (left := str(reported.kernels).partition(LEFT)[2]):
        found.append(
            Notice(
                "kernels_partly_active",
                f"some fused kernels failed their check: {left}",
                "SGLang's own code does their work, so the answers are right; "
                "the log says which kernel is how far off",
            )
        )
    if spec.shared_kv and not _says(reported.kv_pools, SHARED):
        message = f"layers that share KV have pools of their own: {_reason(reported.kv_pools)}"
        found.append(
            Notice(
                "kv_pools_not_shared",
                message,
                "the server holds fewer tokens than "
                "planned; plan with --kernels stock for figures that hold",
            )
        )
    if spec.prefill_graphs and not _says(reported.prefill_graphs, FROM_GRAPHS):
        fused = _says(reported.kernels, FUSED)
        said = reported.prefill_graphs or (None if fused else reported.kernels)
        message = f"prefill runs without CUDA graphs: {_reason(said)}"
        remedy = "the answers are right; short prompts wait longer for their first token"
        found.append(Notice("prefill_graphs_not_active", message, remedy))
    return tuple(found)


def module_lines(reported: Reported) -> list[str]:
    """What the module does, for the reader; nothing where it does nothing."""
    lines = []
    if _says(reported.kernels, FUSED):
        lines.append(f"  kernels:  {reported.kernels}")
    if _says(reported.kv_pools, SHARED):
        lines.append(f"  KV pools: {reported.kv_pools}")
    if _says(reported.prefill_graphs, FROM_GRAPHS):
        lines.append(f"  prefill:  {reported.prefill_graphs}")
    return lines


def _says(text: str | None, word: str) -> bool:
    return text is not None and text.startswith(word)


def _reason(text: str | None) -> str:
    """Why it is not active, from the line in the log."""
    return SILENT if text is None else text.partition(": ")[2] or text
