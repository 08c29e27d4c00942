"""The line that repeats a request works in a real shell."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from gemma4ctl.endpoint.address import Endpoint
from gemma4ctl.verify.checks import media
from gemma4ctl.verify.curl import curl_line, get_line
from gemma4ctl.verify.media import image_part, text_part
from gemma4ctl.verify.session import question
from tests.verify.server import Sglang, serving

KEY = "s3cret-key"
SHORT = {"model": "m", **question('it\'s $HOME, `id` and \\ "so" on\nünd', 8)}
LONG = {"model": "m", **question([image_part("red"), text_part(media.ONE)], 8)}


def shell(line: str) -> str:
    environment = {**os.environ, "GEMMA4CTL_API_KEY": KEY, "no_proxy": "*"}
    return subprocess.run(
        ["sh", "-c", line], env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("body", [SHORT, LONG], ids=["short", "long"])
def test_the_line_sends_the_same_request(body: dict[str, object], tmp_path: Path) -> None:
    sglang = Sglang(key=KEY)
    with serving(sglang) as url:
        line = curl_line(Endpoint(url, KEY), body, "image", tmp_path / "new")
        answer = json.loads(shell(line))
    assert sglang.requests == [body]
    assert answer["object"] == "chat.completion"
    assert KEY not in line
    assert "\n" not in line.replace(json.dumps(body, ensure_ascii=False), "")


def test_a_long_body_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    line = curl_line(Endpoint("http://h:1"), LONG, "image", tmp_path)
    file = tmp_path / "image.json"
    assert line.endswith(f" -d @{file}")
    assert json.loads(file.read_text()) == LONG
    assert file.stat().st_mode & 0o777 == 0o600


def test_where_no_file_can_be_kept_media_are_shortened(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, no folder")
    line = curl_line(Endpoint("http://h:1"), LONG, "image", tmp_path / "taken")
    assert "data:image/png;base64,iVBOR" in line
    assert len(line) < 600


def test_a_stream_is_shown_as_it_comes(tmp_path: Path) -> None:
    line = curl_line(Endpoint("http://h:1"), {**SHORT, "stream": True}, "chat", tmp_path)
    assert line.startswith("curl -sS -N http://h:1/v1/chat/completions -H 'Content-Type")


def test_a_page_is_asked_for_with_its_status() -> None:
    with serving(Sglang(key=KEY)) as url:
        assert "HTTP/1.1 200" in shell(get_line(Endpoint(url, KEY), "/v1/models"))
    assert get_line(Endpoint("http://h:1"), "/health") == "curl -sS -i http://h:1/health"
