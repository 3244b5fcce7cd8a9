"""The libraries that read and verify XML: which versions there are, and that they fit together."""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from types import TracebackType

from saml.errors import SAMLError


@dataclass(frozen=True, slots=True)
class LibraryVersions:
    """For the page of diagnostics, and for whoever must repair an installation."""

    lxml: str
    xmlsec: str
    python3_saml: str

    def __str__(self) -> str:
        return f"lxml {self.lxml}, xmlsec {self.xmlsec}, python3-saml {self.python3_saml}"


class LibrariesError(SAMLError):
    """The libraries cannot be trusted with a signature. The service does not start."""

    code = "saml_libraries"

    def __init__(self, what: str, versions: LibraryVersions) -> None:
        super().__init__(
            f"{what}. Installed: {versions}. lxml and xmlsec must carry the same libxml2: install both again, from "
            "wheels and at the versions of requirements.lock"
        )
        self.versions = versions


def library_versions() -> LibraryVersions:
    """As installed, which can be told when they cannot be imported."""
    return LibraryVersions(_version("lxml"), _version("xmlsec"), _version("python3-saml"))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


class ImportsOfLibraries:
    """Around the imports: whatever one raises becomes an error that names the versions.

    A pair that does not fit fails in many ways, of which some are exceptions that only the broken module defines.
    """

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(fault, Exception):
            raise LibrariesError(
                f"the SAML libraries cannot be imported ({fault})", library_versions()
            ) from fault
