"""Launching a fake server: readiness, exit statuses, signals, orphans, secrets."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from gemma4ctl.errors import PreflightError, UsageError
from gemma4ctl.launch.health import healthy
from gemma4ctl.launch.processes import descendants
from gemma4ctl.launch.supervise import StartFailedError, capacity_notice, serve
from tests.waiting import wait_until

SECRET = "s3cret/key with 'quotes'"
TOKEN = "hf_fakefakefakefakefakefake"


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.fixture
def left() -> Callable[[], dict[int, str]]:
    """The processes below this one, but for those that were there before the test."""
    before = frozenset(descendants(os.getpid()))
    return lambda: descendants(os.getpid(), without=before)


def test_sigterm_after_ready_drains_and_returns_143(fake, sink, send):
    sink.on_ready = lambda: send(signal.SIGTERM)
    outcome = serve(fake(predicted_full_layer_tokens=990), sink)
    assert (outcome.status, outcome.ending, outcome.signal) == (143, "stopped", signal.SIGTERM)
    assert outcome.seconds_to_ready is not None
    assert outcome.reported.full_layer_tokens == 1000
    assert outcome.reported.max_running_requests == 500
    assert "Gracefully exiting" in outcome.log_path.read_text()
    assert "1,000 tokens (planned 990)" in sink.text
    assert "/v1" in sink.text
    assert sink.closed


def test_a_capacity_that_was_not_planned_is_a_notice_with_both_figures(fake, sink, send):
    sink.on_ready = lambda: send(signal.SIGTERM)
    outcome = serve(fake(predicted_full_layer_tokens=2000), sink)
    (notice,) = outcome.notices
    assert notice in sink.events
    assert notice.code == "capacity_differs"
    assert "holds 1,000 tokens, 50% less than the planned 2,000" in notice.message
    assert "gemma4ctl detect" in notice.remedy


@pytest.mark.parametrize(
    ("actual", "planned", "told"),
    [
        (950, 1000, None),
        (1050, 1000, None),
        (949, 1000, "949 tokens, 5% less than the planned 1,000"),
        (1200, 1000, "1,200 tokens, 20% more than the planned 1,000"),
        (None, 1000, None),
        (1000, None, None),
    ],
)
def test_the_capacity_may_differ_by_a_twentieth(actual, planned, told):
    notice = capacity_notice(actual, planned)
    assert (notice is None) == (told is None)
    assert notice is None or told in notice.message


def test_a_taken_port_ends_the_start_although_the_server_hangs(fake, sink, left):
    with pytest.raises(StartFailedError) as caught:
        serve(fake("port-taken"), sink)
    assert caught.value.code == "port-in-use"
    assert "--port" in caught.value.remedies[0]
    assert not left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_other_stop_signals_drain_too(fake, sink, send, number):
    sink.on_ready = lambda: send(number)
    outcome = serve(fake("exit-zero"), sink)
    assert (outcome.status, outcome.ending) == (128 + number, "stopped")
    assert "SIGTERM received" in outcome.log_path.read_text()


def test_the_end_of_the_grace_period_is_137(fake, sink, send, left):
    sink.on_ready = lambda: send(signal.SIGTERM)
    outcome = serve(fake("ignore-sigterm", grace_s=0.2), sink)
    assert (outcome.status, outcome.ending) == (137, "grace-ended")
    assert not left()


def test_a_second_signal_ends_the_server_at_once(fake, sink, send):
    sink.on_ready = lambda: send(signal.SIGINT)
    sink.when("stopping on SIGINT", lambda: send(signal.SIGINT))
    outcome = serve(fake("ignore-sigterm"), sink)
    assert (outcome.status, outcome.ending) == (130, "stopped-twice")


def test_a_signal_before_ready_stops_the_start(fake, sink, send):
    sink.when("weights", lambda: send(signal.SIGTERM))
    outcome = serve(fake("hang"), sink)
    assert (outcome.status, outcome.seconds_to_ready) == (143, None)


def test_strays_that_left_the_group_and_ignore_sigterm_are_killed(fake, sink, send, left):
    def stop() -> None:
        wait_until(lambda: spec.log_path.read_text().count("stray ") == 2)
        send(signal.SIGTERM)

    spec = fake("strays")
    sink.on_ready = stop
    outcome = serve(spec, sink)
    lines = outcome.log_path.read_text().splitlines()
    strays = [int(line.split()[1]) for line in lines if line.startswith("stray ")]
    assert len(strays) == 2
    assert not any(alive(pid) for pid in strays)
    assert not left()
    assert outcome.status == 143


def test_a_server_that_ends_by_itself_gives_its_own_status(fake, sink):
    outcome = serve(fake("exit-later"), sink)
    assert (outcome.status, outcome.ending, outcome.diagnosis) == (0, "exited", None)


def test_a_crash_while_serving_is_diagnosed(fake, sink):
    outcome = serve(fake("crash-later"), sink)
    assert outcome.status == 3
    assert outcome.diagnosis is not None
    assert outcome.diagnosis.code == "out-of-memory-serving"
    assert [notice.code for notice in outcome.notices] == ["out_of_memory"]


def test_trouble_while_serving_is_named_once(fake, sink, send):
    spec = fake("retract")

    def stop() -> None:
        wait_until(lambda: spec.log_path.read_text().count("Retract requests") == 3)
        send(signal.SIGTERM)

    sink.on_ready = stop
    outcome = serve(spec, sink)
    assert [notice.code for notice in outcome.notices] == ["retraction"]
    assert sum(getattr(event, "code", "") == "retraction" for event in sink.events) == 1


@pytest.mark.parametrize(
    ("mode", "code"), [("usage", "unknown-flag"), ("out-of-memory", "out-of-memory-weights")]
)
def test_a_failed_start_is_exit_6_with_a_diagnosis(fake, sink, mode, code):
    with pytest.raises(StartFailedError) as caught:
        serve(fake(mode), sink)
    assert caught.value.exit_code == 6
    assert caught.value.code == code
    assert str(caught.value.outcome.log_path) in str(caught.value)
    assert caught.value.outcome.seconds_to_ready is None


def test_a_start_that_hangs_times_out_and_leaves_nothing(fake, sink, clock, left):
    sink.when("weights", clock.run_away)
    with pytest.raises(StartFailedError) as caught:
        serve(fake("hang"), sink)
    assert caught.value.code == "not-ready-in-time"
    assert "loading weights" in str(caught.value)
    assert not left()


def test_a_server_that_never_is_healthy_times_out(fake, sink, clock, monkeypatch):
    def asked(*given: object, **named: object) -> bool:
        clock.run_away()
        return healthy(*given, **named)

    monkeypatch.setattr("gemma4ctl.launch.health.healthy", asked)
    with pytest.raises(StartFailedError, match="/health does not answer") as caught:
        serve(fake("unhealthy"), sink)
    assert caught.value.code == "unhealthy"


def test_health_alone_counts_when_the_log_level_hides_the_ready_line(fake, sink, send):
    sink.on_ready = lambda: send(signal.SIGTERM)
    spec = fake("silent", extra=("--log-level", "error"))
    assert not spec.logs_readiness
    assert serve(spec, sink).status == 143


def test_secrets_reach_the_server_but_no_log_or_message(fake, sink, send, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    sink.on_ready = lambda: send(signal.SIGTERM)
    monkeypatch.setenv("FAKE_API_KEY", SECRET)
    spec = fake("print-secrets", api_key=SecretStr(SECRET))
    outcome = serve(spec, sink)
    text = outcome.log_path.read_text()
    assert "the key is *** and the token is ***" in text
    for hidden in (SECRET, TOKEN, "shown-by-repr"):
        assert hidden not in text + sink.text + repr(spec) + repr(outcome)


def test_the_log_is_private_and_grows(fake, sink, tmp_path):
    path = tmp_path / "new folder" / "a.log"
    for _ in range(2):
        serve(fake("exit-later", log_path=path), sink)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().count("fired up") == 2


def test_without_a_log_path_each_launch_has_a_new_file(fake, sink, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("gemma4ctl.launch.logfile.time.strftime", lambda _: "20261122-030000")
    outcomes = [serve(fake("exit-later", log_path=None), sink) for _ in range(2)]
    paths = {outcome.log_path for outcome in outcomes}
    assert len(paths) == 2
    assert all(path.parent == tmp_path / "gemma4ctl" / "logs" for path in paths)


def test_a_command_that_does_not_exist_is_a_preflight_error(fake, sink):
    spec = fake().model_copy(update={"argv": ("/no/such/sglang", "serve")})
    with pytest.raises(PreflightError, match="cannot execute"):
        serve(spec, sink)


def test_an_unwritable_log_is_a_usage_error(fake, sink, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write the server log"):
        serve(fake(log_path=tmp_path / "file" / "a.log"), sink)


def test_signal_handlers_are_restored(fake, sink):
    before = signal.getsignal(signal.SIGTERM)
    serve(fake("exit-later"), sink)
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_error_in_the_supervisor_leaves_no_process(fake, sink, left):
    def broken(message: str) -> None:
        raise RuntimeError("a bug")

    sink.say = broken
    with pytest.raises(RuntimeError, match="a bug"):
        serve(fake(), sink)
    assert not left()


def test_the_server_drains_when_the_supervisor_is_killed(fake, tmp_path):
    spec = fake()
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    code = """
        import sys
        from gemma4ctl.launch.spec import LaunchSpec
        from gemma4ctl.launch.status import PlainStatus
        from gemma4ctl.launch.supervise import serve
        spec = LaunchSpec.model_validate_json(open(sys.argv[1]).read())
        serve(spec, PlainStatus(sys.stderr))
    """
    supervisor = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "spec.json")],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert supervisor.stderr is not None
    line = ""
    while not line.startswith("ready after"):
        line = supervisor.stderr.readline()
        assert line, "the supervisor ended early"
    servers = list(descendants(supervisor.pid))
    assert servers
    supervisor.kill()
    supervisor.wait()
    wait_until(lambda: not any(alive(pid) for pid in servers))
    supervisor.stderr.close()


# Containers: a fake docker client that runs the fake server and keeps a container's name in a file.

DOCKER = """\
#!/bin/sh
case "$1" in
  run) touch "$STATE/$3"; shift 3; exec "$@" ;;
  rm) echo "removed $3" >> "$STATE/calls"; rm -f "$STATE/$3" ;;
  container) test -e "$STATE/$5" ;;
esac
"""


@pytest.fixture
def in_container(fake, tmp_path, monkeypatch):
    client = tmp_path / "bin" / "docker"
    client.parent.mkdir()
    client.write_text(DOCKER)
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{client.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("STATE", str(tmp_path))

    def build(*modes, **fields):
        spec = fake(*modes, container_name="gemma4", **fields)
        argv = (str(client), "run", "--name", "gemma4", *spec.argv)
        return spec.model_copy(update={"argv": argv})

    return build


def test_a_container_is_stopped_by_signal_and_removed_by_name(in_container, sink, send, tmp_path):
    sink.on_ready = lambda: send(signal.SIGTERM)
    assert serve(in_container("exit-zero"), sink).status == 143
    assert (tmp_path / "calls").read_text() == "removed gemma4\n"
    assert not (tmp_path / "gemma4").exists()


def test_a_container_of_somebody_else_is_left_alone(in_container, sink, tmp_path):
    (tmp_path / "gemma4").touch()
    with pytest.raises(PreflightError, match="a container called gemma4 exists already"):
        serve(in_container(), sink)
    assert not (tmp_path / "calls").exists()


def test_processes_that_cannot_be_killed_are_named(fake, sink, monkeypatch):
    monkeypatch.setattr("gemma4ctl.launch.supervise.end_descendants", lambda **_: (11, 12))
    serve(fake("exit-later"), sink)
    assert "these processes of the server could not be killed: 11, 12" in sink.text
