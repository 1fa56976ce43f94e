"""Walk one of Zoho's lists from its newest row back to a moment, without trust in its sorting."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from billing_sync.ports import Organisations

CLOCKS_MAY_DIFFER: Final = timedelta(minutes=10)
"""How far Zoho's clock may be from our database's, when «made since» is asked."""

THE_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


def since_there(moment: datetime, organisations: Organisations) -> datetime:
    """Give the time back to which a list is walked for what was made there since `moment` here.

    An organisation whose calendar is of its own making (tests and demos) is not yet where our
    clock is: times there tell nothing then, and the whole list is walked.
    """
    here = moment.astimezone(organisations.time_zone()).date()
    return moment - CLOCKS_MAY_DIFFER if here <= organisations.today() else THE_BEGINNING


class Listed[Row](Protocol):
    """One page of any list. `has_more` as Zoho says it."""

    @property
    def rows(self) -> Sequence[Row]: ...

    @property
    def has_more(self) -> bool: ...


def newest_first[Row](
    list_page: Callable[[int], Listed[Row]],
    since: datetime,
    made: Callable[[Row], datetime | None],
) -> Iterator[Row]:
    """Give every row that was made at or after `since`, and those that do not say when.

    `list_page` reads a page, from 1, of the list sorted by creation, newest first. Complete by
    construction: the rows themselves show that they are sorted; where they do not, all pages are
    read. (Rows that were imported together bear one time: in whatever order they come, that shows
    nothing.) One that moves to the next page while we walk comes twice.

        page 1   12:40  12:31  12:31     it falls: it is sorted
        page 2   12:02  11:58  11:40     11:58 is before `since`, 12:00: nothing later can be newer
    """
    page, is_sorted, falls = 1, True, False
    last: datetime | None = None
    while True:
        listed = list_page(page)
        for row in listed.rows:
            moment = made(row)
            is_sorted = is_sorted and moment is not None and (last is None or moment <= last)
            falls = falls or (moment is not None and last is not None and moment < last)
            last = moment
            if moment is None or moment >= since:
                yield row
        reached_back = is_sorted and falls and last is not None and last < since
        if reached_back or not listed.has_more:
            return
        page += 1
