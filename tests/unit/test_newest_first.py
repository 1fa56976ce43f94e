"""A walk back to a moment: nothing that is new is missed, and no more is read than must be."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_sync.services.newest_first import newest_first

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Listed:
    rows: list[tuple[int, datetime | None]]
    has_more: bool


class ZohosList:
    """A list in pages of three; each row is its place and the minute, from noon, of its making."""

    def __init__(self, *minutes: int | None) -> None:
        self.rows = [
            (place, None if minute is None else NOON + timedelta(minutes=minute))
            for place, minute in enumerate(minutes)
        ]
        self.read: list[int] = []

    def page(self, number: int) -> Listed:
        self.read.append(number)
        end = 3 * number
        return Listed(self.rows[end - 3 : end], has_more=end < len(self.rows))

    def since_noon(self) -> list[int]:
        return [place for place, _ in newest_first(self.page, NOON, lambda row: row[1])]


def test_it_ends_where_the_rows_have_reached_back() -> None:
    listed = ZohosList(40, 31, 31, 2, 0, -1, -2, -3, -4)

    assert listed.since_noon() == [0, 1, 2, 3, 4]
    assert listed.read == [1, 2]


@pytest.mark.parametrize(
    ("why", "minutes"),
    [
        ("not sorted", (-5, -1, -7, -8, -9, -10, 3)),
        ("sorted the other way", (-9, -8, -7, -6, 3)),
        ("all made in one import: that shows no order", (-5, -5, -5, -5, -5, -5, 3)),
        ("one does not say when", (5, None, -5, -6, -7, -8, 3)),
    ],
)
def test_rows_that_do_not_show_that_they_are_sorted_are_read_to_the_end(
    why: str, minutes: tuple[int | None, ...]
) -> None:
    listed = ZohosList(*minutes)

    found = listed.since_noon()

    assert minutes.index(3) in found, why
    assert listed.read == list(range(1, -(-len(minutes) // 3) + 1))


def test_one_that_does_not_say_when_it_was_made_counts_as_new() -> None:
    assert ZohosList(-5, None).since_noon() == [1]


def test_an_empty_list_has_nothing_new() -> None:
    assert ZohosList().since_noon() == []


@given(st.lists(st.none() | st.integers(-9, 9), max_size=12), st.booleans())
def test_of_a_list_in_any_order_nothing_new_is_missed_unless_it_showed_that_it_is_sorted(
    minutes: list[int | None], is_sorted: bool
) -> None:
    if is_sorted:
        minutes = [*sorted((m for m in minutes if m is not None), reverse=True)]
    listed = ZohosList(*minutes)
    whole = -(-len(minutes) // 3) or 1

    found = listed.since_noon()

    new = [place for place, minute in enumerate(minutes) if minute is None or minute >= 0]
    assert found == [place for place in new if place < 3 * len(listed.read)]
    if is_sorted or len(listed.read) == whole:
        assert found == new
