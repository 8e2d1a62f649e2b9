"""Bodies of many parts: written lazily, with any headers for each; read in linear time, whatever they hold."""

from __future__ import annotations

from sessionctx.objects.multipart.decode import Data, Decoder, End, Event, Head
from sessionctx.objects.multipart.encode import Encoder, boundary_of, gathered

__all__ = ["Data", "Decoder", "Encoder", "End", "Event", "Head", "boundary_of", "gathered"]
