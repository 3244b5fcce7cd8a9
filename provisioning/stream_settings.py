"""What each kind of destination may be told, and what must be secret about it. Knows no network."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

Setting = str | int | bool

PULL: Final = "pull"
TOKEN: Final = "token"  # noqa: S105 - the name of a secret

LONGEST_SECRET: Final = 16_384
_LONGEST_SETTING = 2000
_LAST_PORT = 65_535
_URL = re.compile(
    r"https://(?P<host>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?(?:/[!-~]*)?",
    re.ASCII,
)
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:.]{2,45}", re.ASCII)
_WORD = re.compile(r"[!-~]{1,48}", re.ASCII)
_INDEX = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}", re.ASCII)
_LINE = re.compile(r"[ -~]{0,400}", re.ASCII)
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----[A-Za-z0-9+/=\s]+-----END [A-Z ]+-----[\s\S]*")


@dataclass(frozen=True, slots=True)
class StreamKind:
    """`required` and `optional` are settings with their forms; `secrets` says which must be there."""

    label: str
    required: Mapping[str, str]
    optional: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bool] = field(default_factory=dict)


STREAM_KINDS: Final[Mapping[str, StreamKind]] = MappingProxyType(
    {
        "webhook": StreamKind(
            "HTTPS webhook", {"url": "url"}, secrets={"signing_secret": True, "second_signing_secret": False}
        ),
        "syslog": StreamKind(
            "syslog over TLS",
            {"host": "host"},
            {"port": "port", "app_name": "word", "ca": "pem"},
            {"client_certificate": False, "client_key": False},
        ),
        "splunk": StreamKind(
            "Splunk HTTP Event Collector",
            {"url": "url"},
            {"index": "line", "source": "line", "sourcetype": "line"},
            {TOKEN: True},
        ),
        "datadog": StreamKind(
            "Datadog logs", {"url": "url"}, {"service": "line", "tags": "line"}, {"api_key": True}
        ),
        "elastic": StreamKind(
            "Elasticsearch and OpenSearch", {"url": "url", "index": "index"}, {}, {"api_key": True}
        ),
        PULL: StreamKind("pull API", {}, {}, {TOKEN: True}),
    }
)
"""The kinds of destination that there are."""


def find_stream_faults(kind: str, settings: Mapping[str, Setting], secrets: Mapping[str, bytes]) -> list[str]:
    """Everything that keeps the settings from being a destination, in words."""
    known = STREAM_KINDS.get(kind)
    if known is None:
        return [f"there is no destination of the kind '{kind[:40]}'; use one of {', '.join(STREAM_KINDS)}"]
    forms = {**known.required, **known.optional}
    faults = [f"setting '{name}' is missing" for name in known.required if not settings.get(name)]
    for name, value in settings.items():
        if name not in forms:
            faults.append(
                f"a {kind} stream has no setting '{name[:40]}'; it has {', '.join(forms) or 'none'}"
            )
        elif (fault := _find_fault(forms[name], value)) and value != "":
            faults.append(f"setting '{name}' {fault}")
    for name, is_required in known.secrets.items():
        if is_required and name not in secrets:
            faults.append(f"the secret '{name}' is missing")
    for name, secret in secrets.items():
        if name not in known.secrets:
            faults.append(f"a {kind} stream has no secret '{name[:40]}'")
        elif not 0 < len(secret) <= LONGEST_SECRET or not secret.isascii() or b"\0" in secret:
            faults.append(f"the secret '{name}' is empty, too long or not ASCII")
        elif not name.startswith("client_") and not secret.decode("ascii").isprintable():
            faults.append(f"the secret '{name}' is not one line of text")
    if ("client_certificate" in secrets) != ("client_key" in secrets):
        faults.append("a client's certificate and its key go together")
    return faults


def find_host(settings: Mapping[str, Setting]) -> str:
    """What deliveries to one receiver share: host and port. Empty for what is fetched and not sent."""
    url = _URL.fullmatch(str(settings.get("url", "")))
    if url is not None:
        return f"{url['host'].lower()}:{url['port'] or 443}"
    host = str(settings.get("host", "")).lower()
    return f"{host}:{settings.get('port') or 6514}" if host else ""


def shown_destination(kind: str, settings: Mapping[str, Setting]) -> str:
    """The destination as the log names it. What follows a question mark may be a key."""
    if settings.get("url"):
        return f"{kind} {str(settings['url']).partition('?')[0]}"
    return f"{kind} {find_host(settings)}".strip()


def _find_fault(form: str, value: Setting) -> str:
    if form == "port":
        is_port = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LAST_PORT
        return "" if is_port else f"is no port from 1 to {_LAST_PORT}"
    if not isinstance(value, str) or (form != "pem" and len(value) > _LONGEST_SETTING):
        return "is no text, or too long"
    pattern, said = {
        "url": (_URL, "must begin with https:// and a host name, without a user in it"),
        "host": (_HOST, "is no host name"),
        "word": (_WORD, "is no word of 1 to 48 printable ASCII characters"),
        "index": (_INDEX, "is no name of an index in small letters"),
        "line": (_LINE, "is not one line of printable ASCII"),
        "pem": (_PEM, "is no certificate in PEM form"),
    }[form]
    return "" if pattern.fullmatch(value) else said
