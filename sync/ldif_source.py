"""An export as the source of a snapshot: what the reader of LDIF and the file say, in the words of `Source`."""

import zlib
from collections.abc import Iterator
from typing import Protocol

from sync.entries import RawEntry, RejectedEntry
from sync.errors import LDIFError
from sync.ldif_reader import LDIFLimits, Readable, read_ldif
from sync.outcome import Complete, Failed, Outcome, Partial


class ExportLike(Protocol):
    """An export that is open for reading, such as `sync.export_file.Export`."""

    @property
    def stream(self) -> Readable: ...

    def doubt(self, *, checksum_required: bool) -> str | None:
        """Why the file may not be what was exported; None when nothing speaks against it."""
        ...

    def is_vouched(self) -> bool:
        """Whether a checksum proves the file whole."""
        ...


class LDIFSource:
    """Reads one export, once. What it says of its end is known afterwards."""

    place = "line"
    shows_bases = True
    """A whole export holds its bases themselves."""

    def __init__(
        self, export: ExportLike, *, limits: LDIFLimits | None = None, checksum_required: bool = False
    ) -> None:
        self.outcome: Outcome = Failed("the reading was given up")
        self.references: list[str] = []
        self._export = export
        self._limits = limits or LDIFLimits()
        self._checksum_required = checksum_required

    def entries(self, wanted: frozenset[str]) -> Iterator[RawEntry | RejectedEntry]:
        reading = read_ldif(self._export.stream, limits=self._limits, wanted=wanted)
        early_end = None
        try:
            yield from reading
        except LDIFError as err:
            self.outcome = Failed(str(err))
            return
        except EOFError:
            early_end = "the packed file ends early"
        except (OSError, zlib.error) as err:
            self.outcome = Failed(f"the export cannot be read: {err}")
            return
        self.references = reading.references
        doubts = (
            early_end,
            reading.truncation,
            self._export.doubt(checksum_required=self._checksum_required),
        )
        reason = "; ".join(doubt for doubt in doubts if doubt)
        self.outcome = Partial(reason) if reason else Complete()

    def is_vouched(self) -> bool:
        return self._export.is_vouched()
