"""One invocation of a search: its question, its folder, what it found, and keeping the winner."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import SecretStr

from gemma4ctl import folders
from gemma4ctl.bench.workload import Workload
from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.errors import UsageError
from gemma4ctl.extras import require
from gemma4ctl.hardware.inventory import Inventory
from gemma4ctl.launch.spec import LaunchSpec
from gemma4ctl.planning.plan import Plan
from gemma4ctl.planning.request import Request
from gemma4ctl.profiles.table import Profiles
from gemma4ctl.rendering.command import environment
from gemma4ctl.rendering.command import words as flag_words
from gemma4ctl.tuning import cell, report, userfile
from gemma4ctl.tuning.judge import Judge
from gemma4ctl.tuning.lock import held
from gemma4ctl.tuning.metrics import Metric
from gemma4ctl.tuning.search import Found, Search
from gemma4ctl.tuning.server import How
from gemma4ctl.tuning.space import settings, space, words
from gemma4ctl.tuning.study import Study, latest_folder, new_folder
from gemma4ctl.tuning.trial import Bench

FOLDER = "tune"  # in the folder of our state
RESULT = "result.json"
FORMAT = 1  # of what is kept of a search: one in another format is not resumed
NEEDED = ("optuna", "aiohttp", "ruamel.yaml")  # to search, to measure, to keep the winner
OF_A_LAUNCH = "api_key_config"  # a decision that is another one in each invocation


class Question(NamedTuple):
    """What is searched: around which plan, for which load and figure."""

    request: Request
    inventory: Inventory
    profiles: Profiles
    load: Workload
    metric: Metric
    repeats: int  # measurements on each server


class Access(NamedTuple):
    """How trials are served: options and environment of ``serve``, and the API key."""

    options: tuple[str, ...]
    environment: Mapping[str, str]
    api_key: SecretStr | None


class Session:
    """One search.

    Raises:
        NoPlanError, UsageError: there is no plan to search around, or it does not allow the load.
    """

    def __init__(self, question: Question, access: Access) -> None:
        self._question, self._access = question, access
        load, metric = question.load, question.metric
        self._judge = Judge(question.request, question.inventory, question.profiles, load)
        self._situation = self._judge.situation
        _check_context(self._situation.context, load)
        self._dimensions = space(self._situation, load, metric.name, self._judge.room)
        self._progress = report.Progress(metric)
        self._seconds = 0.0

    def search(self, seconds: float, *, resume: bool) -> None:
        """Search for ``seconds``, in a new folder or in that of the search to resume.

        Raises:
            ServerFailedError: the plan itself cannot be measured.
            PreflightError: another search runs on the port.
            UsageError: there is nothing to resume, or a package is not installed.
        """
        for module in NEEDED:
            require(module, "tune", "a measured search")
        began = time.monotonic()
        plan = self._judge.baseline
        root = folders.state(os.environ) / FOLDER
        with held(root / f"port-{plan.value('port')}.lock", self._progress.says) as lock:
            self._folder = self._open(root, resume=resume)
            self._progress.says(f"trials and logs: {self._folder}")
            self._found = self._search(lock, seconds)
        self._seconds = time.monotonic() - began
        text = json.dumps(self.document(None), indent=2) + "\n"
        (self._folder / RESULT).write_text(text, encoding="utf-8")

    def keep(self, table: Path) -> Path | None:
        """Write the winner, if there is one, into the user's profile table; it, where it was.

        Raises:
            UsageError: it cannot be written.
        """
        verdict, profiles = self._found.verdict, self._question.profiles
        if verdict is None or not verdict.better:
            return None
        obstacle = cell.unwritable(self._judge.baseline, profiles)
        if obstacle is not None:
            self._progress.says(f"the winner is not written: {obstacle}")
            return None
        winner = cell.Winner(
            plan=self._judge.baseline,
            settings=settings(self._found.best, self._dimensions),
            load=self._question.load,
            metric=self._question.metric,
            verdict=verdict,
            results=self._folder / RESULT,
            date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        row, key = cell.cell(winner, profiles), cell.source_name(winner)
        backup = userfile.add(table, row, key, cell.source(winner))
        if backup is not None:
            self._progress.says(f"the table as it was before: {backup}")
        return table

    def document(self, table: Path | None) -> dict[str, Any]:
        """The result as a JSON-ready object; ``table`` is where the winner was written."""
        return report.document(
            baseline=self._judge.baseline,
            winner=self._winner(),
            dimensions=self._dimensions,
            load=self._question.load,
            metric=self._question.metric,
            found=self._found,
            folder=self._folder,
            seconds=self._seconds,
            table=table,
        ).model_dump(mode="json")

    def text(self, table: Path | None) -> str:
        """The result for the reader; ``table`` is where the winner was written."""
        return report.text(
            load=self._question.load,
            metric=self._question.metric,
            found=self._found,
            folder=self._folder,
            profile=table,
        )

    def _open(self, root: Path, *, resume: bool) -> Path:
        """The folder of the search."""
        plan, question = self._judge.baseline, self._question
        made = (d for d in plan.decisions if d.name != OF_A_LAUNCH)
        key = {
            "format": FORMAT,
            "argv": [*(word for decision in made for word in flag_words(decision))],
            "own": list(plan.extra_args),
            "env": environment(plan),
            "release": plan.release,
            "hardware": [plan.hardware.platform, [unit.id for unit in plan.hardware.units]],
            "load": question.load.model_dump(mode="json"),
            "metric": question.metric.name,
            "repeats": question.repeats,
            "space": {dimension.name: dimension.choices for dimension in self._dimensions},
        }
        if resume:
            return latest_folder(root, key)
        return new_folder(root, f"{plan.variant.name}-{question.metric.name}", key)

    def _search(self, lock: int, seconds: float) -> Found:
        question, plan, access = self._question, self._judge.baseline, self._access
        spec = LaunchSpec(argv=(), host=str(plan.value("host")), port=int(str(plan.value("port"))))
        key = access.api_key.get_secret_value() if access.api_key else None
        search = Search(
            study=Study(self._folder, self._dimensions, higher=question.metric.higher),
            dimensions=self._dimensions,
            plan_of=self._plan_of,
            runs=Bench(
                folder=self._folder,
                load=question.load,
                metric=question.metric,
                repeats=question.repeats,
                how=How(access.options, access.environment, keep_open=(lock,)),
                endpoint=Endpoint(spec.url, key),
            ),
            metric=question.metric,
            reporter=self._progress,
            seconds=seconds,
        )
        return search.run()

    def _plan_of(self, point: dict[str, str]) -> Plan:
        return self._judge.plan(words(point, self._dimensions, self._situation.flags))

    def _winner(self) -> Plan:
        """The plan to use from now on."""
        verdict = self._found.verdict
        better = verdict is not None and verdict.better
        return self._plan_of(self._found.best) if better else self._judge.baseline


def _check_context(context: int, load: Workload) -> None:
    """Refuse a load whose requests the planned context does not allow."""
    length = load.input_tokens + load.output_tokens
    if length > context:
        raise UsageError(
            f"a request of {length:,} tokens does not fit in the context",
            needed=f"--context-length {length} or more, or shorter prompts and answers",
            found=f"a context of {context:,} tokens",
            code="context-too-short",
        )
