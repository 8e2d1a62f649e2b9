"""Why a text is no CID, in words for the person who pasted it."""

from __future__ import annotations

from typing import Final

_SHOWN: Final = 64
_LOOKED_AT: Final = 1024
_CONFUSED: Final = "0OIl"
_BEGINNINGS: Final = {
    "/ipfs/": "it is a path; give the CID alone, the part behind /ipfs/",
    "/ipns/": "it is an IPNS path, which names a publisher; give the CID that it points to",
    "ipfs://": "it is a URL; give the CID alone, the part behind ipfs://",
    "ipns://": "it is an IPNS URL, which names a publisher; give the CID that it points to",
    "http://": "it is a URL; give the CID in it, and the gateway as a peer",
    "https://": "it is a URL; give the CID in it, and the gateway as a peer",
    "12d3koo": "it is an IPNS key or peer ID, which names a publisher; give the CID that it points to",
    "16uiu2ha": "it is an IPNS key or peer ID, which names a publisher; give the CID that it points to",
}


def explain(text: object, reason: str) -> str:
    """Return one sentence on what is wrong with *text*; *reason* is what the decoder said."""
    if not isinstance(text, str):
        return f"a CID is parsed from text, not from {type(text).__name__}; CID.from_bytes() reads the binary form"
    shown = repr(text) if len(text) <= _SHOWN else f"{text[:_SHOWN]!r}... ({len(text)} characters)"
    return f"{shown} is no CID: {_guess(text[:_LOOKED_AT]) or reason}"


def _guess(text: str) -> str:
    if not text:
        return "it is empty"
    for at, letter in enumerate(text, 1):
        if letter.isspace():
            return f"it has a space or line break at position {at}; remove it"
    for beginning, advice in _BEGINNINGS.items():
        if text.lower().startswith(beginning):
            return advice
    if text[0] not in "mM" and "/" in text:  # in base64, "/" is a digit
        return f"a path begins at position {text.index('/') + 1}; give the CID alone"
    return _version_0(text) if text.startswith("Qm") else ""


def _version_0(text: str) -> str:
    for at, letter in enumerate(text, 1):
        if letter in _CONFUSED:
            return f"it has {letter!r} at position {at}; base58 leaves out 0, O, I and l, so check what was copied"
        if not (letter.isascii() and letter.isalnum()):
            return f"it has {letter!r} at position {at}, which is no digit of base58"
    return f"a CID that begins with Qm has 46 characters, this one has {len(text)}" if len(text) != 46 else ""
