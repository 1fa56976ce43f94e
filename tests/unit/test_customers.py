"""Customers: what is sent of them, who is the same in Zoho, and what must be equal."""

import json
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_sync.domain.comparing import fingerprint, same_email, same_name, same_phone
from billing_sync.domain.customers import (
    Candidate,
    candidate_names,
    customer_name,
    differing_fields,
    differing_figures,
    match_customer,
    read_customer,
)
from billing_sync.domain.display_names import DisplayNames
from billing_sync.domain.errors import Unsendable
from billing_sync.domain.matching import MatchKind
from billing_sync.domain.reading import Sendable, Skip
from billing_sync.domain.remote import RemoteCustomer
from billing_sync.domain.source import Customer

NAMES = DisplayNames("{name} ({account_number})")
ADA = {
    "id": "1",
    "updated_at": datetime(2026, 3, 1, tzinfo=UTC),
    "account_number": "CT-2025-00001",
    "account_type": "personal",
    "account_status": "active",
    "first_name": "Ada",
    "last_name": "Lovelace",
    "email": "ada@example.org",
    "phone": "+27 82 555 0001",
    "street": "1 Long Street",
    "city": "Cape Town",
    "country": "South Africa",
}


def ada(**changes: Any) -> Customer:
    return Customer.model_validate({**ADA, **changes})


def read(customer: Customer) -> Skip | Sendable:
    return read_customer(customer, NAMES, account_label="Account Number", default_currency="ZAR")


def sendable(customer: Customer) -> Sendable:
    decided = read(customer)
    assert isinstance(decided, Sendable)
    return decided


def as_zoho_keeps(decided: Sendable, **changes: Any) -> RemoteCustomer:
    kept = {
        "customer_id": "900001",
        "currency_code": "ZAR",
        "status": "active",
        **decided.payload,
        **changes,
    }
    return RemoteCustomer.read(kept, "Account Number")


# ------------------------------------------------------------------------------------ what is sent


def test_a_customer_is_sent_with_its_number_in_name_and_custom_field() -> None:
    decided = sendable(ada())

    assert decided.key == "CT-2025-00001"
    assert decided.payload["display_name"] == "Ada Lovelace (CT-2025-00001)"
    assert decided.payload["custom_fields"] == [
        {"label": "Account Number", "value": "CT-2025-00001"}
    ]
    assert decided.payload["billing_address"] == {
        "street": "1 Long Street",
        "city": "Cape Town",
        "country": "South Africa",
    }
    assert decided.figures == {
        "display_name": "Ada Lovelace (CT-2025-00001)",
        "account_number": "CT-2025-00001",
        "currency_code": "ZAR",
    }


@pytest.mark.parametrize("missing", [None, "", "  ", "\t\n"])
@pytest.mark.parametrize("field", ["phone", "email", "tax_number", "company_name", "currency"])
def test_what_is_empty_here_is_not_sent(field: str, missing: str | None) -> None:
    payload = sendable(ada(**{field: missing})).payload
    sent_as = {"tax_number": "vat_reg_no", "currency": "currency_code"}

    assert sent_as.get(field, field) not in payload


def test_no_null_and_nothing_empty_is_ever_sent() -> None:
    kept = {"id", "updated_at", "account_number", "last_name"}
    bare = sendable(ada(**dict.fromkeys(ADA.keys() - kept)))

    assert bare.payload == {
        "display_name": "Lovelace (CT-2025-00001)",
        "last_name": "Lovelace",
        "custom_fields": [{"label": "Account Number", "value": "CT-2025-00001"}],
    }


@pytest.mark.parametrize(
    ("account_type", "company", "first", "last", "name"),
    [
        ("business", "Newgate", "Ada", "Lovelace", "Newgate"),
        ("business", None, "Ada", "Lovelace", "Ada Lovelace"),
        ("personal", "Newgate", "Ada", "Lovelace", "Ada Lovelace"),
        ("personal", "Newgate", "", " ", "Newgate"),
        ("personal", None, None, "Lovelace", "Lovelace"),
        (None, None, "Ada", None, "Ada"),
    ],
)
def test_a_customer_goes_by_the_name_that_a_person_would_use(
    account_type: str | None, company: str | None, first: str | None, last: str | None, name: str
) -> None:
    customer = ada(
        account_type=account_type, company_name=company, first_name=first, last_name=last
    )

    assert customer_name(customer) == name


def test_a_test_account_is_skipped_whatever_else_it_says() -> None:
    assert isinstance(read(ada(account_type="internal_test", first_name="\x00")), Skip)


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"account_number": None}, "account_number_missing", "account_number"),
        ({"account_number": "  "}, "account_number_missing", "account_number"),
        ({"first_name": "", "last_name": None}, "name_missing", "first_name"),
        ({"first_name": "A\x00da"}, "unwritable_text", "first_name"),
        ({"phone": "\x00"}, "unwritable_text", "phone"),
        ({"city": "\ud83d"}, "unwritable_text", "city"),
        ({"account_number": "CT\udc00"}, "unwritable_text", "account_number"),
        ({"currency": "Z\x00R"}, "unwritable_text", "currency"),
    ],
)
def test_what_cannot_be_sent_names_its_field_and_never_its_value(
    changes: dict[str, str | None], code: str, field: str
) -> None:
    with pytest.raises(Unsendable) as refused:
        read(ada(**changes))

    assert (refused.value.code, refused.value.field) == (code, field)
    assert "Lovelace" not in refused.value.sentence
    refused.value.sentence.encode()


ODD_TEXT = st.none() | st.text(st.characters(codec=None), max_size=300)
TYPED = (
    *("account_number", "account_type", "first_name", "last_name", "company_name", "email"),
    *("phone", "street", "zip", "currency", "tax_number"),
)
ODD_CUSTOMERS = st.builds(ada, **dict.fromkeys(TYPED, ODD_TEXT))


@given(customer=ODD_CUSTOMERS)
def test_whatever_a_person_typed_is_sent_skipped_or_refused_and_nothing_else(
    customer: Customer,
) -> None:
    try:
        decided = read(customer)
    except Unsendable as refusal:
        refused: str | None = refusal.field
    else:
        refused = None
        if isinstance(decided, Sendable):
            # It can be written, and read back by the proof.
            json.dumps(decided.payload, ensure_ascii=False).encode()
            assert all(decided.payload.values())
            assert not differing_figures(decided.figures, as_zoho_keeps(decided))

    assert refused is None or refused in TYPED


# ----------------------------------------------------------------------------------- fingerprints


@given(content=st.dictionaries(st.text(), st.text() | st.integers() | st.booleans(), max_size=8))
def test_a_fingerprint_depends_on_the_content_and_not_on_its_order(
    content: dict[str, Any],
) -> None:
    shuffled = dict(reversed(list(content.items())))

    assert fingerprint({"a": content}) == fingerprint({"a": shuffled})


@pytest.mark.parametrize(
    "changes",
    [
        {"phone": "+27825550002"},
        {"phone": None},
        {"account_status": "suspended"},
        {"city": "Paarl"},
        {"tax_number": "4000000000"},
    ],
)
def test_whatever_would_be_sent_and_our_own_status_are_in_the_fingerprint(
    changes: dict[str, str | None],
) -> None:
    assert sendable(ada(**changes)).fingerprint != sendable(ada()).fingerprint


def test_what_is_not_sent_is_not_in_the_fingerprint() -> None:
    later = ada(updated_at=datetime(2027, 1, 1, tzinfo=UTC), first_name=" Ada ")

    assert sendable(later).fingerprint == sendable(ada()).fingerprint


def test_a_type_that_nobody_thought_of_is_refused_and_not_guessed() -> None:
    with pytest.raises(TypeError):
        fingerprint({"when": datetime(2026, 1, 1, tzinfo=UTC)})


# ------------------------------------------------------------------------------ what must be equal


def test_what_zoho_keeps_as_it_was_sent_does_not_differ() -> None:
    decided = sendable(ada())
    kept = as_zoho_keeps(decided)

    assert differing_figures(decided.figures, kept) == []
    assert differing_fields(decided.payload, decided.key, kept) == []


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({"display_name": "Ada L. (CT-2025-00001)"}, ["display_name"]),
        ({"custom_fields": []}, ["account_number"]),
        ({"currency_code": "USD"}, ["currency_code"]),
    ],
)
def test_a_figure_that_zoho_kept_otherwise_is_named(
    changes: dict[str, Any], differing: list[str]
) -> None:
    decided = sendable(ada())

    assert differing_figures(decided.figures, as_zoho_keeps(decided, **changes)) == differing


def test_spaces_and_case_of_a_name_are_no_difference_in_figures() -> None:
    decided = sendable(ada(first_name="Ada  Augusta"))
    kept = as_zoho_keeps(decided, display_name="ADA Augusta Lovelace (CT-2025-00001)")

    assert differing_figures(decided.figures, kept) == []


@pytest.mark.parametrize(
    ("changes", "differing"),
    [
        ({"phone": "1"}, ["phone"]),
        ({"billing_address": {"street": "1 Long Street", "city": "Paarl",
                              "country": "South Africa"}}, ["billing_address"]),
        ({"custom_fields": []}, ["account_number"]),
        # Finance's own additions are none of ours.
        ({"website": "https://ada.example", "mobile": "1"}, []),
        ({"vat_reg_no": "4000000000", "company_name": "Kept by hand"}, []),
        ({"currency_code": "USD"}, []),
    ],
)  # fmt: skip
def test_only_owned_fields_that_are_not_empty_here_are_compared(
    changes: dict[str, Any], differing: list[str]
) -> None:
    decided = sendable(ada())
    kept = as_zoho_keeps(decided, **changes)

    assert differing_fields(decided.payload, decided.key, kept) == differing


# ------------------------------------------------------------------------------------ who is whom


def candidate(
    zoho_id: str = "900001", account_number: str | None = None, **signs: Any
) -> Candidate:
    return Candidate(
        zoho_id=zoho_id,
        account_number=account_number,
        names=frozenset(signs.get("names", ())),
        email=signs.get("email", ""),
        phone=signs.get("phone", ""),
        held_by=signs.get("held_by"),
    )


def test_the_account_number_alone_makes_it_the_same() -> None:
    match = match_customer(ada(), [candidate(account_number="CT-2025-00001")])

    assert (match.kind, match.zoho_ids) == (MatchKind.SAME, ("900001",))


def test_the_account_number_wins_over_whoever_is_merely_plausible() -> None:
    plausible = candidate("900002", email="ada@example.org")

    match = match_customer(ada(), [plausible, candidate(account_number="CT-2025-00001")])

    assert (match.kind, match.zoho_ids) == (MatchKind.SAME, ("900001",))


def test_ones_own_link_is_not_taken_by_somebody_else() -> None:
    mine = candidate(account_number="CT-2025-00001", held_by="1")
    others = candidate(account_number="CT-2025-00001", held_by="2")

    assert match_customer(ada(), [mine]).kind is MatchKind.SAME
    assert match_customer(ada(), [others]).kind is MatchKind.TAKEN


@pytest.mark.parametrize(
    "signs",
    [
        {"email": "ada@example.org"},
        {"phone": "825550001"},
        {"names": ["ada lovelace"]},
    ],
)
def test_without_account_number_there_one_equal_sign_is_plausible(signs: dict[str, Any]) -> None:
    assert match_customer(ada(), [candidate(**signs)]).kind is MatchKind.PLAUSIBLE


def test_whom_another_record_holds_is_not_plausible() -> None:
    held = candidate(email="ada@example.org", held_by="2")

    assert match_customer(ada(), [held]).kind is MatchKind.NONE


SIGNS = st.sampled_from(["", "ada@example.org", "x@example.org"])
PHONES = st.sampled_from(["", "825550001", "825550009"])
NAME_SETS = st.frozensets(st.sampled_from(["ada lovelace", "lovelace", "x"]), max_size=2)
ACCOUNTS = st.sampled_from([None, "CT-2025-00001", "CT-2025-00002", "CT-2025-00099"])
CANDIDATES = st.lists(
    st.builds(
        Candidate,
        zoho_id=st.integers(900001, 900009).map(str),
        account_number=ACCOUNTS,
        names=NAME_SETS,
        email=SIGNS,
        phone=PHONES,
        held_by=st.sampled_from([None, "1", "2"]),
    ),
    unique_by=lambda one: one.zoho_id,
    max_size=6,
)
CUSTOMERS = st.builds(
    ada,
    email=st.sampled_from([None, "", "ada@example.org"]),
    phone=st.sampled_from([None, "", "082 555 0001", "123"]),
    first_name=st.sampled_from([None, "", "Ada"]),
    last_name=st.sampled_from(["", "Lovelace"]),
)


@given(customer=CUSTOMERS, candidates=CANDIDATES, chance=st.randoms())
def test_the_verdict_does_not_depend_on_the_order(
    customer: Customer, candidates: list[Candidate], chance: Any
) -> None:
    shuffled = candidates.copy()
    chance.shuffle(shuffled)

    assert match_customer(customer, shuffled) == match_customer(customer, candidates)


@given(customer=CUSTOMERS, candidates=CANDIDATES)
def test_another_account_number_is_never_meant(
    customer: Customer, candidates: list[Candidate]
) -> None:
    others = {
        one.zoho_id
        for one in candidates
        if one.account_number not in (None, customer.account_number)
    }

    assert not others & set(match_customer(customer, candidates).zoho_ids)


@given(candidates=CANDIDATES)
def test_empty_values_match_nobody(candidates: list[Candidate]) -> None:
    nobody = ada(email="", phone=None, first_name="", last_name=" ", company_name=None)
    without_account = [one for one in candidates if one.account_number is None]

    assert match_customer(nobody, without_account).kind is MatchKind.NONE


@given(customer=CUSTOMERS, candidates=CANDIDATES)
def test_nobody_is_linked_without_the_account_number(
    customer: Customer, candidates: list[Candidate]
) -> None:
    match = match_customer(customer, candidates)
    bearers = {one.zoho_id for one in candidates if one.account_number == customer.account_number}

    if match.kind is MatchKind.SAME:
        assert set(match.zoho_ids) == bearers
        assert len(bearers) == 1
    if match.kind is MatchKind.NONE:
        assert not bearers


# --------------------------------------------------------------------------------- how to compare


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada  Lovelace", "ada lovelace"),
        ("STRASSE", "straße"),
        ("\uff21da", "Ada"),
        (" A\tB ", "a b"),
    ],
)
def test_names_are_compared_after_nfkc_case_folding_and_single_spaces(one: str, other: str) -> None:
    assert same_name(one) == same_name(other)


@given(st.text())
def test_a_name_is_the_same_however_its_accents_are_encoded(text: str) -> None:
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))

    assert same_name(composed) == same_name(decomposed)


@given(st.text())
def test_what_a_snapshot_keeps_of_email_and_phone_is_compared_as_it_is(text: str) -> None:
    assert same_email(same_email(text)) == same_email(text)
    assert same_phone(same_phone(text)) == same_phone(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [("+27 82 555 0001", "082 555 0001"), ("(082) 555-0001", "0825550001")],
)
def test_a_phone_is_the_same_with_and_without_its_country(one: str, other: str) -> None:
    assert same_phone(one) == same_phone(other) != ""


@pytest.mark.parametrize("text", [None, "", "none", "123456", "-"])
def test_what_is_no_phone_identifies_nobody(text: str | None) -> None:
    assert same_phone(text) == ""


def test_a_customer_may_be_known_under_several_names_and_none_is_empty() -> None:
    assert candidate_names("N. Dlamini", "Nomvula", "Dlamini", "") == {
        "n. dlamini",
        "nomvula dlamini",
    }
