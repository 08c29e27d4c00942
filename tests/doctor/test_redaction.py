from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from gemma4ctl.doctor.identity import Identity, is_secret, read_identity
from gemma4ctl.doctor.redaction import redacted
from gemma4ctl.hardware.access import Access
from gemma4ctl.secrets import config_path, write_config
from tests.effort import linear

UUID = "4f1b7c0a-9d52-4e6b-8a13-2c5d6e7f8091"
PLACEHOLDER = "00000000-0000-0000-0000-000000000001"
ME = Identity(
    secrets=("s3cr3t-of-mine", "k3yy"),
    hosts=("atlas", "atlas.corp.example.org"),
    domains=("corp.example.org",),
    users=("bobby", "root"),
    homes=("/data/people/bobby", "/"),
)


def once(text: str, identity: Identity = ME) -> str:
    return str(redacted(text, identity))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("token hf_AbCdEfGhIjKlMnOpQr.", "token ***."),
        ("sk-proj-abc123DEF456", "***"),
        ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
        ("api_key='it\\'s mine', x=1", "api_key=***, x=1"),
        ("ServerArgs(api_key=None, port=1)", "ServerArgs(api_key=None, port=1)"),
        ("sglang serve --api-key abcdef --port 1", "sglang serve --api-key *** --port 1"),
        ('{"api_key": "abcdef"}', '{"api_key": ***}'),
        ("HF_TOKEN=abcdef x", "HF_TOKEN=*** x"),
        ("#new-token: 128, token usage: 0.03", "#new-token: 128, token usage: 0.03"),
        ("max_total_num_tokens=4096", "max_total_num_tokens=4096"),
        ("http://bobo:geheim@proxy:3128", "http://***@proxy:3128"),
        ("s3cr3t-of-mine/xs3cr3t-of-mine", "***/x***"),
        ("k3yy k3yyx", "*** k3yyx"),
        ("atlas, Atlas.corp.example.org, atlas-eth0, atlases", "HOST, HOST, HOST-eth0, atlases"),
        ("atlas.elsewhere.example.net, atlas.log", "HOST, HOST.log"),
        ("db.corp.example.org", "db.DOMAIN"),
        ("bobby's bobbysox", "USER's bobbysox"),
        ("root", "root"),
        ("someone@mail.example.org", "USER@DOMAIN"),
        ("/home/alice/x /Users/Al/y /root/z", "~/x ~/y ~/z"),
        ("/mnt/home/alice", "/mnt~"),
        ("/data/people/bobby/m /data/people/bobby2", "~/m /data/people/bobby2"),
        ("/opt/root/x /rootfs", "/opt/root/x /rootfs"),
        (f"GPU-{UUID}", f"GPU-{PLACEHOLDER}"),
        (f"MIG-GPU-{UUID}/1/0", f"MIG-GPU-{PLACEHOLDER}/1/0"),
        (f"{UUID.upper()} and {UUID}", f"{PLACEHOLDER} and {PLACEHOLDER}"),
        (f"pod{UUID.replace('-', '_')}", f"pod{PLACEHOLDER.replace('-', '_')}"),
        (f"GPU-{UUID},GPU-4f1b", f"GPU-{PLACEHOLDER},GPU-{PLACEHOLDER}"),
        ("GPU-beef12", f"GPU-{PLACEHOLDER}"),
        ("GPU-based GPU-0 MIG-1g.10gb", "GPU-based GPU-0 MIG-1g.10gb"),
        ("GPU-0cee36ddc4255115", "GPU-0000000000000001"),
        ("0x0CEE36DDC4255115", "0x0000000000000001"),
        ("0x0000000000000004", "0x0000000000000004"),
        ("GPU-0cee36ddc4255115 unique_id 931742499018723605", "GPU-0000000000000001 unique_id 1"),
        ("<serial>1654922005432</serial>", "<serial>1</serial>"),
        ("<serial>N/A</serial>", "<serial>N/A</serial>"),
        ('"product_serial": "PCB-0012"', '"product_serial": "SERIAL-1"'),
        ('"asic_serial": "0xCEE36DDC425511"', '"asic_serial": "0x00000000000001"'),
        ("serial: cee36ddc42551155", "serial: 0000000000000001"),
        (f"gpu_guid={UUID}", f"gpu_guid={PLACEHOLDER}"),
        ("serializing 12 layers", "serializing 12 layers"),
        ("0" * 31 + "f", "0" * 31 + "1"),
        (f"/docker/{'ab' * 32}", f"/docker/{1:064x}"),
        (f"sha256:{'ab' * 32}", f"sha256:{'ab' * 32}"),
        ("10.1.2.3:80 10.1.2.4", "192.0.2.1:80 192.0.2.2"),
        ("127.0.0.1 0.0.0.0 580.159.04", "127.0.0.1 0.0.0.0 580.159.04"),
        ("[::1]:30000 [fe80::12]:80", "[::1]:30000 [2001:db8::1]:80"),
        ("at 12:34:56 PCI:0000:0a:00", "at 12:34:56 PCI:0000:0a:00"),
        ("mac:AA:bb:cc:dd:ee:0f", "m02:00:00:00:00:01"),
        ("0000:26:00.0", "0000:26:00.0"),
        ("\x1b[31mhf_\x1b[0mAbCdEfGhIjKlMnOpQr", "***"),
    ],
)
def test_forms(text: str, expected: str) -> None:
    assert once(text) == expected


def test_same_identifier_same_placeholder_everywhere() -> None:
    other = UUID.replace("4f1b", "5f1b")
    document = {
        f"GPU-{other}": [UUID, 7, None, {"uuid": f"GPU-{other}"}],
        "/home/ann": 1,
        "/home/ben": 2,
    }
    assert redacted(document, Identity()) == {
        f"GPU-{PLACEHOLDER}": [
            PLACEHOLDER.replace("0001", "0002"),
            7,
            None,
            {"uuid": f"GPU-{PLACEHOLDER}"},
        ],
        "~": 1,
        "~ (2)": 2,
    }


def test_redacting_twice_changes_nothing() -> None:
    text = (
        f"GPU-{UUID} 10.0.0.1 fe80::2 aa:bb:cc:dd:ee:ff 0x0CEE36DDC4255115 /home/x serial: A12345"
    )
    assert once(once(text)) == once(text)


def test_many_addresses_stay_distinct() -> None:
    text = " ".join(f"10.0.{n // 200}.{n % 200 + 1}" for n in range(600))
    assert len(set(once(text).split())) == 600


def test_structure_is_left_alone() -> None:
    found = redacted({"atlas": "atlas", "x": "on atlas"}, ME, structure={"atlas"})
    assert found == {"atlas": "atlas", "x": "on atlas"}
    assert redacted({"bobby": "bobby x"}, ME, structure={"other"}) == {"USER": "USER x"}


def test_evidence_gives_away_keys() -> None:
    line = "server_args=ServerArgs(api_key='open\\'sesame', admin_api_key=\"bad\\escape\\x\")"
    found = redacted("it was open'sesame or bad\\escape\\x", Identity(), (), [line])
    assert found == "it was *** or ***"
    assert redacted("qwertz1 here", Identity(), (), ["--api-key qwertz1"]) == "*** here"


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("HF_TOKEN", True),
        ("HF_TOKEN_PATH", True),
        ("OPENAI_API_KEY", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("db_password", True),
        ("TOKENIZERS_PARALLELISM", False),
        ("CUDA_VISIBLE_DEVICES", False),
        ("KEYBOARD", False),
    ],
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert is_secret(name) is secret


def test_identity_reads_secrets_kept_in_files(tmp_path: Path, machine: dict[str, str]) -> None:
    home = Path(machine["HOME"])
    (home / ".cache/huggingface").mkdir(parents=True)
    (home / ".cache/huggingface/token").write_text("token-in-a-file")
    write_config(config_path(machine, 30000), SecretStr("kept-key"))
    (home / "key").write_text("key-of-the-file\n")
    environment = {**machine, "GEMMA4CTL_API_KEY_FILE": str(home / "key"), "X_TOKEN": "in-env"}
    found = read_identity(environment, Access(root=tmp_path))
    assert {"token-in-a-file", "kept-key", "key-of-the-file", "in-env"} <= set(found.secrets)
    assert found.homes[0] == str(home)
    broken = {**environment, "GEMMA4CTL_API_KEY_FILE": "\0", "HF_TOKEN_PATH": "~nobody-x/t"}
    assert "key-of-the-file" not in read_identity(broken, Access(root=tmp_path)).secrets


def test_identity_of_an_account_without_a_name(
    machine: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unknown() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", unknown)
    assert read_identity({"HOME": "/w"}, Access(root=tmp_path)).users[0] == "w"


# Properties: whatever stands around them, secrets and identifiers do not stay.

SURROUNDINGS = st.text(st.characters(codec="utf-8"), max_size=20) | st.sampled_from(
    ["\n", '"', "'", "=", ": ", "GPU-", "/", "{", "x", "0", "-", "<serial>", "api_key="]
)
WORDS = st.from_regex(r"[a-z]{3}[a-z0-9]{5,20}q", fullmatch=True).map("zq".__add__)
HEX = "0123456789abcdef"


def texts(value: Any) -> list[str]:
    """Every key and text of a document."""
    if isinstance(value, dict):
        return [*value, *(text for item in value.values() for text in texts(item))]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [value] if isinstance(value, str) else []


def embedded(draw: st.DrawFn, secret: str) -> dict[str, Any]:
    """``secret`` in a value, a list and a key."""
    before, after = draw(SURROUNDINGS), draw(SURROUNDINGS)
    text = f"{before}{secret}{after}"
    return {"recorded": {"commands": {text: [text, {"stdout": text}]}}, "log": text}


@st.composite
def tokens(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    tail = draw(st.text(st.sampled_from("ABCDEFGHKLMabcdefgh23456789"), min_size=20, max_size=40))
    secret = draw(st.sampled_from(["hf_", "sk-", "ghp_"])) + tail
    return secret, embedded(draw, secret)


@given(tokens())
@settings(max_examples=150, deadline=None)
def test_tokens_never_stay(case: tuple[str, dict[str, Any]]) -> None:
    secret, document = case
    assert not [text for text in texts(redacted(document, Identity())) if secret in text]


@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=8), st.data())
@settings(max_examples=150, deadline=None)
def test_known_secrets_never_stay(secret: str, data: st.DataObject) -> None:
    document = embedded(data.draw, secret)
    found = redacted(document, Identity(secrets=(secret,)))
    assert not [text for text in texts(found) if secret in text] or set(secret) == {"*"}


@given(st.text(st.sampled_from(HEX), min_size=32, max_size=32), st.data())
@settings(max_examples=150, deadline=None)
def test_uuids_never_stay(digits: str, data: st.DataObject) -> None:
    digits = "f" + digits[1:]
    uuid = re.sub(r"^(.{8})(.{4})(.{4})(.{4})(.{12})$", r"\1-\2-\3-\4-\5", digits)
    document = embedded(data.draw, uuid)
    assert uuid not in json.dumps(redacted(document, Identity()))


@given(WORDS, WORDS, WORDS, st.data())
@settings(max_examples=150, deadline=None)
def test_names_never_stay_as_words(host: str, user: str, domain: str, data: st.DataObject) -> None:
    identity = Identity(
        hosts=(host, f"{host}.{domain}.test"),
        domains=(f"{domain}.test",),
        users=(user,),
        homes=(f"/srv/{user}",),
    )
    text = f"{host}.{domain}.test /srv/{user}/x {user} {host} other.{domain}.test"
    found = json.dumps(redacted(embedded(data.draw, f" {text} "), identity))
    for name in (host, user, domain):
        assert not re.search(rf"(?<![A-Za-z0-9]){name}(?![A-Za-z0-9])", found)


@given(st.ip_addresses(), st.sampled_from([" ", "\n", "=", "(", '"']))
@settings(max_examples=150, deadline=None)
def test_addresses_never_stay(address: Any, around: str) -> None:
    kept = address.is_loopback or address.is_unspecified
    placeholder = "192.0.2.1" if address.version == 4 else "2001:db8::1"
    expected = str(address) if kept else placeholder
    assert once(f"x{around}{address}{around}y", Identity()) == f"x{around}{expected}{around}y"


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_can_be_redacted_and_printed(text: str) -> None:
    once(text).encode("utf-8")


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "ab:",
        "1.",
        " ",
        "/home/",
        "eyJ",
        "a@",
        "sk-",
        "://",
        "GPU-",
        "serial",
        "api_key ",
        "\\",
    ],
)
def test_hostile_text_takes_no_longer(piece: str) -> None:
    """The time grows with the length of a text, not faster."""
    assert linear(lambda length: once(piece * (length // len(piece))), 65_536)
