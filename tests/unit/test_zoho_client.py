"""What the client makes of Zoho's answers: permits, tokens, and the class of each failure."""

import json
import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from billing_sync.adapters.zoho.client import ZohoBilling, ZohoSettings
from billing_sync.adapters.zoho.transport import AnswerLost, NothingLeft
from billing_sync.domain.errors import (
    CallFailed,
    GoneInZoho,
    Misconfigured,
    NeverSent,
    OutcomeUnknown,
    QuotaExhausted,
    Rejected,
    Throttled,
    TokenRefused,
    Unauthorised,
    Unavailable,
    WritesAreOff,
)
from billing_sync.domain.timing import Timing
from billing_sync.ports import Permit, Priority
from tests.fakes.clock import FakeClock
from tests.fakes.quota import FakeQuota
from tests.fakes.tokens import FakeTokens

CUSTOMER = {"customer_id": "1234567000000123456", "display_name": "Ann (CT-1)"}
UNAUTHORISED = httpx.Response(401, json={"code": 57, "message": "You are not authorized"})


def success(**resource: Any) -> httpx.Response:
    return httpx.Response(200, json={"code": 0, "message": "success", **resource})


def refusal(status: int, code: int, message: str = "no") -> httpx.Response:
    return httpx.Response(status, json={"code": code, "message": message})


ID = "4815162000000000777"
SUBSCRIPTION = {"subscription_id": ID, "plan": {"plan_code": "SKY", "price": 399}}

READS_BY_ID: dict[str, Callable[[ZohoBilling, str], object]] = {
    "/customers/{id}": lambda billing, id_: billing.get_customer(id_),
    "/products/{id}": lambda billing, id_: billing.get_product(id_),
    "/plans/{id}": lambda billing, id_: billing.get_plan(id_),
    "/subscriptions/{id}": lambda billing, id_: billing.get_subscription(id_),
    "/invoices/{id}": lambda billing, id_: billing.get_invoice(id_),
    "/payments/{id}": lambda billing, id_: billing.get_payment(id_),
}

CREATES: dict[str, Callable[[ZohoBilling, Permit], object]] = {
    "POST /customers": lambda billing, permit: billing.create_customer({}, permit=permit),
    "POST /products": lambda billing, permit: billing.create_product({}, permit=permit),
    "POST /plans": lambda billing, permit: billing.create_plan({}, permit=permit),
    "POST /subscriptions": lambda billing, permit: billing.create_subscription({}, permit=permit),
    "POST /invoices": lambda billing, permit: billing.create_invoice({}, permit=permit),
    "POST /payments": lambda billing, permit: billing.create_payment({}, permit=permit),
}

type WriteById = Callable[[ZohoBilling, str, Permit], object]

CHANGES: dict[str, WriteById] = {
    "PUT /customers/{id}": lambda billing, id_, permit: billing.update_customer(
        id_, {}, permit=permit
    ),
    "PUT /products/{id}": lambda billing, id_, permit: billing.update_product(
        id_, {}, permit=permit
    ),
    "PUT /plans/{id}": lambda billing, id_, permit: billing.update_plan(id_, {}, permit=permit),
    "PUT /subscriptions/{id}": lambda billing, id_, permit: billing.update_subscription(
        id_, {}, permit=permit
    ),
    "POST /subscriptions/{id}/cancel": lambda billing, id_, permit: billing.cancel_subscription(
        id_, at_end=True, permit=permit
    ),
    "POST /subscriptions/{id}/reactivate": lambda billing, id_, permit: (
        billing.reactivate_subscription(id_, permit=permit)
    ),
    "PUT /invoices/{id}": lambda billing, id_, permit: billing.update_invoice(
        id_, {}, permit=permit
    ),
    "PUT /payments/{id}": lambda billing, id_, permit: billing.update_payment(
        id_, {}, permit=permit
    ),
}

MESSAGES_ONLY: dict[str, WriteById] = {
    "POST /invoices/{id}/converttoopen": lambda billing, id_, permit: billing.open_invoice(
        id_, permit=permit
    ),
    "POST /invoices/{id}/void": lambda billing, id_, permit: billing.void_invoice(
        id_, permit=permit
    ),
    "DELETE /invoices/{id}": lambda billing, id_, permit: billing.delete_invoice(
        id_, permit=permit
    ),
    "DELETE /payments/{id}": lambda billing, id_, permit: billing.delete_payment(
        id_, permit=permit
    ),
}

WRITES_BY_ID = {**CHANGES, **MESSAGES_ONLY}

LISTS: dict[str, Callable[[ZohoBilling], object]] = {
    "customers": lambda billing: billing.list_customers(1),
    "products": lambda billing: billing.list_products(1),
    "subscriptions": lambda billing: billing.list_subscriptions(1),
    "invoices": lambda billing: billing.list_invoices(1),
    "transactions": lambda billing: billing.list_transactions(ID, 1),
}


class Bench:
    """A client whose Zoho answers from a list; exceptions in the list are raised."""

    def __init__(self, *answers: httpx.Response | Exception, writes: bool = True) -> None:
        self.clock = FakeClock()
        self.quota = FakeQuota(self.clock, limit=600)
        self.tokens = FakeTokens(self.clock)
        self.requests: list[httpx.Request] = []
        self._answers = list(answers)
        self.billing = ZohoBilling(
            httpx.Client(transport=httpx.MockTransport(self._answer)),
            self.tokens,
            self.quota,
            ZohoSettings(organisation_id="60098765432", writes=writes),
            Timing(),
            self.clock,
        )

    def permit(self) -> Permit:
        return self.quota.take(Priority.TRIGGER)

    @property
    def settled(self) -> list[str]:
        return [word for word, _ in self.quota.settled]

    def create(self, payload: dict[str, Any] | None = None) -> object:
        return self.billing.create_customer(payload or {"display_name": "A"}, permit=self.permit())

    def update(self) -> object:
        return self.billing.update_customer("1", {"display_name": "A"}, permit=self.permit())

    def write(self, name: str) -> object:
        """Make the write of this method and path."""
        if name in CREATES:
            return CREATES[name](self.billing, self.permit())
        return WRITES_BY_ID[name](self.billing, ID, self.permit())

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


# -------------------------------------------------------------------------------- what is sent


def test_a_call_carries_token_organisation_and_json() -> None:
    bench = Bench(success(customer=CUSTOMER))

    bench.create({"display_name": "Ann", "notes": None, "custom_fields": [{"value": "x"}, None]})

    (request,) = bench.requests
    assert str(request.url) == "https://www.zohoapis.test/billing/v1/customers"
    assert request.headers["Authorization"] == "Zoho-oauthtoken 1000.fake.1"
    assert request.headers["X-com-zoho-subscriptions-organizationid"] == "60098765432"
    assert json.loads(request.content) == {"display_name": "Ann", "custom_fields": [{"value": "x"}]}


def test_listing_organisations_names_none() -> None:
    bench = Bench(success(organizations=[{"organization_id": 60098765432, "name": "Demo"}]))

    (organisation,) = bench.billing.organisations()

    assert organisation.organisation_id == "60098765432"
    assert "X-com-zoho-subscriptions-organizationid" not in bench.requests[0].headers


@pytest.mark.parametrize("path", READS_BY_ID)
def test_an_id_cannot_lead_a_path_elsewhere(path: str) -> None:
    bench = Bench(refusal(404, 1002))

    with pytest.raises(GoneInZoho):
        READS_BY_ID[path](bench.billing, "../organizations?x=1")

    asked = bench.requests[0].url.raw_path.decode()
    assert asked == "/billing/v1" + path.replace("{id}", "..%2Forganizations%3Fx%3D1")


@pytest.mark.parametrize("id_", ["", " ", ".", ".."])
def test_no_call_is_made_of_an_id_that_is_none(id_: str) -> None:
    bench = Bench()

    for read in READS_BY_ID.values():
        with pytest.raises(ValueError, match="without an id"):
            read(bench.billing, id_)
    for write in WRITES_BY_ID.values():
        with pytest.raises(ValueError, match="without an id"):
            write(bench.billing, id_, bench.permit())
        bench.clock.advance(60)

    assert bench.requests == []


@pytest.mark.parametrize("customer", ["", " "])
def test_transactions_are_never_everybodys(customer: str) -> None:
    bench = Bench()

    with pytest.raises(ValueError, match="no customer"):
        bench.billing.list_transactions(customer, 1)

    assert bench.requests == []


@pytest.mark.parametrize("filters", [{"email": ""}, {"email": "  "}, {"": "x"}, {"page": "1"}])
def test_an_empty_filter_is_never_sent(filters: dict[str, str]) -> None:
    bench = Bench()

    with pytest.raises(ValueError, match="not a filter"):
        bench.billing.list_customers(1, filters=filters)

    assert bench.requests == []


def test_a_page_is_asked_for_oldest_first_and_200_rows_long() -> None:
    bench = Bench(success(customers=[CUSTOMER], page_context={"has_more_page": True}))

    page = bench.billing.list_customers(3, filters={"email": "a@b.test"})

    assert dict(bench.requests[0].url.params) == {
        "email": "a@b.test",
        "page": "3",
        "per_page": "200",
        "sort_column": "created_time",
        "sort_order": "A",
    }
    assert page.has_more
    assert page.rows[0].zoho_id == CUSTOMER["customer_id"]


AGE = {"sort_column": "created_time", "sort_order": "A"}


@pytest.mark.parametrize(
    ("name", "query"),
    [
        ("customers", AGE),
        ("products", {"filter_by": "ProductStatus.All"}),
        ("subscriptions", {"filter_by": "SubscriptionStatus.All", **AGE}),
        ("invoices", {"filter_by": "Status.All", **AGE}),
        ("transactions", {"filter_by": "TransactionType.All", "customer_id": ID}),
    ],
)
def test_a_list_asks_for_records_of_any_status(name: str, query: dict[str, str]) -> None:
    bench = Bench(success(**{name: []}, page_context={"has_more_page": "false"}))

    LISTS[name](bench.billing)

    (request,) = bench.requests
    assert request.url.path == f"/billing/v1/{name}"
    assert dict(request.url.params) == {**query, "page": "1", "per_page": "200"}


@pytest.mark.parametrize(
    "newest",
    [
        lambda billing: billing.list_subscriptions(2, newest_first=True),
        lambda billing: billing.list_invoices(2, newest_first=True),
    ],
)
def test_the_newest_come_first_when_asked_for(newest: Callable[[ZohoBilling], object]) -> None:
    more = {"has_more_page": True}
    bench = Bench(success(subscriptions=[], invoices=[], page_context=more))

    newest(bench.billing)

    query = bench.requests[0].url.params
    assert (query["page"], query["sort_column"], query["sort_order"]) == ("2", "created_time", "D")


def test_an_invoice_keeps_our_number_and_is_not_sent_to_anybody() -> None:
    bench = Bench(success(invoice={"invoice_id": ID}), success(invoice={"invoice_id": ID}))

    bench.billing.create_invoice({"invoice_number": "INV-1"}, permit=bench.permit())
    bench.billing.update_invoice(ID, {"invoice_number": "INV-1"}, permit=bench.permit())

    create, update = (dict(request.url.params) for request in bench.requests)
    assert create == {"ignore_auto_number_generation": "true", "send": "false"}
    assert update == {"ignore_auto_number_generation": "true"}


@pytest.mark.parametrize(("at_end", "word"), [(True, "true"), (False, "false")])
def test_a_cancellation_says_when_and_has_no_body(at_end: bool, word: str) -> None:
    bench = Bench(success(subscription=SUBSCRIPTION))

    bench.billing.cancel_subscription(ID, at_end=at_end, permit=bench.permit())

    (request,) = bench.requests
    assert dict(request.url.params) == {"cancel_at_end": word}
    assert request.content == b""
    assert "Content-Type" not in request.headers


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({"display_name": "\ud800"}, "display_name"),
        ({"custom_fields": [{"value": "\udfff"}]}, "custom_fields"),
        ({"payment_terms": float("nan")}, "payment_terms"),
        ({"opening_balance": Decimal("Infinity")}, "opening_balance"),
    ],
)
def test_what_is_no_json_text_is_refused_with_its_field_before_any_call(
    payload: dict[str, Any], field: str
) -> None:
    bench = Bench()

    with pytest.raises(Rejected) as caught:
        bench.create({"email": "a@b.test", **payload})

    assert caught.value.field == field
    assert (bench.requests, bench.settled) == ([], ["never_sent"])


def test_emoji_nul_and_amounts_are_sent_as_they_are() -> None:
    bench = Bench(success(customer=CUSTOMER))

    bench.create({"display_name": "Zoë \U0001f600\x00", "credit_limit": Decimal("1E+3")})

    assert json.loads(bench.requests[0].content) == {
        "display_name": "Zoë \U0001f600\x00",
        "credit_limit": "1000",
    }


@pytest.mark.parametrize("name", [*CREATES, *WRITES_BY_ID])
def test_writes_that_are_off_are_refused_before_anything_else(name: str) -> None:
    bench = Bench(writes=False)
    bench.tokens.failure = AssertionError("no token is needed for a refusal")

    with pytest.raises(WritesAreOff):
        bench.write(name)

    assert (bench.requests, bench.settled) == ([], ["never_sent"])


def test_reads_work_while_writes_are_off() -> None:
    bench = Bench(success(customer=CUSTOMER), writes=False)

    assert bench.billing.get_customer("1").display_name == "Ann (CT-1)"


# ------------------------------------------------------------------------------ what is answered


def test_a_customer_is_read_with_exact_money_and_whole_ids() -> None:
    body = b"""{"code": "0", "customer": {"customer_id": 1234567000000123456,
        "display_name": "Ann", "outstanding": 10.10, "unused_credits": "0.3", "phone": null,
        "created_time": "2016-06-05T02:30:08-0700", "updated_time": "", "billing_address": "",
        "custom_fields": [{"label": "Other", "value": "x"},
                          {"label": "Account Number", "value": " CT-1 "}], "new_in_2027": {}}}"""
    bench = Bench(httpx.Response(200, content=body))

    customer = bench.billing.get_customer("1234567000000123456")

    assert customer.zoho_id == "1234567000000123456"
    assert customer.outstanding == Decimal("10.10")
    assert customer.unused_credits == Decimal("0.3")
    assert customer.account_number == "CT-1"
    assert (customer.phone, customer.billing_address.city) == ("", "")
    assert customer.created_time is not None
    assert customer.created_time.isoformat() == "2016-06-05T02:30:08-07:00"
    assert customer.updated_time is None


UNREADABLE = [
    httpx.Response(502, html="<html>Bad Gateway</html>"),
    httpx.Response(500, json={"code": 1000, "message": "Internal Error"}),
    httpx.Response(200, content=b'{"code": 0, "customer": {"customer_id": "12'),
    httpx.Response(200, content=b"[" * 100_000),
    httpx.Response(
        200, content=b'{"code": 0, "customer": {"customer_id": "1", "outstanding": NaN}}'
    ),
    httpx.Response(200, json=[]),
    httpx.Response(200, json={"code": True}),
    httpx.Response(302, headers={"Location": "https://elsewhere.test"}),
    httpx.Response(408),
    success(customer={"display_name": "no id"}),
    success(customer={"customer_id": ""}),
    success(customer={"customer_id": "1", "outstanding": "a lot"}),
    success(customer=None),
    success(contact=CUSTOMER),
    AnswerLost("ReadTimeout"),
    httpx.DecodingError("not gzip"),
]


@pytest.mark.parametrize("answer", UNREADABLE)
@pytest.mark.parametrize("write", [Bench.create, Bench.update])
def test_a_write_without_a_readable_answer_is_in_doubt(
    write: Callable[[Bench], object], answer: httpx.Response | Exception
) -> None:
    bench = Bench(answer)

    with pytest.raises(OutcomeUnknown):
        write(bench)

    assert len(bench.requests) == 1
    assert bench.settled == ["answered"]


@pytest.mark.parametrize("answer", UNREADABLE)
def test_a_read_without_a_readable_answer_is_unavailable(
    answer: httpx.Response | Exception,
) -> None:
    bench = Bench(answer)

    with pytest.raises(Unavailable):
        bench.billing.get_customer("1")

    assert bench.settled == ["answered"]


@pytest.mark.parametrize("late", [True, False])
def test_a_write_that_never_left_gives_its_permit_back(late: bool) -> None:
    bench = Bench(NothingLeft("ConnectError", late=late))

    with pytest.raises(NeverSent) as caught:
        bench.create()

    assert caught.value.late is late
    assert bench.settled == ["never_sent"]


def test_a_read_that_never_left_is_unavailable() -> None:
    bench = Bench(NothingLeft("ConnectError", late=False))

    with pytest.raises(Unavailable):
        bench.billing.get_customer("1")

    assert bench.settled == ["never_sent"]


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("context", [None, [], {}, {"has_more_page": None}, {"has_more_page": 1}])
def test_a_page_that_does_not_say_whether_more_follow_is_no_page(name: str, context: Any) -> None:
    bench = Bench(success(**{name: []}, page_context=context))

    with pytest.raises(Unavailable):
        LISTS[name](bench.billing)


@pytest.mark.parametrize("name", LISTS)
def test_a_page_without_its_list_is_not_an_empty_one(name: str) -> None:
    bench = Bench(success(page_context={"has_more_page": False}))

    with pytest.raises(Unavailable):
        LISTS[name](bench.billing)


@pytest.mark.parametrize("name", [*CREATES, *CHANGES])
def test_a_write_that_is_confirmed_without_its_record_is_in_doubt(name: str) -> None:
    bench = Bench(success())

    with pytest.raises(OutcomeUnknown) as caught:
        bench.write(name)

    assert caught.value.zoho_code == 0
    assert bench.settled == ["answered"]


@pytest.mark.parametrize("name", MESSAGES_ONLY)
def test_where_zoho_only_says_that_it_is_done_that_is_enough(name: str) -> None:
    bench = Bench(success(), httpx.Response(200, html="<html></html>"))

    bench.write(name)
    with pytest.raises(OutcomeUnknown):
        bench.write(name)

    assert [request.content for request in bench.requests] == [b"", b""]
    assert bench.settled == ["answered", "answered"]


@pytest.mark.parametrize("name", WRITES_BY_ID)
def test_what_a_write_no_longer_finds_is_gone(name: str) -> None:
    bench = Bench(refusal(404, 1002))

    with pytest.raises(GoneInZoho):
        bench.write(name)


def test_a_subscription_without_a_change_that_waits_is_one_call() -> None:
    bench = Bench(success(subscription=SUBSCRIPTION))

    found = bench.billing.get_subscription(ID)

    assert (found.price, found.scheduled_price) == (Decimal(399), None)
    assert len(bench.requests) == 1


def test_a_change_that_waits_is_read_with_its_subscription() -> None:
    changed = SUBSCRIPTION | {"plan": {"plan_code": "SKY-2", "price": 449}}
    bench = Bench(
        success(subscription=SUBSCRIPTION | {"end_of_term": True}), success(subscription=changed)
    )

    found = bench.billing.get_subscription(ID)

    assert (found.plan_code, found.price) == ("SKY", Decimal(399))
    assert (found.scheduled_plan_code, found.scheduled_price) == ("SKY-2", Decimal(449))
    assert bench.requests[1].url.path.endswith(f"/subscriptions/{ID}/scheduledchanges")


def test_a_change_that_came_about_meanwhile_is_read_as_it_is_now() -> None:
    now = SUBSCRIPTION | {"plan": {"plan_code": "SKY-2", "price": 449}}
    bench = Bench(
        success(subscription=SUBSCRIPTION | {"end_of_term": True}),
        refusal(404, 1002),
        success(subscription=now),
    )

    found = bench.billing.get_subscription(ID)

    assert (found.plan_code, found.price, found.end_of_term) == ("SKY-2", Decimal(449), False)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(400, 3062), Rejected),
        (refusal(200, 2), Rejected),
        (refusal(404, 1002), GoneInZoho),
        (refusal(400, 120129), Misconfigured),
        (refusal(403, 1), Misconfigured),
        (refusal(400, 9017), Misconfigured),
    ],
)
def test_each_refusal_of_a_write_has_its_class(
    answer: httpx.Response, kind: type[CallFailed]
) -> None:
    bench = Bench(answer)

    with pytest.raises(kind) as caught:
        bench.update()

    assert type(caught.value) is kind
    assert caught.value.http_status == answer.status_code
    assert caught.value.zoho_code == answer.json()["code"]
    assert bench.settled == ["answered"]


def test_a_create_is_never_gone() -> None:
    bench = Bench(refusal(404, 5), refusal(400, 1002))

    with pytest.raises(Misconfigured) as wrong_address:
        bench.create()
    with pytest.raises(Rejected):
        bench.create()

    assert wrong_address.value.code == "wrong_api_url"


def test_a_refusal_names_a_field_of_ours_and_nothing_else() -> None:
    bench = Bench(
        refusal(400, 2, "Invalid value passed for Display Name"),
        refusal(400, 2, "Invalid value passed for ann@example.test"),
        refusal(400, 2, "ann@example.test already exists"),
    )
    failures = []
    for _ in range(3):
        with pytest.raises(Rejected) as caught:
            bench.create()
        failures.append(caught.value)

    assert [failure.field for failure in failures] == ["display_name", None, None]
    assert "ann@" not in "".join(str(failure) for failure in failures)


@pytest.mark.parametrize("named", ["Recurring Price", "Starts At", "Due Date", "Payment Mode"])
def test_a_refusal_may_name_a_field_of_any_entity(named: str) -> None:
    bench = Bench(refusal(400, 2, f"Invalid value passed for {named}"))

    with pytest.raises(Rejected) as caught:
        bench.write("POST /plans")

    assert caught.value.field == named.lower().replace(" ", "_")


# ----------------------------------------------------------------------------------------- token


def test_a_read_is_replayed_once_with_a_new_token_and_a_new_permit() -> None:
    bench = Bench(UNAUTHORISED, success(customer=CUSTOMER))

    bench.billing.get_customer("1")

    assert [request.headers["Authorization"] for request in bench.requests] == [
        "Zoho-oauthtoken 1000.fake.1",
        "Zoho-oauthtoken 1000.fake.2",
    ]
    assert bench.tokens.refusals == [(1, "customers.READ")]
    assert [permit for _, permit in bench.quota.settled] == [1, 2]


def test_a_read_refused_twice_is_reported_twice_and_not_replayed_again() -> None:
    bench = Bench(UNAUTHORISED, UNAUTHORISED)

    with pytest.raises(Unauthorised):
        bench.billing.taxes()

    assert bench.tokens.refusals == [(1, "settings.READ"), (2, "settings.READ")]
    assert len(bench.requests) == 2


def test_a_write_is_never_replayed_by_the_client() -> None:
    bench = Bench(UNAUTHORISED)

    with pytest.raises(Unauthorised):
        bench.create()

    assert bench.tokens.refusals == [(1, "customers.CREATE")]
    assert len(bench.requests) == 1
    assert bench.settled == ["answered"]


def test_a_module_that_may_be_read_does_not_hide_that_it_may_not_be_written() -> None:
    bench = Bench(UNAUTHORISED, success(invoice={"invoice_id": ID}))

    with pytest.raises(Unauthorised):
        bench.billing.delete_invoice(ID, permit=bench.permit())
    bench.billing.get_invoice(ID)

    assert bench.tokens.refusals == [(1, "invoices.DELETE")]
    assert bench.tokens.taken_for == [(2, "invoices.READ")]


def test_a_write_without_a_token_gives_its_permit_back() -> None:
    bench = Bench()
    bench.tokens.failure = TokenRefused("cooling down", wait_seconds=600, reason="token_cool_down")

    with pytest.raises(TokenRefused):
        bench.create()

    assert (bench.requests, bench.settled) == ([], ["never_sent"])


def test_no_permit_is_held_while_a_read_waits_for_its_token() -> None:
    bench = Bench()
    bench.tokens.failure = TokenRefused("cooling down", wait_seconds=600, reason="token_cool_down")

    with pytest.raises(TokenRefused):
        bench.billing.get_customer("1")

    assert bench.quota.view().taken_in_minute == 0


# ----------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("code", "kind", "reason", "wait"),
    [
        (44, Throttled, "blocked", 60),
        (4711, Throttled, "blocked", 60),
        (1070, Throttled, "in_flight", 1),
        (45, QuotaExhausted, "day", 3600),
    ],
)
@pytest.mark.parametrize("call", [Bench.create, lambda bench: bench.billing.get_customer("1")])
def test_a_429_teaches_the_quota_and_says_how_long_to_wait(
    call: Callable[[Bench], object], code: int, kind: type[Throttled], reason: str, wait: float
) -> None:
    bench = Bench(refusal(429, code))
    bench.clock.advance(1)

    with pytest.raises(kind) as caught:
        call(bench)

    assert (caught.value.reason, caught.value.zoho_code) == (reason, code)
    assert caught.value.wait_seconds == wait
    assert (caught.value.resume_at is not None) == (code == 45)
    assert bench.settled == ["answered"]
    assert len(bench.requests) == 1


def test_retry_after_reaches_the_quota() -> None:
    answer = httpx.Response(429, json={"code": 44}, headers={"Retry-After": "300"})
    bench = Bench(answer)

    with pytest.raises(Throttled) as caught:
        bench.create()

    assert caught.value.wait_seconds == 300


def test_a_read_sleeps_for_its_permit_at_most_2_s() -> None:
    bench = Bench(success(customer=CUSTOMER), success(customer=CUSTOMER))
    held = [bench.permit() for _ in range(5)]

    with pytest.raises(Throttled):
        bench.billing.get_customer("1")
    slept = sum(bench.clock.slept)
    bench.quota.answered(held[0])
    bench.billing.get_customer("1")

    assert 1.5 < slept <= 2
    assert len(bench.requests) == 1


# ------------------------------------------------------------------------------------------- logs


def test_a_log_line_holds_no_id_no_query_and_no_token(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(
        success(customer=CUSTOMER), success(customers=[], page_context={"has_more_page": False})
    )

    with caplog.at_level(logging.DEBUG):
        bench.billing.get_customer("1234567000000123456")
        bench.billing.list_customers(1, filters={"email": "ann@example.test"})

    lines = [str(vars(record)) for record in caplog.records]
    assert [vars(record)["path"] for record in caplog.records] == [
        "/customers/{id}",
        "/customers",
    ]
    for secret in ("1234567000000123456", "ann@", "1000.fake"):
        assert not any(secret in line for line in lines)


@pytest.mark.parametrize("name", WRITES_BY_ID)
def test_the_log_line_of_a_write_holds_no_id(name: str, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(refusal(400, 2))

    with caplog.at_level(logging.DEBUG), pytest.raises(Rejected):
        bench.write(name)

    (line,) = caplog.records
    assert name == f"{vars(line)['method']} {vars(line)['path']}"
    assert ID not in str(vars(line))
