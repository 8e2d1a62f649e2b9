"""What an answer that is no success means, in the errors of our tree. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from sessionctx.errors import (
    AccessDenied,
    BadAnswer,
    BadRequest,
    Busy,
    CannotDo,
    FileChanged,
    NoRoom,
    NoSuchFile,
    NotOffered,
    PeerFailed,
    SessionctxError,
)
from sessionctx.storage.s3.documents import Document, NotXML

_ABSENT: Final = frozenset({"NoSuchKey", "NoSuchBucket", "NoSuchUpload", "NoSuchVersion", "NotFound"})
_FULL: Final = frozenset(
    {
        "QuotaExceeded",
        "InsufficientCapacity",
        "XMinioStorageFull",
        "XMinioAdminBucketQuotaExceeded",
        "ServiceQuotaExceeded",
    }
)
_WAIT: Final = frozenset(
    {"SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
    | {"OperationAborted", "ConditionalRequestConflict", "TooManyBuckets", "SlowDownRead", "SlowDownWrite"}
)
_AGAIN: Final = frozenset(
    {
        "InternalError",
        "RequestTimeout",
        "BadDigest",
        "XAmzContentChecksumMismatch",
        "IncompleteBody",
        "InternalServerError",
    }
)
_STATUS: Final = {"PreconditionFailed": 412, "NoSuchUpload": 404, "AccessDenied": 403, "SlowDown": 503}
"""That of codes which may come as a success."""
_HINTS: Final = {
    "SignatureDoesNotMatch": "the secret key is wrong, or something on the way changes requests",
    "InvalidAccessKeyId": "the server does not know this access key",
    "RequestTimeTooSkewed": "this machine's clock is wrong: set it",
    "ExpiredToken": "the session token has expired: log in again",
    "AccessDenied": "the keys do not allow it; or the bucket is not public, if no keys are used",
}


@attrs.frozen
class Complaint:
    """What a server says about a request that it did not carry out."""

    status: int
    code: str = ""
    message: str = ""
    fields: Mapping[str, str] = attrs.field(factory=dict[str, str])
    wait: float | None = None
    region: str | None = None
    """Where the bucket is, if the server says so."""

    @classmethod
    def read(cls, status: int, headers: Mapping[str, str], body: bytes, wait: float | None = None) -> Complaint:
        """Read an answer; a body that is no XML says nothing."""
        try:
            fields = Document.parse(body).fields if body else {}
        except NotXML:
            fields = {}
        return cls(
            status=status,
            code=fields.get("Code", ""),
            message=fields.get("Message", ""),
            fields=fields,
            wait=wait,
            region=headers.get("x-amz-bucket-region") or fields.get("Region"),
        )

    @classmethod
    def of_record(cls, fields: Mapping[str, str]) -> Complaint:
        """Read what came within a success, and is none."""
        code = fields.get("Code", "")
        return cls(_STATUS.get(code, 500), code, fields.get("Message", ""), fields)

    @property
    def misdirected(self) -> bool:
        """Whether the bucket is somewhere else."""
        return self.status in (301, 307) or (
            self.status == 400 and self.region is not None and self.code in {"", "AuthorizationHeaderMalformed"}
        )

    @property
    def text(self) -> str:
        """What it says, short and printable."""
        said = [self.code[:80], self.message[:200]]
        return " ".join([str(self.status), *(ascii(part)[1:-1] for part in said if part)])

    def error(self, public: str, path: str) -> SessionctxError:  # noqa: PLR0911 - a table
        """Return the error for what was asked of *path* in the storage called *public*."""
        if (passing := self._of_the_server(public)) is not None:
            return passing
        where = f"{public}: {path or 'the root'}"
        if self.code == "NoSuchBucket":
            return NoSuchFile(f"{public}: there is no such bucket", storage=public, path=path)
        if self.status in (404, 410) or self.code in _ABSENT:
            return NoSuchFile(f"{where} is not there", storage=public, path=path)
        if self.status == 412:
            return FileChanged(f"{where} is not the version that was wanted", storage=public, path=path)
        if self.status == 507 or self.code in _FULL:
            return NoRoom(f"{where}: the storage is full ({self.text})", storage=public, path=path)
        if self.status in (401, 403) or self.code in _HINTS:
            hint = _HINTS.get(self.code or "AccessDenied", "the keys do not allow it")
            return AccessDenied(f"{where}: access denied ({self.text}): {hint}", storage=public, path=path)
        if self.status in (405, 501):
            return NotOffered(f"{public} does not do it ({self.text})", peer=public)
        if self.code == "EntityTooLarge":
            return CannotDo(f"{where}: it is too large ({self.text})", storage=public, path=path)
        if 400 <= self.status < 500:
            return BadRequest(f"{public} refuses the request ({self.text})", peer=public)
        return BadAnswer(f"{public} gives an unexpected answer ({self.text})", peer=public)

    def _of_the_server(self, public: str) -> SessionctxError | None:
        if self.status in (429, 503) or self.code in _WAIT:
            when = "" if self.wait is None else f"; it asks to wait {self.wait:g} s"
            return Busy(f"{public} is busy ({self.text}){when}", peer=public, retry_after=self.wait)
        if self.status in (500, 502, 504, 408) or self.code in _AGAIN:
            return PeerFailed(f"{public} failed ({self.text})", peer=public)
        return None
