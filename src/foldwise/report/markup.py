"""HTML from Python: everything is escaped but what is marked as HTML already."""

import json
from collections.abc import Collection, Sequence
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


class Html(str):
    """Text that is HTML already."""


Cell = object  # text, Html, or (what is shown, what it is sorted by)


def html(value: object) -> Html:
    return value if isinstance(value, Html) else Html(escape(str(value)))


def tag(name: str, *content: object, **attributes: object) -> Html:
    """<name …>content</name>; ``class_`` is class, ``data_x`` is data-x."""
    words = [
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    ]
    inner = "".join(html(part) for part in content)
    return Html(f"<{name}{''.join(words)}>{inner}</{name}>")


def join(parts: Sequence[object]) -> Html:
    return Html("".join(html(part) for part in parts))


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    words: Collection[int] = (0,),
    search: bool = False,
) -> Html:
    """A table that sorts by a click on its head; the columns ``words`` hold text."""
    if not rows:
        return Html("")
    sides = [None if n in words else "n" for n in range(len(head))]
    first = tag(
        "tr",
        *(
            tag("th", tag("button", name, type="button"), class_=side, scope="col")
            for name, side in zip(head, sides, strict=True)
        ),
    )
    body = [
        tag("tr", *(_cell(cell, side) for cell, side in zip(row, sides, strict=True)))
        for row in rows
    ]
    box = (
        tag("input", type="search", placeholder="search", aria_label="search the table")
        if search
        else ""
    )
    whole = tag("table", tag("thead", first), tag("tbody", *body))
    return tag("div", box, tag("div", whole, class_="scroll"), class_="sortable")


def _cell(cell: Cell, side: str | None) -> Html:
    shown, value = cell if isinstance(cell, tuple) else (cell, None)
    return tag("td", shown, class_=side, data_v=value)


def section(title: str, *content: object) -> Html:
    """A part of the page with an entry in its list; nothing where there is no content."""
    inner = join(content)
    if not inner:
        return Html("")
    place = "".join(letter if letter.isalnum() else "-" for letter in title.lower())
    return tag("section", tag("h2", title), inner, id=place)


def note(*content: object) -> Html:
    return tag("p", *content, class_="note")


def figures(*parts: object) -> Html:
    """Figures beside each other where there is room."""
    shown = [tag("figure", part) for part in parts if part]
    return tag("div", *shown, class_="figures") if shown else Html("")


def page(title: str, body: Html, data: dict[str, Any] | None = None) -> str:
    """The whole file: nothing in it is fetched from anywhere."""
    style = (HERE / "page.css").read_text(encoding="utf-8")
    script = (HERE / "page.js").read_text(encoding="utf-8")
    parts = ""
    if data is not None:
        text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
        parts = f'<script type="application/json" id="data">{text}</script>'
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f"{body}\n{parts}<script>{script}</script>\n</body>\n</html>\n"
    )
