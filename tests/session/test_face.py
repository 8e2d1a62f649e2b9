"""What a session shows: who types ``s.`` finds what the reference explains, and little else."""

from __future__ import annotations

import re
from pathlib import Path

from sessionctx.session import Session

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "api.md"


def test_a_session_shows_what_the_reference_lists_and_one_name_for_its_own_package():
    text = REFERENCE.read_text()
    for_users = re.search(r"Session\n   :no-members:\n   :members: (.+)", text).group(1).split(", ")
    for_layers = re.findall(r"auto(?:method|attribute):: sessionctx\.session\.Session\.(\w+)", text)
    shown = {name for name in dir(Session()) if not name.startswith("_")}
    assert shown == {*for_users, *for_layers, "life"}
