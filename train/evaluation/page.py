"""A page of figures: prose written by hand, with what was measured put in where marks ask for it.

A mark is a line `<!-- measured: NAME -->`. What stands between it and the next `<!-- end -->` is made from NAME.json
and the pictures beside it in the folder NAME, and replaced each time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from .report import Report

END = "<!-- end -->"
MISSING = "Not measured yet."
_MARKED = re.compile(r"(<!-- measured: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str, results: Path, link: str) -> str:
    """The page with every mark's figures from `results`; pictures are linked as `link`/NAME/FILE.

    Raises ConfigError where a file of figures is none, or where the page has no mark.
    """
    if _MARKED.search(page) is None:
        hint = f"Put '<!-- measured: NAME -->' and '{END}' on lines of their own where figures belong."
        raise ConfigError("the page has no mark", hint=hint)
    return _MARKED.sub(lambda mark: mark[1] + _block(mark["name"], results, link) + mark[3], page)


def _block(name: str, results: Path, link: str) -> str:
    folder = results / name
    path = folder / f"{name}.json"
    if not path.is_file():
        return f"{MISSING}\n"
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        _, _, figures = Report.from_json(document).markdown().partition("\n\n")
        made_by = _made_by(document)
    except (KeyError, json.JSONDecodeError) as error:
        lacks = f"lacks {error}" if isinstance(error, KeyError) else f"is no JSON: {error}"
        raise ConfigError(f"{path} {lacks}", hint="Make it again by worldloom eval … --json.") from error
    pictures = [f"![{picture.stem}]({link}/{name}/{picture.name})" for picture in sorted(folder.glob("*.jpg"))]
    return "\n\n".join([figures.strip(), made_by, *pictures]) + "\n"


def _made_by(document: Mapping[str, Any]) -> str:
    made = document["made_by"]
    worlds = len(document["settings"]["worlds"])
    return (
        f"{worlds} held-out worlds, preset {document['preset']}, weights {document['weights']}; {made['device']}, "
        f"PyTorch {made['torch']}, commit {made['commit'][:7]}: `{made['command']}`"
    )
