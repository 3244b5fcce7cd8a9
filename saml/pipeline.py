"""From the form field of a response to a proven login: gate, verifier, policy, in that order and no other."""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

from saml import decoy, gate, names, policy, shapes, verifier
from saml.case import Proven
from saml.errors import Denial, LoginDenied
from saml.login import Check, Examination, Expectations, Login, Result, Trust


def judge_response(form_value: str, *, trust: Trust, expectations: Expectations) -> Login:
    """Prove a response.

    `form_value` is the field SAMLResponse as posted, base64. Replay, browser and request are for the caller to check.

    Raises: LoginDenied, for whatever is wrong with any input; nothing else.
    """
    shape = shapes.check_response(gate.read_document(gate.decode_field(form_value)))
    return policy.judge(prove(shape, trust, _Seen()), expectations)


def examine_response(form_value: str, *, trust: Trust, expectations: Expectations) -> Examination:
    """The same, told check by check and in words, for a test login. Raises nothing for any input."""
    seen = _Seen()
    checks: list[Check] = []
    shape: shapes.ResponseShape | None = None
    try:
        data = gate.decode_field(form_value)
        seen.xml = data.decode("utf-8", errors="replace")
        shape = shapes.check_response(gate.read_document(data))
        checks.append(Check("message", Result.PASS, "the message is a SAML 2.0 response with one assertion"))
        proven = prove(shape, trust, seen)
    except LoginDenied as denied:
        checks.extend(_missed(denied, shape, trust, seen))
        return Examination(tuple(checks), None, seen.xml, seen.decrypted)
    if shape.encrypted is not None:
        checks.append(_OPENED)
    checks.append(Check("signature", Result.PASS, "signed by a certificate of this connection"))
    judged, login = policy.examine(proven, expectations)
    return Examination((*checks, *judged), login, seen.xml, seen.decrypted)


_OPENED = Check("encryption", Result.PASS, "the assertion is encrypted to a key of ours")
_OF_ENCRYPTION = frozenset({Denial.DECRYPTION_FAILED, Denial.ENCRYPTION_REQUIRED})


def _missed(
    denied: LoginDenied, shape: shapes.ResponseShape | None, trust: Trust, seen: "_Seen"
) -> Iterator[Check]:
    """The check before the policy that failed, and all that was not reached for it."""
    words = denied.words or denied.reason.value
    left = ["signature", *(rule.name for rule in policy.RULES)]
    if shape is None:
        yield Check("message", Result.FAIL, words)
    elif denied.reason in _OF_ENCRYPTION:
        yield Check("encryption", Result.FAIL, words)
    else:
        if seen.decrypted:
            yield _OPENED
        if denied.reason is Denial.SIGNATURE_INVALID:
            words += _certificates_in_words(shape.root, trust)
        yield Check("signature", Result.FAIL, words)
        left.pop(0)
    for name in left:
        yield Check(name, Result.NOT_REACHED)


def _certificates_in_words(root: etree._Element, trust: Trust) -> str:
    """What the message shows and what the connection has: for a person to compare, and for nothing else."""
    shown = next((element.text or "" for element in root.iter(names.X509_CERTIFICATE)), "")
    known = ", ".join(hashlib.sha256(each).hexdigest()[:16] for each in trust.certificates)
    try:
        digest = hashlib.sha256(base64.b64decode(shown, validate=False)).hexdigest()[:16] if shown else ""
    except ValueError:
        digest = ""
    return (
        f"; the message shows {f'the certificate {digest}' if digest else 'no certificate'}, the connection has "
        f"{known} (the first 16 digits of SHA-256)"
    )


def named_request(form_value: str) -> str | None:
    """The InResponseTo of a response that nobody has proven, by which the stored request is found. None: it has none.

    Raises: LoginDenied, when the gate does not let the message through.
    """
    shape = shapes.check_response(gate.read_document(gate.decode_field(form_value)))
    answered: str | None = shape.root.get("InResponseTo")
    return answered


@dataclass(slots=True)
class _Seen:
    """What a test login shows beside the checks."""

    xml: str = field(default="", repr=False)
    decrypted: str = field(default="", repr=False)


def prove(shape: shapes.ResponseShape, trust: Trust, seen: _Seen) -> Proven:
    """Verify every signature, the response's before anything in it is decrypted.

    Raises: LoginDenied
    """
    keys = verifier.keys_of(trust)
    if trust.require_encrypted_assertion and shape.encrypted is None:
        raise LoginDenied(Denial.ENCRYPTION_REQUIRED, found="an open assertion", expected="an encrypted one")
    response = shape.root
    is_signed = shape.signature is not None
    if shape.signature is not None:
        response = _parsed(verifier.verify_element(shape.signature, keys))
    if shape.encrypted is not None:
        assertion = _decrypted(shape.encrypted, keys, trust, seen, is_covered=is_signed)
    elif shape.assertion_signature is not None:
        assertion = _parsed(verifier.verify_element(shape.assertion_signature, keys))
    else:
        _refuse_unsigned_assertion(trust)
        assertion = response.find(names.ASSERTION)
    return Proven(response, is_signed, assertion)


def _decrypted(
    encrypted: etree._Element, keys: verifier.Keys, trust: Trust, seen: _Seen, *, is_covered: bool
) -> etree._Element:
    """The assertion inside. `is_covered`: a signature of the response, verified, covers the ciphertext.

    Otherwise anybody can send ciphertexts of their own making, so failing early must not be told from failing late.
    """
    wrapped = shapes.read_encrypted(encrypted)
    try:
        opened = verifier.decrypt(wrapped, keys)
        seen.decrypted = opened.decode("utf-8", errors="replace")
        document = gate.read_document(opened, around=wrapped.around)
        signature = shapes.check_decrypted(document)
        if signature is None and not is_covered:
            raise LoginDenied(Denial.SIGNATURE_MISSING, found="no signature", expected="a signed assertion")
    except LoginDenied:
        if not is_covered:
            decoy.spend(len(wrapped.ciphertext), keys)
        raise
    if signature is None:
        _refuse_unsigned_assertion(trust)
        return _parsed(verifier.canonical(document.root))
    return _parsed(verifier.verify_element(signature, keys, is_uniform=not is_covered))


def _refuse_unsigned_assertion(trust: Trust) -> None:
    if trust.require_signed_assertion:
        raise LoginDenied(Denial.SIGNATURE_MISSING, found="a signed response", expected="a signed assertion")


def _parsed(octets: bytes) -> etree._Element:
    """The tree of canonical octets, which have passed the gate before they were canonicalised."""
    return etree.fromstring(
        octets, etree.XMLParser(resolve_entities=False, no_network=True, collect_ids=False)
    )
