"""What each kind of destination may be told, and what must be secret about it. Knows no network."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Final

Setting = str | int | bool

PULL: Final = "pull"
KAFKA: Final = "kafka"
TOKEN: Final = "token"  # noqa: S105 - the name of a secret

OBJECT_STORES: Final = frozenset({"s3", "azure_blob"})

GATHER: Final = "gather_seconds"
_GATHER_SECONDS = 60
_MOST_GATHERED_SECONDS = 3600

FORMAT: Final = "format"
CANONICAL: Final = "canonical"
OCSF: Final = "ocsf"
ECS: Final = "ecs"
CEF: Final = "cef"
FOR_HOSTS: Final = (CANONICAL, OCSF, ECS)
FOR_SIEMS: Final = (OCSF, ECS, CANONICAL)

MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
"""How Kafka is signed in to; the last one when nothing is said."""

LONGEST_SECRET: Final = 16_384
_PEM_SECRETS = frozenset({"client_certificate", "client_key"})
_LONGEST_SETTING = 2000
_LAST_PORT = 65_535
_URL = re.compile(
    r"https://(?P<host>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::(?P<port>[0-9]{1,5}))?(?:/[!->@-~]*)?",
    re.ASCII,
)
_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}|[0-9A-Fa-f:.]{2,45}", re.ASCII)
_WORD = re.compile(r"[!-~]{1,48}", re.ASCII)
_INDEX = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}", re.ASCII)
# The immutable id of a data collection rule.
_RULE = re.compile(r"dcr-[0-9a-f]{32}", re.ASCII)
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}", re.ASCII)
_BROKER = r"(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[1-9][0-9]{0,4}"
_BROKERS = re.compile(rf"{_BROKER}(?:,{_BROKER}){{0,9}}", re.ASCII)
_MECHANISM = re.compile("|".join(MECHANISMS), re.ASCII)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_REGION = re.compile(r"[a-z0-9-]{1,40}", re.ASCII)
_ORIGIN = re.compile(r"https://(?:[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?/?", re.ASCII)
_CONTAINER = re.compile(_ORIGIN.pattern + r"[A-Za-z0-9$-]{1,63}(?:/[a-z0-9-]{3,63})?/?", re.ASCII)
# Characters that no signature and no address has to encode.
_PREFIX = re.compile(
    r"/?(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+){0,9}/?", re.ASCII
)
_ACCESS_KEY = re.compile(r"[A-Za-z0-9._-]{3,128}", re.ASCII)
_ENCRYPTION = re.compile(r"AES256|aws:kms|arn:aws[a-z-]*:kms:[A-Za-z0-9:/_-]{1,200}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,3}|[12][0-9]{3}|3[0-5][0-9]{2}|3600", re.ASCII)
_OBJECT_LOCK = re.compile(r"(?:GOVERNANCE|COMPLIANCE):[1-9][0-9]{0,4}", re.ASCII)
_LINE = re.compile(r"[ -~]{0,400}", re.ASCII)
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----[A-Za-z0-9+/=\s]+-----END [A-Z ]+-----[\s\S]*")


@dataclass(frozen=True, slots=True)
class StreamKind:
    """`required` and `optional` are settings with their forms; `secrets` says which must be there.

    Each has the setting `format` besides; the first of `formats` is what it is when nothing is said.
    """

    label: str
    required: Mapping[str, str]
    optional: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bool] = field(default_factory=dict)
    formats: tuple[str, ...] = FOR_HOSTS


STREAM_KINDS: Final[Mapping[str, StreamKind]] = MappingProxyType(
    {
        "webhook": StreamKind(
            "HTTPS webhook",
            {"url": "url"},
            secrets={"signing_secret": True, "second_signing_secret": False, "query": False},
        ),
        "syslog": StreamKind(
            "syslog over TLS",
            {"host": "host"},
            {"port": "port", "app_name": "word", "ca": "pem"},
            {"client_certificate": False, "client_key": False},
            (OCSF, ECS, CEF, CANONICAL),
        ),
        "splunk": StreamKind(
            "Splunk HTTP Event Collector",
            {"url": "url"},
            {"index": "line", "source": "line", "sourcetype": "line"},
            {TOKEN: True},
            FOR_SIEMS,
        ),
        "datadog": StreamKind(
            "Datadog logs",
            {"url": "url"},
            {"service": "line", "tags": "line"},
            {"api_key": True},
            FOR_SIEMS,
        ),
        "elastic": StreamKind(
            "Elasticsearch and OpenSearch",
            {"url": "url", "index": "index"},
            {},
            {"api_key": True},
            FOR_SIEMS,
        ),
        "sentinel": StreamKind(
            "Microsoft Sentinel",
            {"url": "url", "rule": "rule", "stream": "word", "tenant": "host", "client_id": "word"},
            {"authority": "url", "audience": "url"},
            {"client_secret": True},
            FOR_SIEMS,
        ),
        KAFKA: StreamKind(
            "Kafka",
            {"brokers": "brokers", "topic": "topic"},
            {"mechanism": "mechanism", "user": "line", "ca": "pem"},
            {"password": False, "client_certificate": False, "client_key": False},
        ),
        "s3": StreamKind(
            "Amazon S3 and what speaks its protocol",
            {"bucket": "bucket", "region": "region", "access_key_id": "access_key"},
            {
                "endpoint": "origin",
                "prefix": "prefix",
                "encryption": "encryption",
                "object_lock": "object_lock",
                GATHER: "seconds",
            },
            {"secret_access_key": True},
            (CANONICAL,),
        ),
        "azure_blob": StreamKind(
            "Azure Blob Storage",
            {"url": "container"},
            {"prefix": "prefix", GATHER: "seconds"},
            {"sas": True},
            (CANONICAL,),
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
    forms = {**known.required, **known.optional, FORMAT: FORMAT}
    faults = [f"setting '{name}' is missing" for name in known.required if not settings.get(name)]
    for name, value in settings.items():
        if name not in forms:
            faults.append(
                f"a {kind} stream has no setting '{name[:40]}'; it has {', '.join(forms) or 'none'}"
            )
        elif (fault := _find_fault(forms[name], value, known.formats)) and value != "":
            faults.append(f"setting '{name}' {fault}")
    for name, is_required in known.secrets.items():
        if is_required and name not in secrets:
            faults.append(f"the secret '{name}' is missing")
    for name, secret in secrets.items():
        if name not in known.secrets:
            faults.append(f"a {kind} stream has no secret '{name[:40]}'")
        elif not 0 < len(secret) <= LONGEST_SECRET or not secret.isascii() or b"\0" in secret:
            faults.append(f"the secret '{name}' is empty, too long or not ASCII")
        elif name not in _PEM_SECRETS and not secret.decode("ascii").isprintable():
            faults.append(f"the secret '{name}' is not one line of text")
    return [*faults, *_find_lonely(settings, secrets)]


def _find_lonely(settings: Mapping[str, Setting], secrets: Mapping[str, bytes]) -> Iterator[str]:
    """What is of no use without another."""
    if ("client_certificate" in secrets) != ("client_key" in secrets):
        yield "a client's certificate and its key go together"
    if bool(settings.get("user")) != ("password" in secrets):
        yield "the setting 'user' and the secret 'password' go together"


def format_of(kind: str, settings: Mapping[str, Setting]) -> str:
    """The form in which events are sent."""
    return str(settings.get(FORMAT) or STREAM_KINDS[kind].formats[0])


def find_host(settings: Mapping[str, Setting]) -> str:
    """What deliveries to one receiver share: host and port. Empty for what is fetched and not sent."""
    url = _URL.fullmatch(
        find_object_root(settings) if settings.get("bucket") else str(settings.get("url", ""))
    )
    if url is not None:
        return f"{url['host'].lower()}:{url['port'] or 443}"
    if settings.get("brokers"):
        return str(settings["brokers"]).partition(",")[0].lower()
    host = str(settings.get("host", "")).lower()
    return f"{host}:{settings.get('port') or 6514}" if host else ""


def find_object_root(settings: Mapping[str, Setting]) -> str:
    """The address below which a store keeps objects, with a slash behind it.

    A bucket has a host name of its own at Amazon, unless its name has a dot, which no certificate there covers;
    at another endpoint it is the beginning of the path. A container is an address already.
    """
    bucket, region = settings.get("bucket"), settings.get("region")
    endpoint = str(settings.get("endpoint") or "").rstrip("/")
    if not bucket:
        root = str(settings.get("url", "")).rstrip("/")
    elif endpoint or "." in str(bucket):
        root = f"{endpoint or f'https://s3.{region}.amazonaws.com'}/{bucket}"
    else:
        root = f"https://{bucket}.s3.{region}.amazonaws.com"
    prefix = str(settings.get("prefix") or "").strip("/")
    return f"{root}/{prefix}/" if prefix else f"{root}/"


def find_rest(kind: str, settings: Mapping[str, Setting]) -> timedelta:
    """How long a delivery that has sent all there was rests, so that objects are few."""
    seconds = settings.get(GATHER) or _GATHER_SECONDS
    return timedelta(seconds=int(seconds)) if kind in OBJECT_STORES else timedelta()


def shown_destination(kind: str, settings: Mapping[str, Setting]) -> str:
    """The destination as the log names it. What follows a question mark may be a key."""
    if kind == "sentinel":
        return f"{kind} {settings['url']} {settings['rule']} {settings['stream']}"
    if kind == KAFKA:
        return f"{kind} {settings['brokers']} {settings['topic']}"
    if kind in OBJECT_STORES:
        return f"{kind} {find_object_root(settings)}"
    if settings.get("url"):
        return f"{kind} {str(settings['url']).partition('?')[0]}"
    return f"{kind} {find_host(settings)}".strip()


def _find_fault(form: str, value: Setting, formats: tuple[str, ...]) -> str:
    if form == "port":
        is_port = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LAST_PORT
        return "" if is_port else f"is no port from 1 to {_LAST_PORT}"
    if not isinstance(value, str) or (form != "pem" and len(value) > _LONGEST_SETTING):
        return "is no text, or too long"
    if form == FORMAT:
        return "" if value in formats else f"is none of {', '.join(formats)}"
    pattern, said = {
        "url": (
            _URL,
            "must begin with https:// and a host name, without a user or a question mark in it; "
            "what follows a webhook's question mark is its secret 'query'",
        ),
        "host": (_HOST, "is no host name"),
        "word": (_WORD, "is no word of 1 to 48 printable ASCII characters"),
        "index": (_INDEX, "is no name of an index in small letters"),
        "rule": (_RULE, "is no immutable id of a data collection rule: 'dcr-' and 32 hexadecimal digits"),
        "brokers": (_BROKERS, "is no list of 1 to 10 brokers: host:port,host:port"),
        "topic": (_TOPIC, "is no name of a topic"),
        "mechanism": (_MECHANISM, f"is none of {', '.join(MECHANISMS)}"),
        "bucket": (_BUCKET, "is no name of a bucket"),
        "region": (_REGION, "is no name of a region"),
        "origin": (_ORIGIN, "must be https:// and a host name, without a path"),
        "container": (
            _CONTAINER,
            "must be the https:// address of a container; what follows its question mark is the secret 'sas'",
        ),
        "prefix": (_PREFIX, "has other characters than letters, digits, '.', '_', '-' and single '/'"),
        "access_key": (_ACCESS_KEY, "is no id of an access key"),
        "encryption": (_ENCRYPTION, "is neither AES256, aws:kms, nor the ARN of a key in KMS"),
        "seconds": (_SECONDS, f"is no number of seconds from 0 to {_MOST_GATHERED_SECONDS}"),
        "object_lock": (_OBJECT_LOCK, "is no mode with days: GOVERNANCE:30, COMPLIANCE:400"),
        "line": (_LINE, "is not one line of printable ASCII"),
        "pem": (_PEM, "is no certificate in PEM form"),
    }[form]
    return "" if pattern.fullmatch(value) else said
