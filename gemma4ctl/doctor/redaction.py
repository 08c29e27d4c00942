"""Redaction of a whole report: run once over the finished document, so nothing slips past.

Secrets become ``***``. Identifiers become placeholders of the same form, the same one wherever the
identifier stands, so that a redacted report still works as a hardware file and as a test fixture:
the first GPU is ``GPU-00000000-0000-0000-0000-000000000001`` in the inventory, in the output of
every tool and in ``CUDA_VISIBLE_DEVICES``.
"""

from __future__ import annotations

import ast
import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from gemma4ctl.doctor.identity import Identity
from gemma4ctl.launch.redact import MASK, Redactor, plain

HOME, HOST, DOMAIN, USER = "~", "HOST", "DOMAIN", "USER"

# Names that so many machines have that they tell nothing, and that tools print everywhere.
COMMON_NAMES = frozenset(
    (
        *("admin", "amd", "centos", "debian", "docker", "ec2-user", "fedora", "gemma4ctl", "gpu"),
        *("host", "kubernetes", "linux", "localhost", "nobody", "nvidia", "python", "rocky"),
        *("root", "runner", "sglang", "sudo", "ubuntu", "user"),
    )
)
_PLAIN_VALUES = frozenset(
    ("true", "false", "none", "null", "auto", "empty", "enabled", "disabled", "default")
)
_WHOLE_SECRET = 8  # characters; a shorter secret is replaced where it is a word of its own
_SHORTEST_SECRET = 4
_LARGEST_BITMASK = 1 << 32  # 16 hex digits below this are flags, not an identifier

_TOKENS = re.compile(
    r"""
      hf_[A-Za-z0-9]{8,} | sk-[A-Za-z0-9_-]{8,} | gh[pousr]_[A-Za-z0-9]{16,}
    | github_pat_\w{16,} | glpat-[\w-]{16,} | nvapi-[\w-]{16,} | xox[a-z]-[\w-]{8,}
    | (?:AKIA|ASIA)[A-Z0-9]{16} | (?<![A-Za-z0-9])eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*
    | (?<=://)[^\s/@]+(?=@)
    """,
    re.VERBOSE,
)
_QUOTED = r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\""
_NAMED_SECRETS = re.compile(
    rf"""
    (?P<name> (?i:bearer)\s+
            | (?i:api[-_]?key|passwd|password|secret(?:[-_]key)?)\\?["']?\s*[=:]\s*
            | --(?:admin-)?api-key\s+
            | (?:TOKEN|SECRET|PASSWORD|API_KEY|ACCESS_KEY)["']?\s*[=:]\s* )
    (?P<value> {_QUOTED} | [^\s'",;)\]}}]+ )
    """,
    re.VERBOSE,
)
_UUID = re.compile(r"[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}", re.IGNORECASE)
_UNIT = r"(?:GPU-|MIG-){1,2}[0-9a-f][0-9a-f-]{2,}[0-9a-f](?![0-9a-z])"
_SERIAL = (
    r"(?:serial\w{0,20}(?:\ number)?|fru_id|unique[ _]id|hive_id|guid)"
    r"['\"]?[ \t]{0,40}[:=> \t][ \t]{0,8}['\"]?(?P<number>(?=[\w.-]{0,40}\d)[\w.-]{6,64})"
)
_HEX = (
    r"(?<![0-9a-z])(?<!sha256:)(?:[0-9a-f]{64}|[0-9a-f]{32})(?![0-9a-z])"
    r"|(?<![0-9a-z])(?:0x)?[0-9a-f]{16}(?![0-9a-z])"
)
_MAC = r"(?<![0-9a-f])(?:[0-9a-f]{2}[:-]){5,19}[0-9a-f]{2}(?![0-9a-f])"
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = rf"(?<![\d.])(?:{_OCTET}\.){{3}}{_OCTET}(?!\.?\d)"
_IPV6 = re.compile(r"(?<![0-9a-z])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![0-9a-z:])", re.IGNORECASE)
_EMAIL = r"[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64})+"
_HOME_FOLDERS = r"/(?:home|Users)/[^/\s\"'<>|;:,)\]}]+|(?<![\w.~-])/root(?![\w-])"


def redacted(
    document: Any,
    identity: Identity,
    structure: Collection[str] = (),
    evidence: Iterable[str] = (),
) -> Any:
    """A JSON-ready ``document`` with every string and key redacted.

    Args:
        document: objects, lists, texts, numbers, as ``json.loads`` gives them.
        identity: what is known of the machine; everything else is found by its form.
        structure: texts that every report holds (field names, platform names). A text that is one
            of them is left as it is, whatever the machine is called.
        evidence: further texts that may give away an API key, such as the start of a log.
    """
    texts = [plain(text) for text in (*_texts(document), *evidence)]
    redaction = _Redaction(identity, texts, structure)

    def clean(text: str) -> str:
        return text if text in structure else redaction(text)

    return _mapped(document, clean)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _mapped(value: Any, clean: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_mapped(item, clean) for item in value]
    if not isinstance(value, dict):
        return value
    result: dict[str, Any] = {}
    for key, item in value.items():
        name = _free_name(clean(key), result)
        result[name] = _mapped(item, clean)
    return result


def _free_name(name: str, taken: Collection[str]) -> str:
    """``name``, numbered where redaction made two keys equal."""
    number = 2
    free = name
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    return free


class _Redaction:
    """Replaces secrets and identifiers in one text after the other, remembering each."""

    def __init__(
        self, identity: Identity, texts: Iterable[str], structure: Collection[str]
    ) -> None:
        self.uuids: dict[str, int] = {}
        self.numbers: dict[str, dict[object, int]] = {}
        secrets = [*identity.secrets]
        for text in texts:
            secrets += _keys_given(text)
            for match in _UUID.finditer(text):
                self._uuid_number(_digits(match[0]))
        secrets = [text for text in secrets if _is_secret_value(text)]
        self.secrets = Redactor(text for text in secrets if len(text) >= _WHOLE_SECRET)
        short = [text for text in secrets if len(text) < _WHOLE_SECRET]
        self.words = _words(identity, short, COMMON_NAMES.union(map(str.casefold, structure)))
        hosts = [word for word, placeholder in self.words.items() if placeholder == HOST]
        self.pattern = _pattern(identity.homes, hosts, self.words)

    def __call__(self, text: str) -> str:
        text = plain(text).encode("utf-8", "replace").decode("utf-8")
        text = _TOKENS.sub(MASK, self.secrets(text))
        text = _NAMED_SECRETS.sub(_masked, text)
        text = self.pattern.sub(self._replacement, text)
        return _IPV6.sub(lambda match: self._address(match[0]), text)

    def _replacement(self, match: re.Match[str]) -> str:
        kind, found = match.lastgroup or "", match[0]
        if kind == "home":
            return HOME
        if kind == "email":
            return f"{USER}@{DOMAIN}"
        if kind == "fqdn":
            return HOST
        if kind == "word":
            return self.words[found.casefold()]
        if kind == "serial":
            number = match["number"]
            return found[: -len(number)] + self._serial(number)
        if kind == "unit":
            prefix = re.match(r"(?:GPU-|MIG-){1,2}", found, re.IGNORECASE)
            assert prefix is not None
            return prefix[0] + self._unit(found[prefix.end() :])
        if kind == "uuid":
            return self._uuid(found)
        if kind == "hex":
            return self._hex(found)
        if kind == "mac":
            return _hardware_address(self._number("mac", re.sub(r"\W", "", found.lower())))
        return self._address(found)

    def _number(self, kind: str, value: object) -> int:
        """The number of ``value`` among its kind, counted from 1 in order of appearance."""
        known = self.numbers.setdefault(kind, {})
        return known.setdefault(value, len(known) + 1)

    def _uuid_number(self, digits: str) -> int:
        return self.uuids.setdefault(digits, len(self.uuids) + 1)

    def _uuid(self, text: str) -> str:
        return _uuid_form(self._uuid_number(_digits(text)), mark=text[8])

    def _unit(self, text: str) -> str:
        """A device's UUID without its prefix: whole, AMD's short form, or shortened by the user."""
        digits = _digits(text)
        if len(digits) == 16:
            return f"{self._number('id', int(digits, 16)):016x}"
        named = [known for known in self.uuids if known.startswith(digits)]
        number = self.uuids[named[0]] if len(named) == 1 else self._uuid_number(digits)
        return _uuid_form(number)

    def _hex(self, text: str) -> str:
        digits = text[2:] if text[:2].lower() == "0x" else text
        if len(digits) > 16:
            return f"{self._number('hex', digits.lower()):0{len(digits)}x}"
        value = int(digits, 16)
        if value < _LARGEST_BITMASK:
            return text
        return f"{text[: -len(digits)]}{self._number('id', value):016x}"

    def _serial(self, text: str) -> str:
        """A serial number or unique id: a number stays a number of the same base."""
        if _UUID.fullmatch(text):
            return self._uuid(text)
        if re.fullmatch(r"0x[0-9a-f]{1,16}", text, re.IGNORECASE):
            return f"0x{self._number('id', int(text, 16)):0{len(text) - 2}x}"
        if text.isascii() and text.isdigit():
            return str(self._number("id", int(text)))
        if re.fullmatch(r"[0-9a-f]{16}", text, re.IGNORECASE):
            return f"{self._number('id', int(text, 16)):016x}"
        return f"SERIAL-{self._number('serial', text)}"

    def _address(self, text: str) -> str:
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return text
        if address.is_loopback or address.is_unspecified:
            return text
        number = self._number(f"ip{address.version}", address)
        if address.version == 6:
            return f"2001:db8::{number:x}"
        base = "192.0.2.0" if number < 255 else "198.18.0.0"
        return str(ipaddress.IPv4Address(base) + number)


def _uuid_form(number: int, mark: str = "-") -> str:
    digits = f"{number:032x}"
    return mark.join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _digits(text: str) -> str:
    return re.sub(r"[-_]", "", text).lower()


def _hardware_address(number: int) -> str:
    digits = f"02{number:010x}"
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def _masked(match: re.Match[str]) -> str:
    return match[0] if _is_plain(match["value"]) else match["name"] + MASK


def _is_plain(value: str) -> bool:
    return value.strip("'\"").casefold() in _PLAIN_VALUES or value == MASK


def _is_secret_value(text: str) -> bool:
    """Whether ``text`` is worth hiding: a key of "none" or three letters is no secret."""
    return len(text) >= _SHORTEST_SECRET and text.casefold() not in _PLAIN_VALUES


def _keys_given(text: str) -> Iterator[str]:
    """The API keys that a text gives away, such as SGLang's own ``server_args=`` line."""
    for match in _NAMED_SECRETS.finditer(text):
        value = match["value"]
        if _is_plain(value) or "key" not in match["name"].lower():
            continue
        if value[0] in "'\"":
            yield value[1:-1]
            try:
                yield str(ast.literal_eval(value))
            except (ValueError, SyntaxError):
                continue
        else:
            yield value


def _words(identity: Identity, secrets: Iterable[str], common: Collection[str]) -> dict[str, str]:
    """Case-folded names and short secrets with their placeholders.

    A machine or account with a ``common`` name keeps it: in its place, a placeholder would tell
    the name, because every report holds that word.
    """
    groups = (
        (identity.users, USER),
        (identity.hosts, HOST),
        (identity.domains, DOMAIN),
    )
    words = {
        name.casefold(): placeholder
        for names, placeholder in groups
        for name in names
        if len(name) > 1 and re.search(r"[^\W\d]", name) and name.casefold() not in common
    }
    return {**words, **{secret.casefold(): MASK for secret in secrets}}


def _pattern(homes: Iterable[str], hosts: Iterable[str], words: Iterable[str]) -> re.Pattern[str]:
    """One expression for all identifiers, so that no placeholder is looked at again."""
    folders = {home.rstrip("/") for home in homes} - {"", "/root"}
    own = [f"{re.escape(home)}(?![\\w-])" for home in sorted(folders, key=len, reverse=True)]
    kinds = {
        "home": "|".join([*own, _HOME_FOLDERS]),
        "email": _EMAIL,
        "fqdn": _whole_words(hosts, followed_by=r"(?:\.[a-z0-9-]+){2,}"),
        "word": _whole_words(words),
        "serial": _SERIAL,
        "unit": _UNIT,
        "uuid": _UUID.pattern,
        "hex": _HEX,
        "mac": _MAC,
        "ipv4": _IPV4,
    }
    return re.compile(
        "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in kinds.items()), re.IGNORECASE
    )


def _whole_words(words: Iterable[str], followed_by: str = "") -> str:
    """An expression for any of ``words`` between other characters than letters and digits."""
    names = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return f"(?<![A-Za-z0-9])(?:{names}){followed_by}(?![A-Za-z0-9])" if names else "(?!)"
