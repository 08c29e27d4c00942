"""Judge a launch: against its release's flags, and by the planner's own rules.

A launch of Gemma 4 is put to the rules as a request in which every flag is the user's own, so that
what they say of a plan they say of the file. Rules whose answer depends on hardware that nobody
named are left out, and nothing is called missing while part of the command is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from packaging.version import InvalidVersion, Version

from gemma4ctl.checking.additions import added
from gemma4ctl.checking.codes import (
    ABSENCE_CODES,
    CODES,
    DEST_OF,
    HARDWARE_CODES,
    OPTION_CODES,
    REMEDIES,
    RULE_CODES,
)
from gemma4ctl.checking.finding import Finding, Fix, Level
from gemma4ctl.checking.joined import Joined, separated
from gemma4ctl.checking.launch import UNNAMED, Launch, Place, Word
from gemma4ctl.checking.quoting import replacement
from gemma4ctl.checking.sayings import audio_let_through, said
from gemma4ctl.errors import Gemma4ctlError
from gemma4ctl.flags.parse import Parsed, Problem, parse
from gemma4ctl.flags.table import FlagTable, available, load

if TYPE_CHECKING:
    from gemma4ctl.planning.engine import Verdict
    from gemma4ctl.profiles.table import Profiles

DEFAULT_RELEASE = "0.5.16"
_ATTACHED = re.compile(r"--[a-zA-Z][\w-]*=")
SPECULATIVE = ("NEXTN", "EAGLE", "FROZEN_KV_MTP")
_PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*")  # in a document, what the reader is to fill in
_DOCUMENTS = ("markdown", "rst", "text")
_VALUE_CODES = ("bad-type", "bad-choice")
PLATFORM_OF_VENDOR = {"nvidia": "H200", "amd": "MI300X", "intel": "Arc-B"}


class Options(NamedTuple):
    """What the user says about the launches: None where the file or a default decides."""

    sglang_version: str | None = None
    hardware: str | None = None
    gpus: int | None = None


def judge(launch: Launch, options: Options) -> list[Finding]:
    """The findings of one launch for one release, in the order of their places."""
    release = release_of(launch, options)
    case = _Case(launch, options, release, flags_of(release))
    found = [*case.unknown_release(), *case.flag_findings(), *case.rule_findings()]
    silenced = set(launch.directives.get("ignore", "").split(","))
    kept = {(f.code, f.place): f for f in found if f.code not in silenced}
    return sorted(kept.values(), key=lambda f: (f.place.line, f.place.column, f.code))


def release_of(launch: Launch, options: Options) -> str:
    """The release to judge for: asked for, else what the file names, else the usual one."""
    named = options.sglang_version or launch.directives.get("sglang") or launch.release
    return (named or DEFAULT_RELEASE).removeprefix("v")


@cache
def flags_of(release: str) -> FlagTable:
    """The flags of ``release``: its table, else those of the SGLang installed here under that name.

    For any other release the newest table stands in (``exact`` is False).
    """
    if release in available():
        return load(release)
    from gemma4ctl.flags.installed import installed_table

    installed = installed_table()
    return installed if installed and installed.release == release else load(release)


@cache
def _profiles() -> Profiles:
    from gemma4ctl.profiles.load import load as load_profiles

    return load_profiles()


class _Case:
    """One launch, judged for one release."""

    def __init__(self, launch: Launch, options: Options, release: str, table: FlagTable) -> None:
        self.launch, self.joined = separated(launch, table)
        self.options = options
        self.release = release
        self.table = table
        entry: Literal["serve", "module"] = "serve" if launch.entry == "serve" else "module"
        self.parsed: Parsed = parse(self.launch.argv, table, entry)
        self.launch = self._without_placeholders()

    def _without_placeholders(self) -> Launch:
        """The launch with refused words that a document means to be filled in as unknown ones."""
        words = list(self.launch.words)
        for problem in self.parsed.problems if self.launch.kind in _DOCUMENTS else ():
            word = self._word(problem.position)
            if problem.code in _VALUE_CODES and word and _PLACEHOLDER.fullmatch(word.text):
                words[problem.position] = word._replace(certain=False)
        return self.launch._replace(words=tuple(words))

    @property
    def too_old(self) -> bool:
        """Whether the release is older than every flag table."""
        try:
            return Version(self.release) < Version(available()[0])
        except InvalidVersion:
            return False

    def unknown_release(self) -> Iterator[Finding]:
        """Say when the newest known flags stand in for those of the release."""
        if self.table.exact or self.too_old:
            return
        yield self._finding(
            "release-unknown",
            f"SGLang {self.release} is not known: the flags of {self.table.release} stand in",
            None,
            None,
            None,
        )

    @property
    def open_ended(self) -> bool:
        """Whether the command may hold words that are known only at run time."""
        return any(
            not word.certain and not self._is_value(position)
            for position, word in enumerate(self.launch.words)
        )

    def _is_value(self, position: int) -> bool:
        """Whether the word stands where a flag's value is expected."""
        before = self.launch.words[position - 1].text if position else ""
        flag = self.table.match(before.partition("=")[0]).flag
        return flag is not None and flag.takes_value and "=" not in before

    # --- flags

    def flag_findings(self) -> Iterator[Finding]:
        """What the release's argument parser would say."""
        if self.too_old:
            return
        yield from map(self._of_joined, self.joined)
        for problem in self.parsed.problems:
            if not self._doubtful(problem):
                yield self._of_problem(problem)

    def _doubtful(self, problem: Problem) -> bool:
        """Whether the problem may vanish once the unknown words are known."""
        if self.launch.entry == "router" and problem.code in ("unknown-flag", "missing-model"):
            return True  # the router's own flags
        if problem.code in ABSENCE_CODES and self.open_ended:
            return True
        word = self._word(problem.position)
        if word is None or not word.certain:
            named = problem.code in OPTION_CODES and word and _ATTACHED.match(word.text)
            return word is not None and not named
        return problem.code == "missing-value" and self._unknown_follows(problem.position)

    def _unknown_follows(self, position: int) -> bool:
        after = self._word(position + 1)
        return after is not None and not after.certain

    def _word(self, position: int) -> Word | None:
        words = self.launch.words
        return words[position] if 0 <= position < len(words) else None

    def _of_joined(self, joined: Joined) -> Finding:
        message = f"{joined.word.text!r} is one word, and SGLang has no flag of that name"
        remedy = f"write {' and '.join(joined.parts)} as {len(joined.parts)} words"
        fix = replacement(joined.word, joined.parts)
        return self._finding("unexpected-value", message, remedy, joined.word, fix)

    def _of_problem(self, problem: Problem) -> Finding:
        word = self._word(problem.position)
        remedy = f"write {' '.join(problem.fix)}" if problem.fix else None
        fix = replacement(word, problem.fix)
        return self._finding(problem.code, problem.message, remedy, word, fix)

    # --- rules

    def rule_findings(self) -> Iterator[Finding]:
        """What the planner's rules say, for a Gemma 4 model."""
        model = self._model()
        if model is None:
            return
        seen: set[str] = set()
        for verdict in self._verdicts(*model):
            for code, message, remedy in said(verdict):
                if code in RULE_CODES and code not in seen and self._applies(code):
                    seen.add(code)
                    yield self._of_rule(code, message, remedy)
            if "images-causal" not in seen and self._needs_triton(verdict):
                seen.add("images-causal")
                yield self._of_rule(
                    "images-causal",
                    f"SGLang's default on {self.hardware} is causal over image tokens",
                    "add --attention-backend triton",
                )
            if "audio-ends-server" not in seen and self._open_to_audio(verdict):
                seen.add("audio-ends-server")
                message, remedy = audio_let_through(model[0])
                word = self._word_of("model_path")
                fix = added("audio-ends-server", self.launch)
                yield self._finding("audio-ends-server", message, remedy, word, fix)
        if "aiter-small-variant" not in seen and self._lacks_aiter(model[0]):
            yield self._finding(
                "aiter-small-variant",
                f"{model[0]} on AMD GPUs needs AITER's kernels switched off",
                "set SGLANG_USE_AITER=0",
                self._word_of("model_path"),
                None,
            )

    def _model(self) -> tuple[str, str] | None:
        """Variant and checkpoint of the model, None when it is no known Gemma 4."""
        from gemma4ctl.profiles import lookup

        named = str(self.parsed.values.get("model_path") or "")
        listed = lookup.checkpoint_by_id(_profiles(), named)
        if listed is not None:
            return listed.variant, listed.name
        tail = named.rstrip("/").rpartition("/")[2]
        if "gemma-4" not in tail.lower() or "assistant" in tail.lower():
            return None
        listed = lookup.checkpoint_by_id(_profiles(), f"google/{tail}")
        if listed is not None:
            return listed.variant, listed.name
        try:
            return lookup.variant_name(_profiles(), tail), "bf16"
        except Gemma4ctlError:
            return None

    def _verdicts(self, variant: str, checkpoint: str) -> Iterator[Verdict | Gemma4ctlError]:
        """What the rules make of the launch as written, and with its drafts as MTP."""
        from gemma4ctl.hardware.simulate import simulate
        from gemma4ctl.planning.engine import consider
        from gemma4ctl.planning.request import Request

        for mtp in (False, True) if self._drafts() else (False,):
            try:
                request = Request(
                    model=variant,
                    checkpoint=checkpoint,
                    tp=None if self.parsed.values.get("tp_size") else 1,
                    mtp=mtp,
                    modalities=self._modalities(),
                    mem_fraction="auto",
                    sglang_version=self.release,
                    reasoning=False,
                    tools=False,
                    extra_args=self._certain_words(),
                )
                inventory = simulate(self._platform(), self._gpus(), _profiles())
                yield consider(request, inventory, _profiles(), refuse=False)
            except Gemma4ctlError as error:
                yield error

    def _drafts(self) -> bool:
        """Whether the launch speculates with one of Gemma 4's own drafts."""
        algorithm = str(self.parsed.values.get("speculative_algorithm") or "").upper()
        draft = str(self.parsed.values.get("speculative_draft_model_path") or "")
        return algorithm in SPECULATIVE or (algorithm == "EAGLE3" and "assistant" in draft)

    def _certain_words(self) -> tuple[str, ...]:
        """The flags whose words are all known, as the user wrote them."""
        from gemma4ctl.flags.parse import split

        kept: list[str] = []
        position = 0
        entry: Any = "serve" if self.launch.entry == "serve" else "module"
        for group in split(self.launch.argv, self.table, entry):
            words = self.launch.words[position : position + len(group.words)]
            position += len(group.words)
            if group.dest not in (None, "model_path") and all(word.certain for word in words):
                kept += group.words
        return tuple(kept)

    def _modalities(self) -> Any:
        named = self.launch.directives.get("modality")
        return tuple(named.split(",")) if named else None

    @cached_property
    def hardware(self) -> str | None:
        """The platform that the user or the file names; a name in a file may be unknown to us."""
        from gemma4ctl.profiles import lookup

        if self.options.hardware:
            return lookup.platform_name(_profiles(), self.options.hardware)
        named = self.launch.directives.get("hardware")
        try:
            return lookup.platform_name(_profiles(), named) if named else None
        except Gemma4ctlError:
            return None

    def _platform(self) -> str:
        if self.hardware:
            return self.hardware
        if self.parsed.values.get("device") == "cpu":
            return "Xeon"
        return PLATFORM_OF_VENDOR[self.launch.vendor or "nvidia"]

    def _gpus(self) -> int:
        size = _profiles().platforms[self._platform()].node_size
        return self.gpus or (size if self.hardware else 16)

    @property
    def gpus(self) -> int | None:
        """How many GPUs the user or the file says there are, on all nodes together."""
        written = self.launch.directives.get("gpus", "")
        named = self.options.gpus or (int(written) if written.isdecimal() else 0)
        nodes = self.parsed.values.get("nnodes") if self._word_of("nnodes") else 1
        return named * nodes or None if isinstance(nodes, int) else None

    def _applies(self, code: str) -> bool:
        """Whether the finding can be made with what is known."""
        if code == "too-few-gpus" and self.gpus is not None:
            return True
        if code in HARDWARE_CODES and self.hardware is None:
            # A backend named in the file is wrong for images on any GPU.
            return (
                code == "images-causal" and self.parsed.values.get("attention_backend") is not None
            )
        if code in ABSENCE_CODES and self.open_ended:
            return False
        if code == "exposed-without-key":
            has_key = self._word_of("api_key", "config") is not None
            return self.launch.published is not False and not has_key
        return True

    def _needs_triton(self, verdict: Verdict | Gemma4ctlError) -> bool:
        """Whether the rules would add a backend for images that the command does not name."""
        if isinstance(verdict, Gemma4ctlError) or self.hardware is None or self.open_ended:
            return False
        s = verdict.situation
        backend = s.made.get("attention_backend")
        planned = backend is not None and backend.flag is not None
        return planned and s.images and s.variant.bidirectional_images

    def _open_to_audio(self, verdict: Verdict | Gemma4ctlError) -> bool:
        """Whether the rules would refuse audio and the command, as far as it is known, does not."""
        if isinstance(verdict, Gemma4ctlError) or self.open_ended:
            return False
        limit = verdict.situation.made.get("limit_mm_data_per_request")
        said = self._word_of("limit_mm_data_per_request", "config", "language_model_only")
        return limit is not None and limit.flag is not None and said is None

    def _lacks_aiter(self, variant: str) -> bool:
        """Whether AMD GPUs are certain and the variable that turns AITER off is not set."""
        platform = _profiles().platforms[self._platform()]
        small = _profiles().variants[variant].per_layer_input > 0
        if platform.vendor != "amd" or not small or self.open_ended:
            return False
        environment = self.launch.environment
        default = None if UNNAMED in environment else "1"
        return environment.get("SGLANG_USE_AITER", default) not in ("0", "false", None)

    def _of_rule(self, code: str, message: str, remedy: str | None) -> Finding:
        word = self._word_of(*DEST_OF.get(code, ("model_path",)))
        return self._finding(code, message, REMEDIES.get(code, remedy), word, None)

    def _word_of(self, *dests: str) -> Word | None:
        """The word that gives one of the arguments ``dests``."""
        for given in self.parsed.given:
            flag = self.table.match(given.written).flag
            if flag is not None and flag.dest in dests:
                return self._word(given.position)
        return None

    def _finding(
        self, code: str, message: str, remedy: str | None, word: Word | None, fix: Fix | None
    ) -> Finding:
        place: Place = word.place if word else self.launch.place
        level: Level = CODES[code].level
        width = word.end - word.start if word and word.start >= 0 else 0
        return Finding(
            code=code,
            level=level,
            path=self.launch.path,
            place=place,
            message=message,
            remedy=remedy,
            fix=fix,
            release=self.release,
            end_column=place.column + width if width else None,
        )
