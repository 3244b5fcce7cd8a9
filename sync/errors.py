"""Faults of reading a directory. A refused entry is not among them: it is reported and the reading goes on."""


class SyncError(Exception):
    """Root of the package. `code` is a stable slug; the text says what, which one, and what to do."""

    code = "sync_error"


class LDIFError(SyncError):
    """The file as a whole cannot be read as content records. `line` counts from 1."""

    code = "ldif"

    def __init__(self, message: str, *, line: int) -> None:
        super().__init__(f"line {line}: {message}")
        self.line = line


class ExportFileError(SyncError):
    """The export cannot be opened, or its name leads out of the configured folder."""

    code = "export_file"

    def __init__(self, message: str, *, name: str) -> None:
        super().__init__(message)
        self.name = name


class DialectError(SyncError):
    """The settings of a directory name a dialect or an attribute that cannot be used."""

    code = "dialect"


class EntryError(SyncError):
    """One entry cannot be taken over. It is rejected alone; the reading goes on."""

    code = "entry"


class UnreadableSourceError(SyncError):
    """The source gave nothing that may be used. The text says why.

    `may_pass`: another try may succeed.
    """

    code = "unreadable_source"

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass


class BERError(SyncError):
    """What a server sent is no LDAP message, or too large a one. Nothing of it was taken over."""

    code = "ber"


class LDAPError(SyncError):
    """A directory server could not be read. The text names the server or the DN, the limit hit, and the remedy."""

    code = "ldap"
    may_pass = False
    """Whether another try, perhaps on another server, may succeed."""


class LDAPConnectionError(LDAPError):
    """A server cannot be reached, has closed the connection, or has been silent for too long."""

    code = "ldap_connection"
    may_pass = True


class LDAPTLSError(LDAPError):
    """The connection is not as safe as the settings demand: no password was sent."""

    code = "ldap_tls"


class LDAPBindError(LDAPError):
    """The server does not let the account in. Tried once in a run, so that no account is locked out by it."""

    code = "ldap_bind"


class LDAPAnswerError(LDAPError):
    """The server refused to answer, or its answer does not keep to the protocol."""

    code = "ldap_answer"


class LDAPSettingsError(LDAPError):
    """The settings of the directory cannot be used. `setting` names the one at fault, where it is one alone."""

    code = "ldap_settings"

    def __init__(self, message: str, *, setting: str = "") -> None:
        super().__init__(message)
        self.setting = setting


class DoubtError(SyncError):
    """An incremental answer that may not be relied on: it is dropped, and the directory is read in full."""

    code = "doubt"
