from __future__ import annotations

import pytest

from gemma4ctl.errors import UsageError
from gemma4ctl.fitting.document import VariantFit
from gemma4ctl.fitting.fit import Points, fit
from tests.fitting.hosts import asked, everything, fitted, fitted_on
from tests.planning.hosts import gpu, host, mig, node, sick, table


def at(requests: int) -> VariantFit:
    points = Points(lengths=(1_024,), concurrencies=(requests,))
    return fit([asked("H200", 1)], node("H200", 1), table(), points).variants[0]


def test_what_runs_needs_no_remedy() -> None:
    one = fitted("H200", 1)
    assert (one.group, one.as_asked, one.needed, one.remedies) == ("runs", True, None, ())
    assert "tokens of KV cache" in one.reason


def test_only_with_a_raised_share_is_less() -> None:
    one = fitted("H100", 1)
    assert (one.group, one.as_asked) == ("less", True)
    assert "instead of the usual 0.83" in one.reason
    assert one.needed and one.found and one.remedies


def test_another_checkpoint_is_less_and_its_figures_are_shown() -> None:
    one = fitted("RTX-4090", 1, model="12B")
    assert (one.group, one.as_asked, one.checkpoint) == ("less", False, "qat-w4a16")
    assert one.command in one.remedies
    assert one.command is not None and "--checkpoint qat-w4a16" in one.command
    assert one.lengths


def test_a_context_beyond_the_model_names_the_longest() -> None:
    one = fitted("H200", 1, model="E2B", context_length=524_288)
    assert (one.group, one.as_asked, one.found) == ("less", False, "524,288")
    assert one.command is not None and "--context-length 131072" in one.command


def test_a_context_beyond_the_memory_names_the_longest_that_fits() -> None:
    one = fitted("H100", 1, context_length=262_144)
    assert (one.group, one.as_asked) == ("less", False)
    length = int(str(one.command).rpartition("--context-length ")[2].split()[0])
    assert fitted("H100", 1, context_length=length).as_asked
    assert not fitted("H100", 1, context_length=length + 1_024).as_asked


def test_a_load_that_is_too_large_is_less() -> None:
    one = fitted("H200", 1, request_tokens="32k", concurrency=64)
    assert one.group == "less"
    assert "64 requests" in one.reason
    assert one.remedies


def test_a_plan_that_holds_less_than_the_load_is_less() -> None:
    one = fitted("H200", 1, context_length=32_768, concurrency=32)
    assert (one.group, one.as_asked) == ("less", True)
    assert one.needed == "32 requests of 32,768 tokens at once"
    longest = int(str(one.found).split()[0].replace(",", ""))
    (row,) = [r for r in at(32).concurrencies if r.requests == 32]
    assert row.best == longest < 32_768
    assert "of the free memory instead of" in one.reason
    safe = fitted("H200", 1, context_length=32_768, concurrency=32, safe=True)
    assert safe.needed == one.needed


def test_a_number_at_once_alone_asks_for_no_length() -> None:
    one = fitted("H100", 1, concurrency=4)
    assert one.needed == "KV cache for 4 requests at once"
    assert one.planned is not None and one.planned.full_layer_tokens < 262_144


def test_too_little_cache_for_a_usual_request_is_less() -> None:
    small = [row for row in everything("RTX-4090", 1).variants if row.group == "less"]
    assert small
    one = fitted_on(host(gpu(0, "H200", memory_free_mib=76_000)), model="31B")
    assert one.group == "less"


def test_nothing_here_names_the_nearest_elsewhere() -> None:
    one = fitted("RTX-4090", 1)
    assert (one.group, one.lengths, one.command) == ("cannot", (), None)
    assert one.needed and one.found
    assert any("--gpus" in way or "--model" in way for way in one.remedies)


@pytest.mark.parametrize(
    "inventory",
    [
        host(gpu(0, "H200", memory_free_mib=3_000)),
        host(mig(0, "H200", 10_000, 10_000)),
        host(gpu(0, "H200", health=sick("lost"))),
        host(),
    ],
    ids=["full GPU", "small MIG slice", "lost GPU", "no GPU"],
)
def test_hosts_that_run_nothing(inventory: object) -> None:
    one = fitted_on(inventory, model="31B")  # type: ignore[arg-type]
    assert (one.group, one.as_asked) == ("cannot", False)
    assert one.needed and one.found and one.remedies


def test_memory_without_a_model_still_runs() -> None:
    one = fitted("Xeon", model="E2B")
    assert (one.group, one.usage, one.lengths) == ("runs", None, ())
    assert "not modelled" in one.reason


def test_a_checkpoint_that_one_variant_has_not_leaves_the_others() -> None:
    requests = [asked("H200", 1, model=name, checkpoint="fp8") for name in ("12B", "31B")]
    found = fit(requests, node("H200", 1), table())
    assert [one.group for one in found.variants] == ["cannot", "runs"]
    assert found.fits
    with pytest.raises(UsageError):
        fit(requests[:1], node("H200", 1), table())


def test_a_larger_share_that_nobody_needs_is_not_less() -> None:
    one = fitted_on(host(gpu(0, "H200", memory_free_mib=70_000)), model="E2B")
    assert (one.group, one.needed) == ("runs", None)


def test_a_split_that_holds_a_usual_request_is_a_remedy() -> None:
    one = fitted("H100", 1)
    assert one.remedies[0].startswith("--request-tokens 32768: its split holds ")
    assert fitted("H100", 1, request_tokens="32k").planned is not None
    safe = fitted("H100", 1, safe=True)
    assert not any("--request-tokens" in way for way in safe.remedies)


def test_a_slice_is_called_one() -> None:
    found = fit([asked("H100", None)], host(mig(0, "H100", 40_000)), table())
    assert found.hardware is not None
    assert found.hardware.kind == "mig"


def test_a_host_without_gpus_has_no_hardware() -> None:
    found = fit([asked("H200", 1)], host(), table())
    assert found.hardware is None
    assert not found.fits
