"""Judging launches: each kind of finding, and the silence where nothing is certain."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from gemma4ctl.checking.codes import CODES, FLAG_CODES, RULE_CODES
from gemma4ctl.checking.finding import Finding
from gemma4ctl.checking.judge import Options, judge
from gemma4ctl.checking.launch import UNNAMED, Launch, Place, Word
from gemma4ctl.rendering.command import argv
from tests.planning.hosts import node, planned

MTP = (
    "--speculative-algorithm NEXTN --speculative-draft-model-path "
    "google/gemma-4-26B-A4B-it-assistant --speculative-num-steps 5 "
    "--speculative-num-draft-tokens 6 --speculative-eagle-topk 1"
)

MODEL_31B = "--model-path google/gemma-4-31B-it"
NO_AUDIO = "--limit-mm-data-per-request '{\"audio\": 0}'"


def launch(command: str, **facts: Any) -> Launch:
    """A launch of ``sglang serve`` with the words of ``command``; ``$`` marks an unknown one."""
    words, offset = [], 0
    for text in shlex.split(command):
        known = "$" not in text
        words.append(Word(text, Place(1, offset + 1), offset, offset + len(text), certain=known))
        offset += len(text) + 1
    facts = {"entry": "serve", **facts}
    return Launch("run.sh", "shell", words=tuple(words), place=Place(1, 1), **facts)


def findings(command: str, options: Options | None = None, **facts: Any) -> list[Finding]:
    return judge(launch(command, **facts), options or Options())


def codes(command: str, options: Options | None = None, **facts: Any) -> set[str]:
    return {finding.code for finding in findings(command, options, **facts)}


def gemma(variant: str, rest: str = "") -> str:
    limit = f"{NO_AUDIO} " if variant in ("31B", "26B-A4B") else ""
    return f"--model-path google/gemma-4-{variant}-it {limit}{rest}"


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("unknown-flag", gemma("31B", "--foo"), {}),
    ("ambiguous-prefix", gemma("31B", "--pp 2"), {}),
    ("bad-choice", gemma("31B", "--attention-backend tritn"), {}),
    ("bad-type", gemma("31B", "--tp-size two"), {}),
    ("missing-value", gemma("31B", "--tp-size"), {}),
    ("removed-flag", gemma("31B", "--language-model-only"), {}),
    ("deprecated-flag", gemma("31B", "--cuda-graph-max-bs 8"), {}),
    ("abbreviated-flag", gemma("31B", "--tp 2"), {}),
    ("duplicate-flag", gemma("31B", "--tp-size 2 --tp-size 4"), {}),
    ("unexpected-value", gemma("31B", "--tp-size 2 4"), {}),
    ("missing-model", "--tp-size 2", {}),
    ("mem-fraction", gemma("31B", "--mem-fraction-static 1.5"), {}),
    ("tp-size", gemma("31B", "--tp-size 0"), {}),
    ("release-too-old", gemma("12B"), {"release": "0.5.13"}),
    ("release-too-old", gemma("31B"), {"release": "0.5.9"}),
    ("release-unknown", gemma("31B"), {"release": "0.6.0"}),
    ("checkpoint-broken", "--model-path google/gemma-4-12B-it-qat-q4_0-unquantized", {}),
    ("tp-indivisible", gemma("31B", "--tp-size 3"), {}),
    ("context-too-long", gemma("E2B", "--context-length 262144"), {}),
    ("attention-backend-refused", gemma("31B", "--attention-backend fa3"), {}),
    ("images-causal", gemma("31B", "--attention-backend trtllm_mha"), {}),
    ("aiter-small-variant", gemma("E2B"), {"vendor": "amd"}),
    ("speculative-unknown", gemma("31B", "--speculative-algorithm NEXTNN"), {}),
    ("mtp-incomplete", gemma("31B", "--speculative-algorithm NEXTN"), {}),
    ("mtp-draft-tokens", gemma("26B-A4B", MTP.replace("tokens 6", "tokens 8")), {}),
    ("mtp-pipeline", gemma("26B-A4B", MTP + " --pp-size 2"), {}),
    ("mtp-lora", gemma("26B-A4B", MTP + " --enable-lora"), {}),
    ("draft-mismatch", gemma("31B", MTP), {}),
    ("pipeline-graphs", gemma("E2B", "--pp-size 2"), {}),
    ("dp-attention", gemma("31B", "--enable-dp-attention --dp-size 2"), {}),
    ("audio-ends-server", MODEL_31B, {}),
    ("audio-ends-server", MODEL_31B, {"directives": {"modality": "text,image"}}),
    ("audio-ends-server", MODEL_31B, {"vendor": "amd"}),
    ("audio-ends-server", MODEL_31B, {"release": "0.5.11"}),
    ("audio-ends-server", "--model-path /models/gemma-4-26B-A4B-it", {"entry": "module"}),
    ("audio-ends-server", f"{MODEL_31B} --limit-mm-data-per-request '{{\"image\": 2}}'", {}),
    ("audio-ends-server", f"{MODEL_31B} --limit-mm-data-per-request '{{\"audio\": 1}}'", {}),
    ("exposed-without-key", gemma("31B", "--host 0.0.0.0"), {}),
    ("secret-in-argv", gemma("31B", "--api-key abc"), {}),
    ("remote-code", gemma("31B", "--trust-remote-code"), {}),
    ("does-not-fit", gemma("31B"), {"directives": {"hardware": "RTX-4090", "gpus": "1"}}),
    (
        "too-few-gpus",
        gemma("31B", "--tp-size 4"),
        {"directives": {"hardware": "H100", "gpus": "2"}},
    ),
    ("images-causal", gemma("12B"), {"directives": {"hardware": "B200"}}),
    (
        "sliding-overcommit",
        gemma("12B", "--swa-full-tokens-ratio 0.1"),
        {"directives": {"hardware": "H200"}},
    ),
]


@pytest.mark.parametrize(("code", "command", "facts"), CASES)
def test_each_kind_of_finding(code: str, command: str, facts: dict[str, Any]) -> None:
    found = [finding for finding in findings(command, **facts) if finding.code == code]
    assert len(found) == 1
    assert found[0].level == CODES[code].level
    assert found[0].message


@pytest.mark.parametrize(
    ("command", "facts"),
    [
        (gemma("31B", "--tp-size 2 --reasoning-parser gemma4 --mem-fraction-static 0.85"), {}),
        (gemma("26B-A4B", f"--tp-size 2 {MTP}"), {}),
        (gemma("26B-A4B", f"--tp-size 2 {MTP}"), {"directives": {"hardware": "H200"}}),
        (gemma("E4B"), {"vendor": "amd", "environment": {"SGLANG_USE_AITER": "0"}}),
        (gemma("12B", "--attention-backend triton"), {"directives": {"hardware": "B200"}}),
        (gemma("12B"), {"directives": {"hardware": "B200", "modality": "text"}}),
        (gemma("31B", "--host 0.0.0.0"), {"published": False}),
        (gemma("31B", "--host 0.0.0.0 --config key.yaml"), {}),
        (f"{MODEL_31B} --config limits.yaml", {}),
        (f"{MODEL_31B} --language-model-only", {"release": "0.5.23"}),
        (gemma("E4B"), {}),
        (gemma("12B"), {}),
        ("--model-path meta-llama/Llama-3.1-8B-Instruct --attention-backend fa3", {}),
        ("--model-path meta-llama/Llama-3.1-8B-Instruct --host 0.0.0.0 --trust-remote-code", {}),
    ],
)
def test_sound_commands_have_no_finding(command: str, facts: dict[str, Any]) -> None:
    assert findings(command, **facts) == []


@pytest.mark.parametrize(
    "command",
    [
        gemma("31B", "$EXTRA --speculative-algorithm NEXTN"),
        gemma("31B", "$EXTRA --host 0.0.0.0"),
        f"{MODEL_31B} $EXTRA",
        f"{MODEL_31B} --limit-mm-data-per-request $LIMITS",
        gemma("31B", "--tp-size $TP"),
        gemma("31B", "--attention-backend $BACKEND"),
        "$ARGS --tp-size 2",
        gemma("31B", "--$FLAG 3"),
    ],
)
def test_what_is_unknown_until_run_time_is_not_judged(command: str) -> None:
    assert codes(command) == set()


def test_places_and_fixes_name_the_word() -> None:
    command = gemma("E2B", "--tp 2 --mem-fraction-statc 0.8")
    by_code = {finding.code: finding for finding in findings(command)}
    short, unknown = by_code["abbreviated-flag"], by_code["unknown-flag"]
    assert short.fix and command[short.fix.start : short.fix.end] == "--tp"
    assert short.fix.text == "--tp-size"
    assert unknown.fix and unknown.fix.text == "--mem-fraction-static"
    assert unknown.place.column == command.index("--mem-fraction-statc") + 1
    assert unknown.end_column == unknown.place.column + len("--mem-fraction-statc")


def test_the_release_decides() -> None:
    command = gemma("31B", "--cuda-graph-max-bs 8")
    assert codes(command, Options(sglang_version="0.5.13")) == set()
    assert codes(command, Options(sglang_version="0.5.16")) == {"deprecated-flag"}
    assert codes(command, Options(sglang_version="0.5.23")) == {"removed-flag"}
    assert codes(command, release="v0.5.13") == set()
    assert codes(command, release="0.5.23", directives={"sglang": "0.5.13"}) == set()


def test_findings_can_be_silenced() -> None:
    command = gemma("31B", "--trust-remote-code --foo")
    assert codes(command, directives={"ignore": "remote-code"}) == {"unknown-flag"}


def test_the_options_win_over_the_file() -> None:
    command = gemma("31B")
    facts = {"directives": {"hardware": "H200"}}
    assert codes(command, **facts) == set()
    assert codes(command, Options(hardware="RTX-4090", gpus=1), **facts) == {"does-not-fit"}


@pytest.mark.parametrize(
    "value", ["--mem-fraction-static 1.5", "--tp-size -1", "--context-length 0"]
)
def test_a_value_that_makes_no_sense_hides_no_other_finding(value: str) -> None:
    others = codes(gemma("31B", "--attention-backend fa3 --host 0.0.0.0"))
    assert others == {"attention-backend-refused", "exposed-without-key"}
    assert codes(gemma("31B", f"--attention-backend fa3 --host 0.0.0.0 {value}")) > others


def test_the_finding_about_audio_names_the_flag_to_add() -> None:
    (found,) = findings(MODEL_31B)
    assert found.place == Place(1, 1)
    assert found.remedy == f"add {NO_AUDIO}"
    images = f"{MODEL_31B} --limit-mm-data-per-request '{{\"image\": 1}}'"
    (found,) = findings(images)
    assert found.place.column == images.index("--limit") + 1
    assert found.remedy and found.remedy.startswith('add "audio": 0 to the value')


def test_hardware_that_nobody_named_is_not_judged() -> None:
    assert codes(gemma("31B", "--tp-size 16")) == set()


def test_gpus_that_the_file_counts_are_judged() -> None:
    two = {"directives": {"gpus": "2"}}
    assert codes(gemma("31B", "--tp-size 4"), **two) == {"too-few-gpus"}
    assert codes(gemma("31B", "--tp-size 2"), **two) == set()
    assert codes(gemma("31B", "--tp-size 4 --nnodes 2"), **two) == set()
    assert codes(gemma("31B", "--tp-size 6 --nnodes $N"), **two) == {"tp-indivisible"}
    assert codes(gemma("31B", "--tp-size 4"), directives={"gpus": "all"}) == set()


def test_a_flag_is_judged_whatever_its_unknown_value() -> None:
    assert codes(gemma("31B", "--tp-sise=$N")) == {"unknown-flag"}
    assert codes(gemma("31B", "--tp-size=$N --$NAME=2 $MORE")) == set()


def test_variables_that_the_file_does_not_show_may_be_set() -> None:
    assert codes(gemma("E2B"), vendor="amd") == {"aiter-small-variant"}
    assert codes(gemma("E2B"), vendor="amd", environment={UNNAMED: None}) == set()
    shown = {UNNAMED: None, "SGLANG_USE_AITER": "1"}
    assert codes(gemma("E2B"), vendor="amd", environment=shown) == {"aiter-small-variant"}


def test_router_flags_are_the_routers_own() -> None:
    command = gemma("31B", "--router-policy cache_aware --attention-backend fa3")
    assert codes(command, entry="router") == {"attention-backend-refused"}


def test_a_local_folder_is_known_by_its_name() -> None:
    assert codes("--model-path /models/gemma-4-E4B-it --tp-size 3") == {"tp-indivisible"}
    assert codes("--model-path /models/mine --tp-size 3") == set()
    assert codes("--model-path google/gemma-4-31B-it-assistant --tp-size 3") == set()


def test_every_code_is_of_one_table_and_described() -> None:
    assert not FLAG_CODES.keys() & RULE_CODES.keys()
    assert all(code.summary for code in CODES.values())


def test_a_file_may_name_hardware_that_we_do_not_know() -> None:
    facts = {"directives": {"hardware": "H9000"}, "vendor": "amd"}
    assert codes(gemma("E2B"), **facts) == {"aiter-small-variant"}


@pytest.mark.parametrize("key", ["--api-key $KEY", "--api-key=$KEY", "--config $FILE"])
def test_a_key_that_is_known_only_at_run_time_is_a_key(key: str) -> None:
    assert "exposed-without-key" in codes(gemma("31B", "--host 0.0.0.0"))
    assert "exposed-without-key" not in codes(gemma("31B", f"--host 0.0.0.0 {key}"))


def test_eagle3_is_wrong_only_with_an_assistant() -> None:
    command = gemma("26B-A4B", "--tp-size 2 " + MTP.replace("NEXTN", "EAGLE3"))
    assert "mtp-eagle3" in codes(command)
    other = command.replace("google/gemma-4-26B-A4B-it-assistant", "RedHatAI/speculator.eagle3")
    assert "mtp-eagle3" not in codes(other)


@pytest.mark.parametrize("kind", ["markdown", "rst", "text"])
def test_capitals_in_a_document_are_for_the_reader_to_fill_in(kind: str) -> None:
    written = launch(gemma("31B", "--tp-size TP --attention-backend BACKEND"))
    assert len(judge(written, Options())) == 3
    assert judge(written._replace(kind=kind), Options()) == []
    sound = launch(gemma("26B-A4B", "--tp-size 2 " + MTP))._replace(kind=kind)
    assert judge(sound, Options()) == []


@pytest.mark.parametrize("mtp", [False, True])
@pytest.mark.parametrize("load", ["512+512", "32k+512", "300:20,100k+10:1"])
def test_a_plan_for_a_load_is_not_called_overcommitted(load: str, mtp: bool) -> None:
    plan = planned(node("H200", 1), model="31B", request_tokens=load, mtp=mtp)
    facts = {"directives": {"hardware": "H200", "gpus": "1"}}
    command = shlex.join(argv(plan)[2:])
    assert "sliding-overcommit" not in codes(command, **facts)
    assert plan.value("max_running_requests") is not None
