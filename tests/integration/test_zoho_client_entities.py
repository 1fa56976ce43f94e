"""Each call of the client against fake Zoho over HTTP: what comes back, and what is refused."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import pytest

from billing_sync.domain.catalogue import plan_update
from billing_sync.domain.errors import (
    INVOICE_NUMBER_TAKEN,
    GoneInZoho,
    OutcomeUnknown,
    Rejected,
    may_mean_taken,
)
from billing_sync.domain.payments import payment_update
from ops.fake_zoho import (
    AnswerLost,
    BadGateway,
    FakeZohoConfig,
    LimitsClock,
    RunningFake,
    TruncatedJson,
    WithoutId,
    running_fake_zoho,
)
from tests.zoho_session import CALENDAR, Bodies, Session, open_session

NOWHERE = "4815162000000999999"


@pytest.fixture(scope="module")
def running() -> Iterator[RunningFake]:
    with running_fake_zoho(FakeZohoConfig(), LimitsClock(monotonic=lambda: 0.0)) as zoho:
        yield zoho


@pytest.fixture
def zoho(running: RunningFake) -> RunningFake:
    running.control.reset()
    running.control.limit(calls_per_minute=1000)
    running.control.switch(index_lag_seconds=0)
    running.control.set_calendar(CALENDAR)
    return running


@pytest.fixture
def session(zoho: RunningFake) -> Iterator[Session]:
    with open_session(zoho) as opened:
        yield opened


@dataclass
class Books:
    """One of each in Zoho, all one customer's: of invoices a draft, an open and a paid one."""

    session: Session
    bodies: Bodies
    customer: str
    product: str
    plan: str
    subscription: str
    ending: str
    draft: str
    opened: str
    paid: str
    payment: str


@pytest.fixture
def books(session: Session) -> Books:
    billing, bodies, customer = session.billing, session.bodies(), session.customer()
    product = billing.create_product(bodies.product(), permit=session.permit()).zoho_id
    plan = billing.create_plan(bodies.plan(product), permit=session.permit()).plan_code
    subscription, ending = (
        billing.create_subscription(
            bodies.subscription(customer, id=number), permit=session.permit()
        ).zoho_id
        for number in (7, 8)
    )
    billing.cancel_subscription(ending, at_end=True, permit=session.permit())
    draft, opened, paid = (
        billing.create_invoice(
            bodies.invoice(customer, invoice_number=f"INV-2026-{number:05}"),
            permit=session.permit(),
        ).zoho_id
        for number in (1, 2, 3)
    )
    billing.open_invoice(opened, permit=session.permit())
    billing.open_invoice(paid, permit=session.permit())
    payment = billing.create_payment(bodies.payment(customer, paid), permit=session.permit())
    return Books(
        session,
        bodies,
        customer,
        product,
        plan,
        subscription,
        ending,
        draft,
        opened,
        paid,
        payment.zoho_id,
    )


# ----------------------------------------------------------------------------------- catalogue


def test_a_product_is_created_listed_read_and_renamed(session: Session) -> None:
    billing = session.billing
    made = billing.create_product({"name": "ISP: SkyFibre"}, permit=session.permit())

    renamed = billing.update_product(
        made.zoho_id, {"name": "ISP: Sky Fibre"}, permit=session.permit()
    )

    page = billing.list_products(1)
    assert made.name == "ISP: SkyFibre"
    assert (made.status, made.created_time is None) == ("active", False)
    assert renamed == billing.get_product(made.zoho_id)
    assert (page.rows, page.has_more) == ((renamed,), False)


def test_a_plan_is_created_read_and_written_whole(session: Session) -> None:
    billing, bodies = session.billing, session.bodies()
    product = billing.create_product(bodies.product(), permit=session.permit()).zoho_id
    made = billing.create_plan(bodies.plan(product), permit=session.permit())

    dearer = plan_update(bodies.plan(product, price=Decimal("499.00")))
    changed = billing.update_plan(made.plan_code, dearer, permit=session.permit())

    assert (made.recurring_price, changed.recurring_price) == (Decimal(459), Decimal(499))
    assert (changed.product_id, changed.billing_cycles) == (product, -1)
    assert billing.get_plan(made.plan_code) == changed


def test_a_plan_code_that_is_taken_may_mean_so(books: Books) -> None:
    session = books.session

    with pytest.raises(Rejected) as caught:
        session.billing.create_plan(books.bodies.plan(books.product), permit=session.permit())

    assert may_mean_taken(caught.value.zoho_code)


# ------------------------------------------------------------------------------- subscriptions


def test_a_subscription_is_created_changed_at_its_terms_end_and_shows_what_waits(
    books: Books,
) -> None:
    session, billing = books.session, books.session.billing
    before = billing.get_subscription(books.subscription)

    answered = billing.update_subscription(
        books.subscription, books.bodies.change("449.00"), permit=session.permit()
    )

    read = billing.get_subscription(books.subscription)
    assert (before.reference_id, before.customer_id) == ("7", books.customer)
    assert (before.plan_code, before.price) == (books.plan, Decimal(399))
    assert (before.status, before.auto_collect, before.end_of_term) == ("live", False, False)
    assert (answered.end_of_term, answered.scheduled_price) == (True, None)
    assert (read.price, read.scheduled_price) == (Decimal(399), Decimal(449))
    assert read.scheduled_plan_code == books.plan


def test_a_cancellation_waits_for_the_end_may_be_taken_back_or_is_at_once(books: Books) -> None:
    session, billing = books.session, books.session.billing

    ending = billing.get_subscription(books.ending)
    taken_back = billing.reactivate_subscription(books.ending, permit=session.permit())
    ended = billing.cancel_subscription(books.ending, at_end=False, permit=session.permit())

    statuses = (ending.status, taken_back.status, ended.status)
    assert statuses == ("non_renewing", "live", "cancelled")


def test_subscriptions_of_any_status_are_listed_in_the_order_asked_for(
    books: Books, zoho: RunningFake
) -> None:
    session, billing = books.session, books.session.billing
    zoho.control.advance_calendar(timedelta(minutes=1).total_seconds())
    last = billing.create_subscription(
        books.bodies.subscription(books.customer, id=9), permit=session.permit()
    )
    billing.cancel_subscription(last.zoho_id, at_end=False, permit=session.permit())

    oldest = billing.list_subscriptions(1)
    newest = billing.list_subscriptions(1, newest_first=True)

    assert oldest.rows[-1].zoho_id == newest.rows[0].zoho_id == last.zoho_id
    assert {row.reference_id for row in oldest.rows} == {"7", "8", "9"}
    assert newest.rows[0].status == "cancelled"
    assert not oldest.has_more


# ------------------------------------------------------------------------------------ invoices


def test_an_invoice_is_a_draft_under_our_number_and_nobody_is_mailed(
    session: Session, zoho: RunningFake
) -> None:
    billing, bodies = session.billing, session.bodies()
    zoho.control.switch(notifications=True)
    customer = billing.create_customer(
        {"display_name": "Ann (CT-1)", "email": "ann@example.test"}, permit=session.permit()
    ).zoho_id

    made = billing.create_invoice(bodies.invoice(customer), permit=session.permit())
    draft = billing.get_invoice(made.zoho_id)
    billing.open_invoice(made.zoho_id, permit=session.permit())

    opened = billing.get_invoice(made.zoho_id)
    assert (made.number, draft.number) == ("INV-2026-00012", "INV-2026-00012")
    assert (draft.status, opened.status) == ("draft", "sent")
    assert [draft.total, draft.tax_total, draft.balance] == [1150, 150, 1150]
    assert zoho.control.state().mails == []


def test_a_draft_is_changed_and_deleted_and_an_open_one_is_void(books: Books) -> None:
    session, billing = books.session, books.session.billing
    other = {
        "invoice_number": "INV-2026-00001",
        "subtotal": Decimal("200.00"),
        "tax_amount": Decimal("30.00"),
        "total_amount": Decimal("230.00"),
        "line_items": [{"name": "Cable", "unit_price": Decimal("230.00"), "quantity": 1}],
    }

    changed = billing.update_invoice(
        books.draft, books.bodies.invoice(books.customer, **other), permit=session.permit()
    )
    billing.delete_invoice(books.draft, permit=session.permit())
    billing.void_invoice(books.opened, permit=session.permit())

    assert (changed.number, changed.total) == ("INV-2026-00001", Decimal(230))
    assert billing.get_invoice(books.opened).status == "void"
    with pytest.raises(GoneInZoho):
        billing.get_invoice(books.draft)


def test_invoices_of_any_status_are_listed_in_the_order_asked_for(
    books: Books, zoho: RunningFake
) -> None:
    session, billing = books.session, books.session.billing
    zoho.control.advance_calendar(timedelta(minutes=1).total_seconds())
    last = billing.create_invoice(
        books.bodies.invoice(books.customer, invoice_number="INV-2026-00004"),
        permit=session.permit(),
    )

    oldest = billing.list_invoices(1)
    newest = billing.list_invoices(1, newest_first=True)

    assert oldest.rows[-1].zoho_id == newest.rows[0].zoho_id == last.zoho_id
    assert {row.status for row in oldest.rows} >= {"draft", "sent", "paid"}


def test_a_number_that_is_taken_is_refused_and_says_so(books: Books) -> None:
    session = books.session
    again = books.bodies.invoice(books.customer, invoice_number="INV-2026-00001")

    with pytest.raises(Rejected) as caught:
        session.billing.create_invoice(again, permit=session.permit())

    assert caught.value.zoho_code == INVOICE_NUMBER_TAKEN
    assert may_mean_taken(caught.value.zoho_code)


def test_an_open_invoice_that_is_opened_again_is_a_refusal(books: Books) -> None:
    session = books.session

    with pytest.raises(Rejected):
        session.billing.open_invoice(books.opened, permit=session.permit())


# ------------------------------------------------------------------------------------ payments


def test_a_payment_is_read_put_on_another_invoice_and_taken_out(books: Books) -> None:
    session, billing = books.session, books.session.billing
    paid = billing.get_payment(books.payment)
    moved_to = payment_update(books.bodies.payment(books.customer, books.opened))

    moved = billing.update_payment(books.payment, moved_to, permit=session.permit())
    balances = [billing.get_invoice(one).balance for one in (books.paid, books.opened)]
    billing.delete_payment(books.payment, permit=session.permit())

    assert (paid.reference_number, paid.amount) == ("TX-40", Decimal(1150))
    assert [share.zoho_id for share in paid.invoices] == [books.paid]
    assert [share.zoho_id for share in moved.invoices] == [books.opened]
    assert balances == [1150, 0]
    assert billing.get_invoice(books.opened).balance == 1150
    with pytest.raises(GoneInZoho):
        billing.get_payment(books.payment)


def test_a_payment_that_is_credit_is_seen_among_its_customers_transactions_only(
    books: Books,
) -> None:
    session, billing = books.session, books.session.billing
    stranger = session.customer("Bob (CT-2)")
    credit = billing.create_payment(
        books.bodies.payment(stranger, None, transaction_id="TX-41"), permit=session.permit()
    )

    theirs = billing.list_transactions(stranger, 1)

    assert credit.invoices == ()
    assert [(row.reference_id, row.type, row.amount) for row in theirs.rows] == [
        (credit.zoho_id, "payment", Decimal(1150))
    ]
    assert len(billing.list_transactions(books.customer, 1).rows) > 1


@pytest.mark.parametrize("on", ["draft", "paid"])
def test_a_payment_of_more_than_is_open_is_refused_and_nothing_is_capped(
    books: Books, zoho: RunningFake, on: str
) -> None:
    session = books.session
    payment = books.bodies.payment(books.customer, getattr(books, on), transaction_id="TX-42")

    with pytest.raises(Rejected):
        session.billing.create_payment(payment, permit=session.permit())

    assert len(zoho.control.state().payments) == 1


# --------------------------------------------------------------------------- gone, and in doubt


def write(books: Books, name: str, target: str | None = None) -> object:
    """Make one write; an id that is given takes the place of the record's own."""
    billing, bodies, permit = books.session.billing, books.bodies, books.session.permit()
    calls: dict[str, Callable[[], object]] = {
        "create_product": lambda: billing.create_product(bodies.product("Voice"), permit=permit),
        "update_product": lambda: billing.update_product(
            target or books.product, bodies.product("Fibre"), permit=permit
        ),
        "create_plan": lambda: billing.create_plan(
            bodies.plan(books.product, sku="SKY-2"), permit=permit
        ),
        "update_plan": lambda: billing.update_plan(
            target or books.plan, bodies.plan(books.product), permit=permit
        ),
        "create_subscription": lambda: billing.create_subscription(
            bodies.subscription(books.customer, id=9), permit=permit
        ),
        "update_subscription": lambda: billing.update_subscription(
            target or books.subscription, bodies.change("449.00"), permit=permit
        ),
        "cancel_subscription": lambda: billing.cancel_subscription(
            target or books.subscription, at_end=True, permit=permit
        ),
        "reactivate_subscription": lambda: billing.reactivate_subscription(
            target or books.ending, permit=permit
        ),
        "create_invoice": lambda: billing.create_invoice(
            bodies.invoice(books.customer), permit=permit
        ),
        "update_invoice": lambda: billing.update_invoice(
            target or books.draft, bodies.invoice(books.customer), permit=permit
        ),
        "convert_invoice_to_open": lambda: billing.open_invoice(
            target or books.draft, permit=permit
        ),
        "void_invoice": lambda: billing.void_invoice(target or books.opened, permit=permit),
        "delete_invoice": lambda: billing.delete_invoice(target or books.draft, permit=permit),
        "create_payment": lambda: billing.create_payment(
            bodies.payment(books.customer, books.opened, transaction_id="TX-43"), permit=permit
        ),
        "update_payment": lambda: billing.update_payment(
            target or books.payment, bodies.payment(books.customer, books.paid), permit=permit
        ),
        "delete_payment": lambda: billing.delete_payment(target or books.payment, permit=permit),
    }
    return calls[name]()


def held(zoho: RunningFake) -> dict[str, object]:
    """Give what Zoho holds, without what every call changes."""
    return zoho.control.state().model_dump(exclude={"counters", "limits_now"})


CREATES = ["create_product", "create_plan", "create_subscription", "create_invoice"]
CREATES += ["create_payment"]
CHANGES = ["update_product", "update_plan", "update_subscription", "cancel_subscription"]
CHANGES += ["reactivate_subscription", "update_invoice", "update_payment"]
MESSAGES_ONLY = ["convert_invoice_to_open", "void_invoice", "delete_invoice", "delete_payment"]


def test_what_is_not_there_any_more_is_gone_for_every_call_with_an_id(books: Books) -> None:
    billing = books.session.billing
    reads = [
        billing.get_product,
        billing.get_plan,
        billing.get_subscription,
        billing.get_invoice,
        billing.get_payment,
    ]

    for name in (*CHANGES, *MESSAGES_ONLY):
        with pytest.raises(GoneInZoho):
            write(books, name, NOWHERE)
    for read in reads:
        with pytest.raises(GoneInZoho):
            read(NOWHERE)


@pytest.mark.parametrize("name", [*CREATES, *CHANGES, *MESSAGES_ONLY])
def test_a_write_whose_answer_is_lost_is_in_doubt_and_happened(
    books: Books, zoho: RunningFake, name: str
) -> None:
    before = held(zoho)
    zoho.control.arm(AnswerLost(operation=name))

    with pytest.raises(OutcomeUnknown):
        write(books, name)

    assert held(zoho) != before


@pytest.mark.parametrize("fault", [BadGateway(commits=True), TruncatedJson()])
@pytest.mark.parametrize("name", MESSAGES_ONLY)
def test_a_message_that_cannot_be_read_leaves_its_write_in_doubt(
    books: Books, zoho: RunningFake, name: str, fault: BadGateway | TruncatedJson
) -> None:
    zoho.control.arm(fault.model_copy(update={"operation": name}))

    with pytest.raises(OutcomeUnknown):
        write(books, name)


@pytest.mark.parametrize("name", CREATES)
def test_a_create_that_is_answered_without_an_id_is_in_doubt(
    books: Books, zoho: RunningFake, name: str
) -> None:
    zoho.control.arm(WithoutId(operation=name))

    with pytest.raises(OutcomeUnknown):
        write(books, name)
