"""Versions as entity tags, and requests that hold only for some of them.

Tags are weak and compare as opaque text. HTTP's strong comparison, which `If-Match` has elsewhere, would make a weak
tag never match, while RFC 7644 section 3.14 uses weak ones.
"""

import re

from scim.errors import PreconditionFailedError

_TAG = re.compile(r'\s*(?:W/)?("[^"]*"|[^\s,"]+)\s*(?:,|$)')


def render_version(version: int) -> str:
    """A version as `ETag` and `meta.version` tell it."""
    return f'W/"{version}"'


def names_version(header: str, version: int) -> bool:
    """Whether a list of tags, or `*`, names the version. Source: RFC 9110 sections 8.8.3 and 13.1."""
    if header == f'W/"{version}"' or header.strip() == "*":
        return True
    return any(tag.strip('"') == str(version) for tag in _TAG.findall(header))


def check_version(if_match: str, version: int) -> None:
    """Raises PreconditionFailedError; only ever when the client named versions itself."""
    if if_match and not names_version(if_match, version):
        raise PreconditionFailedError(
            f"the resource has version {render_version(version)}, not the one that If-Match names; "
            "read it again and repeat the change"
        )
