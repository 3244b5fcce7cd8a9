"""Metadata of identity providers."""

from collections.abc import Sequence

from tests.saml_forge.keys import IDP, Key
from tests.saml_forge.messages import DS, IDP_ENTITY, SAMLP, attributes_of
from tests.saml_forge.signing import x509_data

MD = "urn:oasis:names:tc:SAML:2.0:metadata"
METADATA = "_metadata-1"
SSO_URL = "https://idp.example.org/sso"
SLO_URL = "https://idp.example.org/slo"
REDIRECT = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"


def role(
    *,
    keys: Sequence[Key] = (IDP,),
    use: str | None = "signing",
    sso: str = SSO_URL,
    services: str | None = None,
) -> str:
    """An IDPSSODescriptor."""
    described = "".join(
        f"<md:KeyDescriptor{attributes_of(use=use)}>{x509_data(key)}</md:KeyDescriptor>" for key in keys
    )
    if services is None:
        services = (
            f'<md:SingleLogoutService Binding="{REDIRECT}" Location="{SLO_URL}"/>'
            f'<md:SingleSignOnService Binding="{REDIRECT}" Location="{sso}"/>'
        )
    return (
        f'<md:IDPSSODescriptor protocolSupportEnumeration="{SAMLP}">'
        f"{described}{services}</md:IDPSSODescriptor>"
    )


def entity(
    *roles: str, entity_id: str | None = IDP_ENTITY, ends: str | None = None, cached: str | None = None
) -> str:
    head = attributes_of(ID=METADATA, entityID=entity_id, validUntil=ends, cacheDuration=cached)
    return (
        f'<md:EntityDescriptor xmlns:md="{MD}" xmlns:ds="{DS}"{head}>'
        f"{''.join(roles or (role(),))}</md:EntityDescriptor>"
    )


def entities(*inner: str, ends: str | None = None) -> str:
    head = attributes_of(ID="_metadata-all", validUntil=ends)
    return f'<md:EntitiesDescriptor xmlns:md="{MD}" xmlns:ds="{DS}"{head}>{"".join(inner)}</md:EntitiesDescriptor>'
