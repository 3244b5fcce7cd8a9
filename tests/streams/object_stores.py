"""Object stores on this machine that others have written: moto's S3 with its IAM, and Azurite, over TLS.

Both lie in the environment's folder, each with what it needs and nothing of Usher's: moto and Usher want different
versions of the same library.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import ClassVar, Final, NoReturn
from urllib.parse import quote, urlencode

import pytest

from tests.certificates import Certificates

FOLDER: Final = Path(sys.prefix) / "receivers"
MOTO: Final = FOLDER / "moto" / "bin" / "python"
AZURITE: Final = FOLDER / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
REMEDY: Final = "run 'make test-services'"
REGION: Final = "eu-central-1"
ACCOUNT: Final = "ushertest"

_PATIENCE: Final = 60
_KEY: Final = re.compile(r"<Key>([^<]+)</Key>")
_BLOB: Final = re.compile(r"<Blob><Name>([^<]+)</Name>")
_LISTENING: Final = re.compile(r"(?:^|listens on https://127\.0\.0\.1:)([0-9]+)$")
_SAS_VERSION: Final = "2019-12-12"
_MOTO_SERVER: Final = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

application = DomainDispatcherApplication(create_backend_app)
address, keys = ("127.0.0.1", int(sys.argv[3])), (sys.argv[1], sys.argv[2])
server = make_server(*address, application, threaded=True, ssl_context=keys)
print(server.server_port, flush=True)
server.serve_forever()
"""


def require_moto(environment: Mapping[str, str], python: Path = MOTO) -> None:
    """Skip the asking test with a plain line where moto is not installed, or fail it when REQUIRE_STORES=1."""
    if not python.is_file():
        give_up("moto", environment)


def require_azurite(environment: Mapping[str, str]) -> None:
    """The same for Azurite and Node.js."""
    if not AZURITE.is_file() or shutil.which("node", path=environment.get("PATH", "")) is None:
        give_up("azurite", environment)


def give_up(name: str, environment: Mapping[str, str]) -> NoReturn:
    if environment.get("REQUIRE_STORES") == "1":
        pytest.fail(f"REQUIRE_STORES=1, but no {name} here: {REMEDY}", pytrace=False)
    pytest.skip(f"no {name} here: {REMEDY}")


@dataclass(frozen=True, slots=True)
class Answered:
    status: int
    headers: Mapping[str, str]
    body: bytes


def _as_anybody(service: str) -> str:
    return (
        f"AWS4-HMAC-SHA256 Credential=any/20260301/{REGION}/{service}/aws4_request, "
        "SignedHeaders=host, Signature=0"
    )


class _Running:
    """A server, and requests to it by the tests themselves."""

    headers: ClassVar[Mapping[str, str]] = {"Content-Type": "application/octet-stream"}

    def __init__(self, url: str, certificates: Certificates) -> None:
        self.url = url
        self._context = ssl.create_default_context(cafile=str(certificates.authority))

    def call(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answered:
        request = urllib.request.Request(  # noqa: S310 - https to this machine
            f"{self.url}/{path}",
            data=body or None,
            method=method,
            headers={**self.headers, **(headers or {})},
        )
        try:
            with urllib.request.urlopen(request, context=self._context, timeout=_PATIENCE) as answer:  # noqa: S310 - as above
                return Answered(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answered(error.code, dict(error.headers), error.read())


class Moto(_Running):
    """S3 and IAM, which looks at keys, signatures and policies while `enforcing`; else whoever names any key may."""

    headers: ClassVar[Mapping[str, str]] = {**_Running.headers, "Authorization": _as_anybody("s3")}

    def make_bucket(self, name: str, *, has_lock: bool = False) -> None:
        body = (
            f"<CreateBucketConfiguration><LocationConstraint>{REGION}</LocationConstraint>"
            "</CreateBucketConfiguration>"
        )
        headers = {"x-amz-bucket-object-lock-enabled": "true"} if has_lock else {}
        assert self.call("PUT", name, body.encode(), headers).status == 200

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Everything in the bucket, in the order of its keys."""
        listed = self.call("GET", f"{bucket}?list-type=2&max-keys=1000").body.decode()
        return {key: self.call("GET", f"{bucket}/{key}").body for key in _KEY.findall(listed)}

    def make_key(self, user: str, policy: Mapping[str, object]) -> tuple[str, str]:
        """A user with a policy and nothing else: the id of its key, and the secret."""
        self._iam(Action="CreateUser", UserName=user)
        self._iam(Action="PutUserPolicy", UserName=user, PolicyName="only", PolicyDocument=json.dumps(policy))
        made = self._iam(Action="CreateAccessKey", UserName=user).decode()
        found = [re.search(f"<{name}>([^<]+)</{name}>", made) for name in ("AccessKeyId", "SecretAccessKey")]
        key_id, secret = (one.group(1) for one in found if one is not None)
        return key_id, secret

    @contextmanager
    def enforcing(self) -> Iterator[None]:
        self.call("POST", "moto-api/reset-auth", b"0")
        try:
            yield
        finally:
            self.call("POST", "moto-api/reset-auth", b"inf")

    def _iam(self, **fields: str) -> bytes:
        headers = {
            "Authorization": _as_anybody("iam"),
            "Content-Type": "application/x-www-form-urlencoded",
        }
        answer = self.call("POST", "", urlencode({**fields, "Version": "2010-05-08"}).encode(), headers)
        assert answer.status == 200, answer.body
        return answer.body


class Azurite(_Running):
    """Blobs of one account, whose key the tests have."""

    def __init__(self, url: str, certificates: Certificates, key: bytes) -> None:
        super().__init__(url, certificates)
        self._key = key
        self._all = self._account_signature()

    def make_container(self, name: str) -> str:
        """Its address."""
        answer = self.call(
            "PUT", f"{ACCOUNT}/{name}?restype=container&{self._all}", headers={"Content-Length": "0"}
        )
        assert answer.status == 201, answer.body
        return f"{self.url}/{ACCOUNT}/{name}"

    def objects(self, container: str) -> dict[str, bytes]:
        """Everything in the container, in the order of its names."""
        listed = self.call(
            "GET", f"{ACCOUNT}/{container}?restype=container&comp=list&{self._all}"
        ).body.decode()
        return {
            name: self.call("GET", f"{ACCOUNT}/{container}/{quote(name)}?{self._all}").body
            for name in _BLOB.findall(listed)
        }

    def signature(self, container: str, permissions: str, *, ends: str = "2099-01-01T00:00:00Z") -> str:
        """A shared access signature for a container. Source: "Create a service SAS", version 2018-11-09."""
        resource = f"/blob/{ACCOUNT}/{container}"
        fields = [permissions, "", ends, resource, "", "", "https", _SAS_VERSION, "c", *[""] * 6]
        named = {"sp": permissions, "se": ends, "spr": "https", "sv": _SAS_VERSION, "sr": "c"}
        return urlencode({**named, "sig": self._sign("\n".join(fields))})

    def _account_signature(self) -> str:
        """Source: "Create an account SAS", before version 2020-12-06."""
        named = {"sp": "rwdlac", "ss": "b", "srt": "sco", "se": "2099-01-01T00:00:00Z", "spr": "https"}
        fields = [ACCOUNT, named["sp"], "b", "sco", "", named["se"], "", "https", _SAS_VERSION, ""]
        return urlencode({**named, "sv": _SAS_VERSION, "sig": self._sign("\n".join(fields))})

    def _sign(self, text: str) -> str:
        return base64.b64encode(hmac.digest(self._key, text.encode(), hashlib.sha256)).decode()


@contextmanager
def run_moto(certificates: Certificates, port: int = 0) -> Iterator[Moto]:
    """S3 and IAM, empty; at any port unless one is named."""
    keys = certificates.good
    with Process(
        [str(MOTO), "-c", _MOTO_SERVER, str(keys.certificate), str(keys.key), str(port)], {}
    ) as found:
        yield Moto(f"https://localhost:{found}", certificates)


@contextmanager
def run_azurite(certificates: Certificates, folder: Path) -> Iterator[Azurite]:
    """Azurite, empty."""
    key = hashlib.sha256(b"a key of this test").digest()
    command = [
        *("node", "--no-deprecation", str(AZURITE), "--blobPort", "0", "--location", str(folder)),
        *("--cert", str(certificates.good.certificate), "--key", str(certificates.good.key)),
        *("--disableProductStyleUrl", "--disableTelemetry", "--skipApiVersionCheck"),
    ]
    with Process(command, {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{base64.b64encode(key).decode()}"}) as port:
        yield Azurite(f"https://localhost:{port}", certificates, key)


class Process:
    """A server that says on its output where it listens. Entered, it is that port."""

    def __init__(self, command: list[str], environ: Mapping[str, str]) -> None:
        self._command = command
        self._environ = environ

    def __enter__(self) -> int:
        self._process = subprocess.Popen(
            self._command,
            env={"PATH": os.environ["PATH"], "HOME": str(FOLDER), **self._environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        ports: Queue[int] = Queue()
        self._reader = threading.Thread(target=self._read, args=(ports,), daemon=True)
        self._reader.start()
        if port := ports.get(timeout=_PATIENCE):
            return port
        self.__exit__()
        raise OSError(f"{self._command[0]} has ended before it listened")

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def _read(self, ports: "Queue[int]") -> None:
        """Its output to the end, so that it never waits for somebody to read."""
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if found := _LISTENING.search(line.strip()):
                    ports.put(int(found.group(1)))
        ports.put(0)
