"""Settings of the site; `make docs` builds it, and fails on any warning."""

import pathlib
import sys
from importlib.metadata import version as version_of

ROOT = pathlib.Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(pathlib.Path(__file__).parent / "ext")]

project = "ntk-localsgd"
author = "The ntk-localsgd authors"
version = release = version_of("ntk-localsgd")

# The last four stand in ext/: API pages with a check that nothing public is missing, gallery and evidence, powers and
# indices, links.
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_gallery.gen_gallery",
    "api",
    "showcase",
    "typesetting",
    "links",
]
exclude_patterns = ["ext", "tutorials", "examples", "reference_vectors"]

# Docstrings: `name` links to what has an entry and is code elsewhere.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "separated"
autodoc_default_options = {"members": True, "exclude-members": "__new__, __init__"}
napoleon_google_docstring = False
napoleon_use_ivar = False
python_use_unqualified_type_names = True
toc_object_entries = False

myst_enable_extensions = ["attrs_inline", "colon_fence"]
myst_heading_anchors = 3

# Tutorials are scripts: the whole build executes them, `-D plot_gallery=0` does not.
sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "generated/tutorials",
    "filename_pattern": "/",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "remove_config_comments": True,
    "within_subsection_order": "FileNameSortKey",
}

html_theme = "furo"
html_title = f"ntk-localsgd {release}"
html_show_sourcelink = html_show_copyright = False
html_copy_source = False
html_static_path: list[str] = []
# No request to another host: no fonts, no mathematics by script. Formulas are Unicode, or MathML by SymPy.
html_theme_options = {"top_of_page_buttons": []}
