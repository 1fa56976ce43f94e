"""What customers pay on Zoho's own page: in Zoho before it is here, and never made by us."""

from billing_sync.domain.payments import TAKEN_BY_ZOHO
from ops.demo.books import Passed, at_noon
from ops.demo.reckoning import account_number
from ops.fake_zoho import ByHand, FakeZohoControl, SeedPayment


def pay_on_zohos_page(zoho: FakeZohoControl, passed: Passed) -> int:
    """Let customers pay on Zoho's own page the invoices that it raised; count the payments."""
    holdings = zoho.state()
    there = {account_number(one): one["customer_id"] for one in holdings.customers}
    issued = {one.number: one.issued_on for one in passed.invoices}
    made: dict[str, list[SeedPayment]] = {}
    for payment in passed.payments:
        if payment.provider != TAKEN_BY_ZOHO or payment.completed_on is None:
            continue
        customer_id = there[payment.account_number]
        [number] = [
            one["number"]
            for one in holdings.invoices
            if one["customer_id"] == customer_id
            and one["_subscription_id"]
            and one["invoice_date"] == issued[payment.invoice].isoformat()
        ]
        profile = {
            "payment_mode": "creditcard",
            "amount": f"{payment.amount}",
            "date": payment.completed_on.isoformat(),
            "reference_number": payment.transaction_id,
            "invoices": [{"invoice_number": number, "amount_applied": f"{payment.amount}"}],
        }
        paid = SeedPayment(
            profile=profile, created_time=at_noon(payment.completed_on), created_by="Zoho's page"
        )
        made.setdefault(customer_id, []).append(paid)
    return len(zoho.seed_by_hand(ByHand(payments=made)).payment_ids)
