"""The trials of a search, kept by optuna in a journal file that survives any end of the process.

A folder holds one study: ``question.json`` (what is searched), ``journal.log`` (optuna's), and
plans and logs of every trial. A line that a kill cut short is dropped when the study is opened, and
a trial that a kill interrupted is marked as failed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from gemma4ctl.errors import UsageError
from gemma4ctl.extras import require
from gemma4ctl.model import Model
from gemma4ctl.tuning.space import Dimension

if TYPE_CHECKING:
    from optuna.study import Study as OptunaStudy
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial as OptunaTrial

State = Literal["measured", "failed", "infeasible", "interrupted"]
QUESTION = "question.json"
JOURNAL = "journal.log"
NAME = "tune"
_RESULT = "result"  # the attribute of an optuna trial that holds ours


class Trial(Model):
    """One trial. ``figures`` are of the repeated measurements on one server, in order.

    ``repeat``: a point that was measured before, tried again for the verdict. ``code``, ``reason``
    and ``remedy`` say why nothing was measured. ``start_s`` is how long the server took to become
    ready, ``seconds`` how long the whole trial took.
    """

    number: int
    point: dict[str, str]
    state: State
    figures: tuple[float, ...] = ()
    repeat: bool = False
    start_s: float | None = None
    seconds: float = 0.0
    code: str | None = None
    reason: str | None = None
    remedy: str | None = None
    measurements: tuple[dict[str, Any], ...] = ()
    reported: dict[str, Any] = {}
    log: str | None = None


class Asked(NamedTuple):
    """A trial that has begun: optuna's handle of it, its number and its point."""

    handle: OptunaTrial
    number: int
    point: dict[str, str]


class _Locked:
    """A lock for optuna's journal that is held anyway: see :mod:`gemma4ctl.tuning.lock`."""

    def acquire(self) -> bool:
        """Nothing to wait for."""
        return True

    def release(self) -> None:
        """Nothing to let go of, and nothing that a kill could leave behind."""


class Study:
    """The study in ``folder``; made there where it has none yet."""

    def __init__(self, folder: Path, dimensions: Sequence[Dimension], *, higher: bool) -> None:
        optuna = require("optuna", "tune", "a measured search")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.folder = folder
        self._distributions = {
            dimension.name: optuna.distributions.CategoricalDistribution(dimension.choices)
            for dimension in dimensions
        }
        _drop_cut_line(folder / JOURNAL)
        journal = str(folder / JOURNAL)
        backend = optuna.storages.journal.JournalFileBackend(journal, lock_obj=_Locked())
        storage = optuna.storages.JournalStorage(backend)
        self._study: OptunaStudy = optuna.create_study(
            storage=storage,
            study_name=NAME,
            load_if_exists=True,
            direction="maximize" if higher else "minimize",
        )
        self._failed = optuna.trial.TrialState.FAIL
        self._running = optuna.trial.TrialState.RUNNING
        self._end_interrupted()

    @property
    def trials(self) -> list[Trial]:
        """Every trial that is over, in order."""
        frozen = self._study.get_trials(deepcopy=False)
        return [_trial(each) for each in frozen if each.state.is_finished()]

    def begin(self, point: dict[str, str] | None, *, learned: bool = True) -> Asked:
        """Begin a trial of ``point``; None: of one that a sampler proposes.

        Args:
            point: what to try.
            learned: let the figures so far decide what is proposed; False: chance alone.
        """
        if point is not None:
            self._study.enqueue_trial(point)
        else:  # a seed of its own, so that a resumed search does not propose the same again
            seed = len(self._study.get_trials(deepcopy=False))
            samplers = require("optuna.samplers", "tune", "a measured search")
            tpe = samplers.TPESampler(n_startup_trials=1, seed=seed)
            self._study.sampler = tpe if learned else samplers.RandomSampler(seed=seed)
        asked = self._study.ask(fixed_distributions=self._distributions)
        return Asked(asked, asked.number, dict(asked.params))

    def end(self, asked: Asked, trial: Trial, value: float | None) -> None:
        """Record ``trial``; ``value`` is its figure, None where it has none."""
        asked.handle.set_user_attr(_RESULT, trial.model_dump(mode="json"))
        if value is None:
            self._study.tell(asked.handle, state=self._failed)
        else:
            self._study.tell(asked.handle, value)

    def _end_interrupted(self) -> None:
        """Mark what an earlier process left unfinished."""
        for frozen in self._study.get_trials(deepcopy=False, states=(self._running,)):
            self._study.tell(frozen.number, state=self._failed)


def _trial(frozen: FrozenTrial) -> Trial:
    """Our record of a finished optuna trial; one without a record was interrupted."""
    kept = frozen.user_attrs.get(_RESULT)
    if kept is None:
        point = {name: str(value) for name, value in frozen.params.items()}
        stopped = "the search was stopped here"
        return Trial(number=frozen.number, point=point, state="interrupted", reason=stopped)
    lists = {name: tuple(kept[name]) for name in ("figures", "measurements")}
    return Trial(**{**kept, **lists})


def _drop_cut_line(journal: Path) -> None:
    """Take away the end of a line that was never written to its end."""
    if not journal.is_file():
        return
    data = journal.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        os.truncate(journal, whole)


def new_folder(root: Path, name: str, question: dict[str, Any]) -> Path:
    """A folder for a new study of ``question`` under ``root``, named by ``name`` and the time."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    stamp = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    for number in range(1, 1000):
        folder = root / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            continue
        (folder / QUESTION).write_text(json.dumps(question, indent=2) + "\n", encoding="utf-8")
        return folder
    raise FileExistsError(root / stamp)


def latest_folder(root: Path, question: dict[str, Any]) -> Path:
    """The folder of the newest study of ``question`` under ``root``.

    Raises:
        UsageError: there is none.
    """
    found = [path.parent for path in root.glob(f"*/{QUESTION}") if _holds(path, question)]
    if not found:
        raise UsageError(
            "there is no search to resume for this plan, load and metric",
            needed="the options of the search that was interrupted",
            found=f"{len(list(root.glob(f'*/{QUESTION}')))} other searches in {root}",
            remedies=["leave --resume out to begin a new search"],
            code="nothing-to-resume",
        )
    return max(found, key=lambda folder: (folder / QUESTION).stat().st_mtime)


def _holds(path: Path, question: dict[str, Any]) -> bool:
    try:
        kept = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return False
    return bool(kept == json.loads(json.dumps(question)))
