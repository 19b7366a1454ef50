"""Configuration of the documentation: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))

import site_pages  # noqa: E402

site_pages.write_pages(HERE)

project = "transferability"
author = "the transferability developers"
copyright = "the transferability developers"
version = release = site_pages.read_toml("Cargo.toml")["workspace"]["package"]["version"]
language = "en"

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_nb",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "site_pages",
]
exclude_patterns = ["_build", "_ext", "gallery/*", "examples/*.ipynb", "project/extras.md"]

# Notebooks run at every build, and an error in a cell is an error of the build. None keeps outputs.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 100
nb_merge_streams = True
nitpicky = False
keep_warnings = False
suppress_warnings = ["config.cache"]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "substitution"]
myst_heading_anchors = 4
# `py` marks code that the tests do not run.
highlight_language = "none"
default_role = "code"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

autodoc_mock_imports = list(site_pages.MOCKED)
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": ["gallery"],
    "gallery_dirs": ["examples"],
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e6,
    "write_computation_times": False,
    "capture_repr": (),
    "plot_gallery": "True",
    "notebook_images": False,
}

html_math_renderer = "mathml"  # in the page: no script, no network
html_theme = "pydata_sphinx_theme"
html_title = "transferability"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_last_updated_fmt = None
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "show_toc_level": 2,
    "navigation_depth": 3,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "faq": []}  # they have no pages below them
