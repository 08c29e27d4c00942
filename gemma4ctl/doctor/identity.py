"""What tells who and where this machine is, and its secrets: all that a report must not hold."""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gemma4ctl.errors import Gemma4ctlError
from gemma4ctl.hardware.access import Access
from gemma4ctl.secrets import config_path, find_api_key
from gemma4ctl.settings import gather

LARGEST_SECRET_FILE = 1 << 16  # bytes
_SECRET_NAME = re.compile(
    r"TOKEN(?!IZER)|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|KEYS?$", re.IGNORECASE
)
_USER_VARIABLES = ("USER", "LOGNAME", "USERNAME", "SUDO_USER")
_HOST_VARIABLES = ("HOSTNAME", "HOST")
_COMMON_HOSTS = ("localhost", "localdomain", "local", "ip6", "loopback")


@dataclass(frozen=True)
class Identity:
    """Values to be taken out: exact secrets, host and domain names, accounts, home folders."""

    secrets: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    homes: tuple[str, ...] = ()


def is_secret(variable: str) -> bool:
    """Whether the name of an environment variable says that its value is a secret."""
    return _SECRET_NAME.search(variable) is not None


def read_identity(environment: Mapping[str, str], access: Access) -> Identity:
    """The identity of this machine and account. Asks no name server: no network is used."""
    hosts, domains = _network_names(environment, access)
    homes = _present([environment.get("HOME"), _attempt(lambda: str(Path.home()))])
    accounts = [environment.get(name) for name in _USER_VARIABLES]
    return Identity(
        secrets=_secrets(environment),
        hosts=hosts,
        domains=domains,
        users=_present(
            [*accounts, _attempt(getpass.getuser), *(Path(home).name for home in homes)]
        ),
        homes=homes,
    )


def _network_names(
    environment: Mapping[str, str], access: Access
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of this host, as given and short, and its domains."""
    given = [_attempt(socket.gethostname), access.read("/etc/hostname")]
    names = _present([*given, *(environment.get(name) for name in _HOST_VARIABLES)])
    for line in (access.read("/etc/hosts") or "").splitlines():
        words = line.partition("#")[0].split()[1:]
        if set(words) & set(names):
            names = _present([*names, *(w for w in words if not w.startswith(_COMMON_HOSTS))])
    domains = [name.partition(".")[2] for name in names]
    for line in (access.read("/etc/resolv.conf") or "").splitlines():
        if line.startswith(("search ", "domain ")):
            domains += line.split()[1:]
    short = [name.partition(".")[0] for name in names]
    return _present([*names, *short]), _present([name for name in domains if "." in name])


def _secrets(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Values of secret variables, the API key and Hugging Face token where files hold them."""
    found = [value for name, value in environment.items() if is_secret(name)]
    cache = environment.get("HF_HOME") or f"{environment.get('HOME', '~')}/.cache/huggingface"
    tokens = [environment.get("HF_TOKEN_PATH") or f"{cache}/token", f"{cache}/stored_tokens"]
    found += [
        word
        for file in tokens
        for word in re.findall(r"\S{8,}", _content(Path(file)))
        if word != "hf_token"
    ]
    folder = config_path(environment, 0).parent
    for file in sorted(folder.glob("*.yaml")):
        found += re.findall(r'^api-key: "(.+)"$', _content(file), re.MULTILINE)
    return _present([*found, _api_key(environment)])


def _api_key(environment: Mapping[str, str]) -> str | None:
    try:
        key = find_api_key({}, gather({}, environment).get("api_key_file"))
    except Gemma4ctlError:
        return None
    return key.get_secret_value() if key else None


def _content(path: Path) -> str:
    try:
        with path.expanduser().open(encoding="utf-8", errors="replace") as file:
            return file.read(LARGEST_SECRET_FILE)
    except (OSError, RuntimeError, ValueError):  # no such file, no home folder, a NUL in the name
        return ""


def _attempt(ask: Callable[[], str]) -> str | None:
    """What a function of the operating system says; None for an account it does not know."""
    try:
        return ask()
    except (OSError, KeyError, RuntimeError, ImportError):
        return None


def _present(values: Iterable[str | None]) -> tuple[str, ...]:
    """The values that are not empty, each once, in their order."""
    return tuple(dict.fromkeys(value.strip() for value in values if value and value.strip()))
