"""Where sealed values of single sign-on and of webhooks stand. What is sealed for one place opens in no other."""

from storage.secrets import bind_place


def sp_key_place(organisation_id: str, connection_id: str, key_id: str) -> bytes:
    """The private half of a key of one connection."""
    return bind_place(organisation_id, f"sp_key/{connection_id}/{key_id}", "private_key")


def login_test_place(organisation_id: str, test_id: str) -> bytes:
    """What a test login showed."""
    return bind_place(organisation_id, f"login_test/{test_id}", "result")


def signing_key_place(key_id: str) -> bytes:
    """The private half of a key that signs ID tokens. It is the service's and belongs to no organisation."""
    return bind_place("", f"signing_key/{key_id}", "private_jwk")


def host_webhook_place(webhook_id: str) -> bytes:
    """The secrets of a webhook to a host application, which is an environment's."""
    return bind_place("", f"host_webhook/{webhook_id}", "secrets")
