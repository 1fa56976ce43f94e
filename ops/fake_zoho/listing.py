"""Paging and filters as all of Zoho's lists have them.

An unknown filter is ignored, and so is a known one whose value is empty: both return everything.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from ops.fake_zoho.replies import JsonObject, Reply, invalid_value, success

LARGEST_PAGE = 200
LONGEST_FILTER = 100
PAGING = frozenset({"page", "per_page", "sort_column", "sort_order", "organization_id"})

type Matches = Callable[[str, str], bool]


def _equals(held: str, wanted: str) -> bool:
    return held.casefold() == wanted.casefold()


def _starts_with(held: str, wanted: str) -> bool:
    return held.casefold().startswith(wanted.casefold())


def contains(held: str, wanted: str) -> bool:
    return wanted.casefold() in held.casefold()


MATCHES: dict[str, Matches] = {"": _equals, "_startswith": _starts_with, "_contains": contains}
FILTER = re.compile(r"(?P<name>.+?)(?P<how>_startswith|_contains)?")


@dataclass(frozen=True)
class TextFilter:
    """One filter of a list call: a field's name, how to compare, and the text to compare with."""

    name: str
    how: str
    wanted: str

    def accepts(self, held: str) -> bool:
        return MATCHES[self.how](held, self.wanted)


def text_filters(query: Mapping[str, str]) -> list[TextFilter]:
    """Read all text filters of a query, whether or not the list in hand knows them."""
    filters = []
    for key, value in query.items():
        if key in PAGING or key == "filter_by" or not value.strip():
            continue
        if len(value) > LONGEST_FILTER:
            raise invalid_value(key)
        match = FILTER.fullmatch(key)
        if match is not None:
            filters.append(TextFilter(match["name"], match["how"] or "", value.strip()))
    return filters


@dataclass(frozen=True)
class Page:
    """Which rows of a list a caller wants, and in which order."""

    number: int
    size: int
    sort_column: str
    descending: bool

    @classmethod
    def of(cls, query: Mapping[str, str], columns: Sequence[str]) -> "Page":
        """Read the paging keys; the first column is the order that nobody asked for."""
        column = query.get("sort_column", "")
        return cls(
            number=_count(query, "page", 1),
            size=min(_count(query, "per_page", LARGEST_PAGE), LARGEST_PAGE),
            sort_column=column if column in columns else columns[0],
            descending=query.get("sort_order", "A").upper() in {"D", "DESCENDING"},
        )

    def cut[Row](self, rows: Sequence[Row]) -> Sequence[Row]:
        start = (self.number - 1) * self.size
        return rows[start : start + self.size]

    def context(self, total: int, report_name: str, applied_filter: str) -> JsonObject:
        """Make the page_context; as in Zoho, nothing in it tells the total."""
        return {
            "page": self.number,
            "per_page": self.size,
            "has_more_page": self.number * self.size < total,
            "report_name": report_name,
            "applied_filter": applied_filter,
            "sort_column": self.sort_column,
            "sort_order": "D" if self.descending else "A",
        }


def _count(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not re.fullmatch(r"[1-9]\d{0,8}", text):
        raise invalid_value(name)
    return int(text)


@dataclass(frozen=True, kw_only=True)
class ListOf[Record]:
    """One kind of list: what it is called, what it can be filtered and sorted by.

    The first of `orders` and the first of `filters` are what applies when nobody asks; `texts` are
    the text filters that work, `searched` what `search_text` looks into.
    """

    envelope: str
    report_name: str
    row: Callable[[Record], JsonObject]
    key: Callable[[Record], str]
    orders: Mapping[str, Callable[[Record], Any]]
    filters: Mapping[str, Callable[[Record], bool]]
    texts: Mapping[str, Callable[[Record], str]] = field(default_factory=dict)
    searched: Callable[[Record], tuple[str, ...]] | None = None

    def answer(self, records: Iterable[Record], query: Mapping[str, str]) -> Reply:
        page = Page.of(query, tuple(self.orders))
        asked = query.get("filter_by", "")
        applied = asked if asked in self.filters else next(iter(self.filters))
        wanted = text_filters(query)
        found = [
            record
            for record in records
            if self.filters[applied](record) and all(self._accepts(one, record) for one in wanted)
        ]
        order = self.orders[page.sort_column]
        found.sort(key=lambda record: (order(record), self.key(record)), reverse=page.descending)
        rows: dict[str, Any] = {self.envelope: [self.row(record) for record in page.cut(found)]}
        context = page.context(len(found), self.report_name, applied)
        return success(page_context=context, **rows)

    def _accepts(self, one: TextFilter, record: Record) -> bool:
        if one.name == "search_text" and not one.how and self.searched is not None:
            return any(contains(text, one.wanted) for text in self.searched(record))
        text = self.texts.get(one.name)
        return text is None or one.accepts(text(record))


def day_filters(query: Mapping[str, str], name: str, *, apply: bool) -> Callable[[date], bool]:
    """Read Books' filters by date: the day itself, or `_start`, `_end`, `_before`, `_after`.

    Whether Billing has them is not known: where they do not apply they are ignored.
    """
    kinds: dict[str, Callable[[date, date], bool]] = {
        "": lambda held, wanted: held == wanted,
        "_start": lambda held, wanted: held >= wanted,
        "_end": lambda held, wanted: held <= wanted,
        "_before": lambda held, wanted: held < wanted,
        "_after": lambda held, wanted: held > wanted,
    }
    limits: list[tuple[Callable[[date, date], bool], date]] = []
    for kind, holds in kinds.items():
        text = query.get(f"{name}{kind}", "").strip()
        if apply and text:
            try:
                limits.append((holds, date.fromisoformat(text)))
            except ValueError as error:
                raise invalid_value(f"{name}{kind}") from error
    return lambda held: all(holds(held, wanted) for holds, wanted in limits)
