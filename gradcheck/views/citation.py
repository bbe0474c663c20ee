"""How the program is cited."""

from __future__ import annotations

from gradcheck import __version__

YEAR = 2026


def bibtex() -> str:
    """The program as an entry of BibTeX."""
    return f"""@software{{gradcheck,
  title   = {{gradcheck: gradient checking from one line of config to the relative error of every single weight}},
  author  = {{{{gradcheck contributors}}}},
  year    = {{{YEAR}}},
  version = {{{__version__}}},
  license = {{BSD-3-Clause}}
}}
"""
