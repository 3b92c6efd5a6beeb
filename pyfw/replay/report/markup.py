"""Builds HTML from elements; every text is escaped."""

import html
from collections.abc import Iterable

_VOID = {"meta", "link", "br", "hr", "input", "col"}


class Html(str):
    """Text that is already markup."""

    __slots__ = ()


def element(name: str, /, *children: str | None, **attributes: str | int | bool | None) -> Html:
    """Returns an element. `class_` and `data_tip` become class and data-tip; None and False are omitted."""
    written = "".join(
        f" {_attribute(key)}"
        if value is True
        else f' {_attribute(key)}="{html.escape(str(value), quote=True)}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{joined(children)}</{name}>")


def joined(children: Iterable[str | None], between: str = "") -> Html:
    """Concatenates pieces."""
    return Html(between.join(_escaped(child) for child in children if child is not None))


def table(
    caption: str | None, heads: Iterable[str], rows: Iterable[Html], class_: str | None = None
) -> Html:
    """Returns a table that scrolls on a narrow page."""
    return element(
        "div",
        element(
            "table",
            element("caption", caption) if caption else None,
            element("thead", element("tr", *(element("th", head, scope="col") for head in heads))),
            element("tbody", *rows),
            class_=class_,
        ),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=caption or "table",
    )


def row(head: str, *cells: str, **attributes: str | None) -> Html:
    """Returns a row whose first cell is its heading."""
    return element(
        "tr",
        element("th", head, scope="row"),
        *(element("td", cell) for cell in cells),
        **attributes,
    )


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _escaped(child: str) -> str:
    return child if isinstance(child, Html) else html.escape(child, quote=False)
