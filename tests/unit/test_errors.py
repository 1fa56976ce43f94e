"""The class of every answer, decided once, by status and body code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_sync.domain.errors import (
    CallFailed,
    GoneInZoho,
    Misconfigured,
    OutcomeUnknown,
    QuotaExhausted,
    Rejected,
    Throttled,
    Unauthorised,
    Unavailable,
    classify_answer,
    may_mean_taken,
)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (200, 0, None),
        (201, 0, None),
        (200, 2, Rejected),
        (200, None, OutcomeUnknown),
        (301, None, OutcomeUnknown),
        (400, 2, Rejected),
        (400, 3062, Rejected),
        (400, 9, Misconfigured),
        (400, 9017, Misconfigured),
        (400, 120129, Misconfigured),
        (400, 1002, GoneInZoho),
        (404, 1002, GoneInZoho),
        (404, 5, GoneInZoho),
        (404, None, OutcomeUnknown),
        (401, 14, Unauthorised),
        (401, 57, Unauthorised),
        (400, 57, Unauthorised),
        (403, 1, Misconfigured),
        (405, 37, Rejected),
        (408, 1, OutcomeUnknown),
        (429, 44, Throttled),
        (429, 1070, Throttled),
        (429, 4711, Throttled),
        (429, None, Throttled),
        (429, 45, QuotaExhausted),
        (200, 44, Throttled),
        (400, 1070, Throttled),
        (400, 45, QuotaExhausted),
        (500, 1000, OutcomeUnknown),
        (502, None, OutcomeUnknown),
    ],
)
def test_each_answer_to_a_write_has_one_class(
    status: int, code: int | None, kind: type[CallFailed] | None
) -> None:
    failure = classify_answer(status, code, is_write=True)

    assert (None if failure is None else type(failure)) is kind


@given(
    status=st.integers(100, 599),
    code=st.one_of(st.none(), st.integers(0, 200_000)),
)
def test_only_2xx_with_code_0_is_success_and_reads_are_never_in_doubt(
    status: int, code: int | None
) -> None:
    write = classify_answer(status, code, is_write=True)
    read = classify_answer(status, code, is_write=False)

    assert (write is None) == (read is None) == (200 <= status < 300 and code == 0)
    assert not isinstance(read, OutcomeUnknown)
    assert isinstance(read, Unavailable) == isinstance(write, OutcomeUnknown)


@given(status=st.integers(100, 599).filter(lambda status: status != 429), code=st.just(None))
def test_an_answer_without_a_code_to_a_write_is_in_doubt(status: int, code: None) -> None:
    assert isinstance(classify_answer(status, code, is_write=True), OutcomeUnknown)


def test_a_refusal_shows_the_field_and_the_code_and_nothing_of_the_record() -> None:
    failure = classify_answer(400, 2, is_write=True, field="email")

    assert isinstance(failure, Rejected)
    assert failure.sentence == "Zoho refuses the value of email (code 2)."
    assert failure.field == "email"


@pytest.mark.parametrize(("code", "may"), [(4060, True), (3062, True), (990202, True), (2, False)])
def test_a_refusal_whose_meaning_is_not_known_may_mean_a_taken_key(code: int, may: bool) -> None:
    assert may_mean_taken(code) is may


def test_what_names_no_code_says_nothing_of_a_key() -> None:
    assert not may_mean_taken(None)
