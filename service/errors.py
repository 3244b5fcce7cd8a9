"""What can go wrong around the service itself, each as an operator can act on it."""

from collections.abc import Sequence


class ServiceError(Exception):
    """Root of the package. `code` is a stable slug; the text says what, which one, and what to do."""

    code = "service_error"


class SettingsError(ServiceError):
    """Settings that cannot be used. `faults` holds all of them, each naming its variable."""

    code = "settings_invalid"

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class NotFoundError(ServiceError):
    """Nothing bears this name."""

    code = "not_found"


class AmbiguousNameError(ServiceError):
    """Several things bear this name. `candidates` says how to name each of them alone."""

    code = "ambiguous_name"

    def __init__(self, kind: str, name: str, candidates: Sequence[str]) -> None:
        listed = "; ".join(candidates)
        super().__init__(f"'{name}' names more than one {kind}: {listed}; name it by its id")
        self.candidates = tuple(candidates)


class InputError(ServiceError):
    """A file or value handed in that cannot be used. `faults` holds all that is wrong with it."""

    code = "invalid"

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


class RefusedError(ServiceError):
    """The rules say no. `code` is that of the refusal, `event_id` its event where one was written."""

    code = "refused"

    def __init__(self, code: str, message: str, *, event_id: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.event_id = event_id


class DirectoryBusyError(ServiceError):
    """Another run holds the directory."""

    code = "directory_busy"


class FileAccessError(ServiceError):
    """A file that cannot be read or written."""

    code = "file_access"


class MissingKeyError(ServiceError):
    """The database holds values sealed by a key that is not there."""

    code = "missing_key"


class ServerStartError(ServiceError):
    """The server cannot listen where it is told to."""

    code = "server_start"
