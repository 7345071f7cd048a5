"""Text of records made safe for where it is shown.

Names and reasons may come from a stranger's record: they must not end a table cell, start a
formula, or send control sequences to a terminal.
"""

from __future__ import annotations

import re
import unicodedata

_MARKDOWN = re.compile(r"[\\`*_{}\[\]#|~$!]")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str) -> str:
    """`text` on one line, without control, formatting or unassigned characters.

    >>> printable("a\\nb\\x1b[31m")
    'a b[31m'
    """
    spaced = " ".join(text.split())
    return "".join(c for c in spaced if unicodedata.category(c)[0] != "C")


def escape_markdown(text: str) -> str:
    """`text` as literal Markdown that also stays within a table cell.

    >>> escape_markdown("a|b <c>")
    'a\\\\|b &lt;c&gt;'
    """
    text = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(lambda match: "\\" + match.group(), text)


def escape_csv(text: str) -> str:
    """`text` as spreadsheets show it, and never as a formula: an apostrophe goes before it.

    Source: OWASP, CSV Injection.

    >>> escape_csv("=1+1")
    "'=1+1"
    """
    text = printable(text)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def file_name(text: str) -> str:
    """`text` as one portable part of a path.

    >>> file_name("digits@1")
    'digits-1'
    """
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip(".-") or "unnamed"
