"""Sphinx: the reference from the docstrings, and a few pages."""

import imreg_xp

project = "imreg_xp"
author = "The imreg_xp developers"
version = release = imreg_xp.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc", "myst_parser"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
default_role = "code"
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"page_width": "64em", "sidebar_width": "15em"}

autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
