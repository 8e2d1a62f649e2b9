"""Objects by key in a service over HTTP: put, get, head, delete, one by one or many at a time."""

from __future__ import annotations

from sessionctx.objects.client import Objects
from sessionctx.objects.metadata import MANUAL, Expiration, Metadata
from sessionctx.objects.operations import Delete, Get, Head, Operation, Put
from sessionctx.objects.outcome import Object, Result
from sessionctx.objects.paths import Place
from sessionctx.objects.shelf import Shelf, open_shelf
from sessionctx.objects.single import Reading
from sessionctx.objects.tokens import Grant, KnownKey, Permission, SigningKey, Verifier

__all__ = [
    "MANUAL",
    "Delete",
    "Expiration",
    "Get",
    "Grant",
    "Head",
    "KnownKey",
    "Metadata",
    "Object",
    "Objects",
    "Operation",
    "Permission",
    "Place",
    "Put",
    "Reading",
    "Result",
    "Shelf",
    "SigningKey",
    "Verifier",
    "open_shelf",
]
