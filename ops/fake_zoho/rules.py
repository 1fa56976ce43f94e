"""What Zoho refuses although it is well written: one code and one sentence for each rule.

Zoho publishes neither codes nor sentences of Billing's own rules (billing-api §5), so these are
ours, in a range that Zoho does not use: a client may only know that such a call is refused for
good. One code for each rule, so that a log tells which it was.
"""

from enum import Enum

from ops.fake_zoho.replies import RefusedError


class Rule(Enum):
    CUSTOMER_HAS_TRANSACTIONS = (990101, "Customers with transactions cannot be deleted.")
    CUSTOMER_HAS_SUBSCRIPTIONS = (
        990102,
        "Customers with active subscriptions cannot be marked as inactive.",
    )
    CURRENCY_DIFFERS = (990103, "The currency is not the customer's own.")
    PRODUCT_IN_USE = (990201, "Products with plans cannot be deleted.")
    PLAN_CODE_TAKEN = (990202, "A plan with this plan code already exists.")
    PLAN_IN_USE = (990203, "Plans with transactions cannot be deleted.")
    PLAN_INACTIVE = (990204, "The plan is not active.")
    CUSTOMER_TWICE = (990301, "Give either a customer_id or a customer.")
    NO_CARD = (990302, "Charging automatically needs a card or an account.")
    SUBSCRIPTION_STATE = (990303, "The status of the subscription does not allow this.")
    RENEWAL_NOT_LATER = (990304, "The billing date can only be moved to a later one.")
    NUMBER_NOT_EXPECTED = (990401, "Invoice numbers are generated; ask for that to be ignored.")
    NUMBER_MISSING = (990402, "Give the invoice number, since generating it is to be ignored.")
    INVOICE_STATE = (990403, "The status of the invoice does not allow this.")
    INVOICE_HAS_PAYMENTS = (990404, "Invoices with payments or credits cannot be deleted.")
    TOTAL_BELOW_ZERO = (990405, "The total of an invoice cannot be negative.")
    TOTAL_BELOW_PAID = (990406, "The total cannot be less than what is paid.")
    NOT_THIS_CUSTOMERS = (990501, "The invoice is another customer's.")
    PAYMENT_ON_DRAFT = (990502, "Payments cannot be applied to invoices that are not open.")
    MORE_THAN_BALANCE = (990503, "The amount applied is more than the balance of the invoice.")
    MORE_THAN_PAID = (990504, "The amounts applied are more than the amount of the payment.")
    CREDIT_IS_USED = (990505, "Credit from this payment is used on an invoice.")


def against(rule: Rule) -> RefusedError:
    code, message = rule.value
    return RefusedError(400, code, message)
