"""Addresses of endpoints, and their keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemma4ctl.endpoint.address import Endpoint, endpoint
from gemma4ctl.errors import UsageError


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("127.0.0.1:30000/v1/", "http://127.0.0.1:30000"),
        ("http://[::1]:3", "http://[::1]:3"),
        ("https://gpu.example/gemma/v1", "https://gpu.example/gemma"),
        ("http://gpu.example/", "http://gpu.example"),
    ],
)
def test_the_base_is_without_what_the_api_adds(given: str, base: str) -> None:
    found = endpoint(given, None, {})
    assert found.url == base
    assert found.openai_url == f"{base}/v1"


def test_the_flag_wins_over_the_environment_and_that_over_the_default() -> None:
    environment = {"GEMMA4CTL_URL": "http://b:2"}
    assert endpoint("http://a:1", None, environment).url == "http://a:1"
    assert endpoint(None, None, environment).url == "http://b:2"
    assert endpoint(None, None, {}).url == "http://127.0.0.1:30000"


@pytest.mark.parametrize(
    "url",
    ["http://h:99999", "http://h:0", "ftp://h", "http://h?x=1", "http://", "http://[::1", "ü"],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no URL of an endpoint"):
        endpoint(url, None, {})


def test_a_password_in_the_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as raised:
        endpoint("http://me:hunter22@h?x", None, {})
    assert "hunter22" not in str(raised.value)


def test_the_key_comes_from_a_file_or_the_environment_and_is_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from-file\n")
    environment = {"GEMMA4CTL_API_KEY": "from-environment"}
    assert endpoint(None, file, environment).headers == {"Authorization": "Bearer from-file"}
    assert endpoint(None, None, environment).api_key == "from-environment"
    assert endpoint(None, None, {}).headers == {}
    assert "from-file" not in repr(endpoint(None, file, environment))


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:1", True),
        ("http://localhost", True),
        ("http://[::1]:1", True),
        ("http://10.0.0.1", False),
        ("http://gpu.example", False),
    ],
)
def test_the_loopback_is_local(url: str, local: bool) -> None:
    assert Endpoint(url).is_local is local
