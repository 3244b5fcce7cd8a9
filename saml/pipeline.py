"""From the form field of a response to a proven login: gate, verifier, policy, in that order and no other."""

from saml.login import Examination, Expectations, Login, Trust


def judge_response(form_value: str, *, trust: Trust, expectations: Expectations) -> Login:
    """Prove a response.

    `form_value` is the field SAMLResponse as posted, base64. Replay, browser and request are for the caller to check.

    Raises: LoginDenied, for whatever is wrong with any input; nothing else.
    """
    raise NotImplementedError


def examine_response(form_value: str, *, trust: Trust, expectations: Expectations) -> Examination:
    """The same, told check by check and in words, for a test login. Raises nothing for any input."""
    raise NotImplementedError
