"""The form of dag-pb nodes in the data model, in which other codecs write them: ``{"Data": bytes, "Links": [...]}``.

Source: ipld.io/specs/codecs/dag-pb/spec, "Logical Format".
"""

from __future__ import annotations

from itertools import pairwise

from sessionctx.content.cid import CID
from sessionctx.content.dagpb import PBLink, PBNode
from sessionctx.content.data import Value


def form_of(node: PBNode) -> dict[str, Value]:
    """Return *node* as plain data; what it lacks is left out."""
    form: dict[str, Value] = {}
    if node.data is not None:
        form["Data"] = node.data
    form["Links"] = [_form_of_link(link) for link in node.links]
    return form


def _form_of_link(link: PBLink) -> dict[str, Value]:
    form: dict[str, Value] = {"Hash": link.cid}
    if link.name is not None:
        form["Name"] = link.name
    if link.tsize is not None:
        form["Tsize"] = link.tsize
    return form


def node_of(value: Value) -> PBNode:
    """Return the node that has this form; its links must be in order already.

    :exc:`TypeError` or :exc:`ValueError` for what is no node.
    """
    if not isinstance(value, dict) or not {"Links"} <= value.keys() <= {"Data", "Links"}:
        raise ValueError("dag-pb: a node is a map with Links, and maybe Data")
    data, links = value.get("Data"), value["Links"]
    if "Data" in value and not isinstance(data, bytes):
        raise TypeError("dag-pb: Data must be bytes")
    if not isinstance(links, list):
        raise TypeError("dag-pb: Links must be a list")
    found = tuple(_link_of(link) for link in links)
    names = [(link.name or "").encode() for link in found]
    if any(later < sooner for sooner, later in pairwise(names)):
        raise ValueError("dag-pb: Links must be in the order of the bytes of their names")
    return PBNode(found, data if isinstance(data, bytes) else None)


def _link_of(value: Value) -> PBLink:
    if not isinstance(value, dict) or not {"Hash"} <= value.keys() <= {"Hash", "Name", "Tsize"}:
        raise ValueError("dag-pb: a link is a map with a Hash, and maybe a Name and a Tsize")
    cid, name, tsize = value["Hash"], value.get("Name"), value.get("Tsize")
    if not isinstance(cid, CID):
        raise TypeError("dag-pb: the Hash of a link must be a CID")
    if "Name" in value and not isinstance(name, str):
        raise TypeError("dag-pb: the Name of a link must be a text")
    if "Tsize" in value and (type(tsize) is not int or tsize < 0):
        raise ValueError("dag-pb: the Tsize of a link must be an int, and not negative")
    return PBLink(cid, name if isinstance(name, str) else None, tsize if type(tsize) is int else None)
