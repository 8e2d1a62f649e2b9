"""Text forms of bytes, with a first letter that names the alphabet.

Source: github.com/multiformats/multibase. A base is a row of the table; all bases of the project's test vectors are
here. Made for names, not for payloads: texts end at 4096 characters, since the number bases cost their square.
"""

from __future__ import annotations

import functools
from typing import Final

import attrs

from sessionctx.errors import DecodeError, Unsupported

MAX_TEXT: Final = 4096
"""Characters in the longest text that is read or written."""

_INVALID: Final = 0xFF
_B32: Final = "abcdefghijklmnopqrstuvwxyz234567"
_B36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_INT_DIGITS: Final = _B36.encode().ljust(256, b"\xff")
"""From the value of a digit to what :class:`int` reads."""
_B58: Final = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_B58FLICKR: Final = "123456789abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ"
_B64: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_B64URL: Final = _B64[:-2] + "-_"
_EMOJI: Final = (
    "🚀🪐☄🛰🌌🌑🌒🌓🌔🌕🌖🌗🌘🌍🌏🌎🐉☀💻🖥💾💿😂❤😍🤣😊🙏💕😭😘👍😅👏😁🔥🥰💔💖💙😢🤔😆🙄💪😉☺👌🤗💜😔😎😇🌹🤦🎉💞✌✨🤷😱😌🌸🙌"
    "😋💗💚😏💛🙂💓🤩😄😀🖤😃💯🙈👇🎶😒🤭❣😜💋👀😪😑💥🙋😞😩😡🤪👊🥳😥🤤👉💃😳✋😚😝😴🌟😬🙃🍀🌷😻😓⭐✅🥺🌈😈🤘💦✔😣🏃💐☹🎊💘😠☝"
    "😕🌺🎂🌻😐🖕💝🙊😹🗣💫💀👑🎵🤞😛🔴😤🌼😫⚽🤙☕🏆🤫👈😮🙆🍻🍃🐶💁😲🌿🧡🎁⚡🌞🎈❌✊👋😰🤨😶🤝🚶💰🍓💢🤟🙁🚨💨🤬✈🎀🍺🤓😙💟🌱"
    "😖👶🥴▶➡❓💎💸⬇😨🌚🦋😷🕺⚠🙅😟😵👎🤲🤠🤧📌🔵💅🧐🐾🍒😗🤑🌊🤯🐷☎💧😯💆👆🎤🙇🍑❄🌴💣🐸💌📍🥀🤢👅💡💩👐📸👻🤐🤮🎼🥵🚩🍎🍊👼"
    "💍📣🥂"
)


@attrs.frozen(eq=False)
class _Base:
    """One base: *bits* a character holds, 0 where the bytes are written as one big number."""

    prefix: str
    alphabet: str
    bits: int = 0
    pad: bool = False
    fold: bool = False

    @functools.cached_property
    def pairs(self) -> list[str]:
        return [high + low for high in self.alphabet for low in self.alphabet]

    @functools.cached_property
    def digits(self) -> bytes:
        """From ASCII to the value of a digit."""
        table = bytearray((_INVALID,) * 256)
        for value, letter in enumerate(self.alphabet):
            for form in {letter, letter.swapcase()} if self.fold else letter:
                table[ord(form)] = value
        return bytes(table)

    @property
    def group(self) -> int:
        """Characters that padding rounds up to."""
        return 4 if self.bits == 6 else 8

    def encode(self, data: bytes) -> str:
        if self.bits:
            length = -(-len(data) * 8 // self.bits)
            number = int.from_bytes(data, "big") << (length * self.bits - len(data) * 8)
            text = self._write(number)[-length:] if length else ""
        else:
            length = len(data) - len(data.lstrip(b"\0"))
            number = int.from_bytes(data, "big")
            text = self._write(number).lstrip(self.alphabet[0])
            length += len(text)
        text = text.rjust(length, self.alphabet[0])
        return text + "=" * (-len(text) % self.group) if self.pad else text

    def _write(self, number: int) -> str:
        pairs, out = self.pairs, list[str]()
        while number:
            number, pair = divmod(number, len(pairs))
            out.append(pairs[pair])
        out.reverse()
        return "".join(out)

    def decode(self, text: str) -> bytes:
        if self.pad:
            padded, text = text, text.rstrip("=")
            if len(padded) != len(text) + -len(text) % self.group:
                raise DecodeError("the padding at its end is wrong")
        number = self._read(text)
        if not self.bits:
            zeros = len(text) - len(text.lstrip(self.alphabet[0]))
            return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
        size, rest = divmod(len(text) * self.bits, 8)
        if rest >= self.bits or number & ((1 << rest) - 1):
            raise DecodeError("it ends inside a byte: letters are missing or changed at its end")
        return (number >> rest).to_bytes(size, "big")

    def _read(self, text: str) -> int:
        digits = text.encode("ascii", "replace").translate(self.digits)  # "?" is in no alphabet
        if _INVALID in digits:
            raise _unknown_letter(text, self.alphabet + (self.alphabet.swapcase() if self.fold else ""))
        if len(self.alphabet) <= 36:  # several times faster than a loop of our own
            return int(digits.translate(_INT_DIGITS) or b"0", len(self.alphabet))
        return _join(digits, len(self.alphabet))


def _join(digits: bytes, base: int) -> int:
    """Return the number that *digits* are in *base*.

    Neighbours are joined all at once in one large number: digits to pairs, pairs to fours and so on. That is nearly
    twice as fast as one digit after the other.
    """
    number = int.from_bytes(digits, "big")
    for width, low in _joints(len(digits)):
        number = (number & low) + (number >> width & low) * base
        base *= base
    return number


@functools.lru_cache(maxsize=64)
def _joints(length: int) -> list[tuple[int, int]]:
    """Return the steps of :func:`_join`: the bits of a part, and a mask of each second part."""
    widths = [8 << step for step in range((length - 1).bit_length())]
    return [(width, sum(((1 << width) - 1) << at for at in range(0, 8 * length, 2 * width))) for width in widths]


class _Emoji:
    """One picture a byte."""

    prefix = _EMOJI[0]

    def encode(self, data: bytes) -> str:
        return "".join([_EMOJI[byte] for byte in data])

    def decode(self, text: str) -> bytes:
        values = {letter: value for value, letter in enumerate(_EMOJI)}
        try:
            return bytes(values[letter] for letter in text)
        except KeyError:
            raise _unknown_letter(text, _EMOJI) from None


def _unknown_letter(text: str, alphabet: str) -> DecodeError:
    at, letter = next((at, letter) for at, letter in enumerate(text, 2) if letter not in alphabet)
    return DecodeError(f"it has {letter!r} at position {at}, which is no digit of its base")


_BASES: Final[dict[str, _Base | _Emoji]] = {
    "base2": _Base("0", "01", 1),
    "base8": _Base("7", "01234567", 3),
    "base10": _Base("9", "0123456789"),
    "base16": _Base("f", _B36[:16], 4, fold=True),
    "base16upper": _Base("F", _B36[:16].upper(), 4, fold=True),
    "base32": _Base("b", _B32, 5, fold=True),
    "base32upper": _Base("B", _B32.upper(), 5, fold=True),
    "base32pad": _Base("c", _B32, 5, pad=True, fold=True),
    "base32padupper": _Base("C", _B32.upper(), 5, pad=True, fold=True),
    "base32hex": _Base("v", _B36[:32], 5, fold=True),
    "base32hexupper": _Base("V", _B36[:32].upper(), 5, fold=True),
    "base32hexpad": _Base("t", _B36[:32], 5, pad=True, fold=True),
    "base32hexpadupper": _Base("T", _B36[:32].upper(), 5, pad=True, fold=True),
    "base32z": _Base("h", "ybndrfg8ejkmcpqxot1uwisza345h769", 5),
    "base36": _Base("k", _B36, fold=True),
    "base36upper": _Base("K", _B36.upper(), fold=True),
    "base58btc": _Base("z", _B58),
    "base58flickr": _Base("Z", _B58FLICKR),
    "base64": _Base("m", _B64, 6),
    "base64pad": _Base("M", _B64, 6, pad=True),
    "base64url": _Base("u", _B64URL, 6),
    "base64urlpad": _Base("U", _B64URL, 6, pad=True),
    "base256emoji": _Emoji(),
}
_BY_PREFIX: Final = {base.prefix: base for base in _BASES.values()}
NAMES: Final = tuple(_BASES)
"""The names that :func:`encode` takes."""


def encode(base: str, data: bytes) -> str:
    """Return *data* as text in a base by its name, such as ``"base32"`` or ``"base58btc"``.

    :exc:`Unsupported` for an unknown base, or where the text would be longer than 4096 characters.
    """
    row = _BASES.get(base)
    if row is None:
        raise Unsupported(f"there is no base {base!r} here, but {', '.join(NAMES)}")
    if len(data) * 8 > MAX_TEXT:
        raise Unsupported(f"{len(data)} bytes are too many for multibase, which is made for names")
    return row.prefix + row.encode(data)


def decode(text: str) -> bytes:
    """Return the bytes of a multibase text; its first letter names the base.

    :exc:`Unsupported` for an unknown first letter, :exc:`DecodeError` for a text that breaks the rules of its base or
    is longer than 4096 characters. Letters may be of either case where the base allows it.
    """
    row = _BY_PREFIX.get(text[:1])
    if row is None:
        raise Unsupported(f"no base is named by the first letter {text[:1]!r}")
    if len(text) > MAX_TEXT:
        raise DecodeError(f"it has {len(text)} characters; {MAX_TEXT} is the limit")
    return row.decode(text[1:])
