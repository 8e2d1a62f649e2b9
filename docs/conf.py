"""How Sphinx builds these pages: ``sphinx-build -n -W docs docs/_build``. No network is needed."""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "sessionctx"
copyright = "the sessionctx authors"
release = version = version_of("sessionctx")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build", "changes.d"]
html_theme = "furo"
html_title = f"sessionctx {release}"
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
copybutton_prompt_text = r"\$ |>>> "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"

default_role = "code"  # in docstrings a single pair of backticks is just code
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True, "show-inheritance": True}
napoleon_numpy_docstring = False

# Names of other projects: their inventories would have to be downloaded. Our own names stay checked.
nitpick_ignore_regex = [
    ("py:.*", r"(?!sessionctx\b).*"),
    ("py:.*", r"sessionctx\.[\w.]+\.[A-Z][a-z]?"),  # type variables
    ("py:class", r"sessionctx\.fetch\.(batch|priors)\.\w+"),  # not public
    ("py:class", r"sessionctx\.testing\.storage\.\w+\.\w+Contract"),  # the parts of the contract that is
    ("py:class", r"sessionctx\.session\.life\.Closes"),  # what a session sees of a Slot; not public
]
suppress_warnings = ["ref.python"]  # fields named as a builtin, such as Limits.bytes, make "bytes" ambiguous
