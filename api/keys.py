"""The keys that sign ID tokens and logout tokens. Two are published: the one that signs, and the one that comes next.

An application that keeps our key set for a while so knows the next key before it signs anything.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

from provisioning.clients import ClientStore, SigningKey
from provisioning.ports import Clock, Mint

# OpenID Connect Discovery 1.0 section 3 demands that RS256 is offered; every client has it.
ALGORITHM = "RS256"
KEY_BITS = 2048
RETIRED_FOR = timedelta(days=2)
"""How long a key that signs no more stays published: longer than what it signed is good for."""

Note = Callable[[SigningKey], None]
"""Told of a key that signs from now on."""


class SigningKeys:
    """The published keys; the first two are made when they are first asked for. Safe in threads.

    Two processes that begin at once may both make keys; all of them are published, and so good.
    """

    def __init__(self, store: ClientStore, *, clock: Clock, mint: Mint, note: Note) -> None:
        self._store = store
        self._clock = clock
        self._mint = mint
        self._note = note
        self._lock = Lock()
        self._opened: tuple[str, RSAKey] | None = None

    def public(self) -> dict[str, list[dict[str, Any]]]:
        """The key set (RFC 7517 section 5), public halves only."""
        return {"keys": [json.loads(key.public_jwk) for key in self._published()]}

    def sign(self, claims: dict[str, Any], *, token_type: str = "JWT") -> str:  # noqa: S107 - a header's value
        """A signed token of the claims."""
        key = self._published()[0]
        header = {"alg": key.algorithm, "kid": key.key_id, "typ": token_type}
        return jwt.encode(header, claims, self._open(key), [ALGORITHM], default_type=None)

    def verify(self, token: str) -> dict[str, Any] | None:
        """The claims of a token that one of the published keys has signed; None for any other text.

        Its end is not looked at: OpenID Connect RP-Initiated Logout 1.0 section 2 wants ended ones accepted.
        """
        keys: list[Any] = [RSAKey.import_key(json.loads(key.public_jwk)) for key in self._published()]
        try:
            claims = jwt.decode(token.encode(errors="replace"), KeySet(keys), algorithms=[ALGORITHM]).claims
        except (JoseError, ValueError):
            return None
        return claims

    def rotate(self, *, is_compromised: bool = False) -> SigningKey:
        """Let the next key sign, and publish a new next one. What was signed stays good, unless it is compromised.

        A compromised key, and the next one that lay beside it, are published no more at once.
        """
        with self._lock:
            now = self._clock()
            known = self._store.signing_keys(now)
            coming = [key for key in known if key.state == "next"] if not is_compromised else []
            active = coming[0] if coming else self._make("next")
            # The new one first: there is a key to sign with at every moment.
            self._store.put_signing_key(replace(active, state="active"))
            self._store.put_signing_key(self._make("next"))
            gone_at = now if is_compromised else now + RETIRED_FOR
            for key in known:
                if key.key_id == active.key_id or (key.state == "retired" and not is_compromised):
                    continue
                self._store.put_signing_key(replace(key, state="retired", gone_at=gone_at))
        self._note(active)
        return active

    def rotate_when_older(self, age: timedelta) -> bool:
        """Rotate when the next key has waited for so long; whether it has. Where there are no keys, none are made."""
        now = self._clock()
        known = self._store.signing_keys(now)
        waiting = [key for key in known if key.state == "next"]
        if not known or (waiting and now - waiting[0].created_at < age):
            return False
        self.rotate()
        return True

    def _published(self) -> list[SigningKey]:
        keys = self._store.signing_keys(self._clock())
        if not any(key.state == "active" for key in keys):
            with self._lock:
                keys = self._store.signing_keys(self._clock())
                if not any(key.state == "active" for key in keys):
                    active = self._make("active")
                    self._store.put_signing_key(active)
                    self._store.put_signing_key(self._make("next"))
                    self._note(active)
                    keys = self._store.signing_keys(self._clock())
        return keys

    def _make(self, state: str) -> SigningKey:
        return make_signing_key(self._mint.id(), state, self._clock())

    def _open(self, key: SigningKey) -> RSAKey:
        opened = self._opened
        if opened is None or opened[0] != key.key_id:
            opened = (key.key_id, RSAKey.import_key(json.loads(key.private_jwk)))
            self._opened = opened
        return opened[1]


def make_signing_key(key_id: str, state: str, now: datetime) -> SigningKey:
    """A new key of 2048 bits."""
    made = RSAKey.generate_key(KEY_BITS, {"use": "sig", "alg": ALGORITHM, "kid": key_id})
    return SigningKey(
        key_id=key_id,
        algorithm=ALGORITHM,
        public_jwk=json.dumps(made.as_dict(private=False)),
        private_jwk=json.dumps(made.as_dict(private=True)),
        state=state,
        created_at=now,
    )
