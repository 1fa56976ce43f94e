"""What a person can do about it: plain words and the next command, for each code."""

import re
from collections.abc import Sequence
from typing import Final

from billing_sync.domain.states import EntityType, State

CONFIRMABLE: Final[dict[str, str]] = {
    "notifications_off": (
        "Zoho's e-mail notifications and payment reminders are off (Settings, Notifications):"
        " no customer is mailed by our doing."
    ),
    "excess_payments_off": (
        "«Apply excess payments» is off (Settings, Payments): Zoho does not spend a credit that"
        " our books put on another invoice."
    ),
    "prices_inclusive": "Zoho takes the prices of plans and items as including VAT.",
    "prices_exclusive": "Zoho takes the prices of plans and items as excluding VAT.",
    "tax_rounding_per_line": "Zoho rounds tax for each line of a document.",
    "tax_rounding_per_document": "Zoho rounds tax once for the whole document.",
    "display_names_unique": (
        "«Allow duplicates for customer display name» is off (Settings, Customers): Zoho itself"
        " refuses a second customer of one name."
    ),
    "display_names_may_repeat": (
        "«Allow duplicates for customer display name» is on: only our own look-ups stand between"
        " a customer and a duplicate."
    ),
}
"""What Zoho's API does not tell, and what a person says by confirming it."""

WAITS: Final[dict[str, str]] = {
    "minute": "the minute's calls are used up",
    "in_flight": "as many calls as are allowed are in flight",
    "pace": "the backfill's next call is not due yet",
    "priority": "a trigger goes first",
    "busy": "another worker holds the quota's row",
    "blocked": "Zoho answered 429 and has blocked the organisation for a while",
    "day": "the day's calls are used up",
    "paused": "Zoho says that the day's calls are used up; it is asked once an hour",
    "probe_due": "the day's calls are used up; a read finds out whether they are back",
    "token_cool_down": "Zoho refuses new access tokens for a while; nobody asks meanwhile",
    "token_refresh": "another worker is refreshing the access token",
    "token_unavailable": "Zoho's OAuth server gave no readable answer",
    "quota": "no call is free yet: Zoho's limits are shared with everybody else",
    "writes_paused": "an operator has paused all writes; `billing-sync resume` lets them go on",
    "canary": "the first record's write is being proved, and the others wait for it",
    "due": "records come back when they fall due: a proof, or another attempt",
    "unavailable": "Zoho gave no readable answer; it is asked again",
}

_KEYS: Final[dict[EntityType, str]] = {
    EntityType.CUSTOMER: "account number",
    EntityType.PRODUCT: "name",
    EntityType.PLAN: "plan code",
    EntityType.SUBSCRIPTION: "reference",
    EntityType.INVOICE: "number, or customer, date and total",
    EntityType.PAYMENT: "reference",
}
"""By what one in Zoho is known to be ours."""

_UNIQUE: Final[dict[EntityType, str]] = {
    EntityType.CUSTOMER: "display name",
    EntityType.INVOICE: "number",
}
"""What Zoho itself admits once, where that is another thing."""

_BY_ITSELF: Final = "by the sweep, or, if it is history, by the next backfill"
_SOURCE: Final = "Correct it in your own database: the change alone makes it be tried again."
_STACK: Final = "Mend the setting, see `billing-sync preflight`, then run the backfill again."

_ADVICE: Final[dict[str, str]] = {
    "plausible": (
        "Compare it with the candidate in Zoho. The same? `billing-sync link {entity} {id}"
        " {zoho_id}`. Somebody else? `billing-sync create-anyway {entity} {id}`."
    ),
    "several": (
        "Several in Zoho bear its {key}: leave one of them there, or say which one counts with"
        " `billing-sync link {entity} {id} {zoho_id}`."
    ),
    "linked_elsewhere": (
        "The one in Zoho belongs to another record of yours: two rows for one thing, or a wrong"
        " {key}. Correct the rows, or the {key} in Zoho, then"
        " `billing-sync retry {entity} --ids {id}`."
    ),
    "duplicate": (
        "It is in Zoho more than once: remove the surplus one there, then"
        " `billing-sync link {entity} {id} {zoho_id}` with the one that stays."
    ),
    "taken": (
        "Another one in Zoho has its {unique}. The same after all? `billing-sync link {entity} {id}"
        " {zoho_id}`. Else change the {unique} of the one in Zoho, and"
        " `billing-sync retry {entity} --ids {id}`."
    ),
    "not_found_in_zoho": (
        "Zoho is to have it, and it is not there: see whether Zoho took or raised it after all."
        " `billing-sync link {entity} {id} {zoho_id}` if it is there under another {key}, else"
        " correct the row here; `billing-sync retry {entity} --ids {id}` looks again."
    ),
    "not_raised": (
        "Zoho should have raised this invoice. Look at the service's subscription in Zoho: its"
        " start, price and status. Raised since? `billing-sync retry {entity} --ids {id}` finds it;"
        " with another date or total, `billing-sync link {entity} {id} {zoho_id}`."
    ),
    "already_paid": (
        "In Zoho its invoice is paid already, by the payments that are named. The same payment?"
        " `billing-sync link {entity} {id} {zoho_id}`. Another? Take the wrong one out there, then"
        " `billing-sync retry {entity} --ids {id}`."
    ),
    "void_in_zoho": (
        "Void it here too, or open it in Zoho again; then `billing-sync retry {entity} --ids {id}`."
    ),
    "cannot_be_voided": (
        "It is withdrawn here, and paid or credited in Zoho, where it is never altered then. Take"
        " the payment off it there and void it, or let it stand here, too; then"
        " `billing-sync retry {entity} --ids {id}`."
    ),
    "cannot_be_changed": (
        "It was changed here, and is paid or credited in Zoho, where it is never altered then. Undo"
        " the change, or correct it by another invoice or a credit note."
    ),
    "plan_code_changed": (
        "Zoho's subscriptions hold on to the former code: put the sku back, and make a package of"
        " its own for the new one."
    ),
    "parent_not_in_zoho": (
        "It is in Zoho, and an invoice of it is not: `billing-sync show` of that invoice says why."
        " Mend that, then `billing-sync retry {entity} --ids {id}`."
    ),
    "prices_setting_differs": (
        "Zoho invoices another total for this price than was computed: prices there hold tax, or do"
        " not, otherwise than PricesInZoho says. Set one of the two right, confirm it again with"
        " `billing-sync confirm`, then `billing-sync retry {entity} --ids {id}`."
    ),
    "waiting": "Nothing now: it is looked at again by itself.",
    "unwritable_text": f"A field holds characters that cannot be sent. {_SOURCE}",
    "name_missing": f"It has no name at all. {_SOURCE}",
    "account_number_missing": f"It has no account number. {_SOURCE}",
    "credit_note_needed": (
        "Raise a credit note in Zoho by hand: negative amounts are not carried there yet."
    ),
    "refund_needed": "Enter the refund in Zoho by hand: refunds are not carried there yet.",
    "price_not_expressible": (
        "Zoho's prices exclude VAT, and no price without VAT is invoiced as this one: change it by"
        " a cent or two in your own database, or have Zoho take prices as including VAT."
    ),
    "tax_not_in_zoho": (
        "Make the tax in Zoho (Settings, Taxes) with this name and rate, or correct the configured"
        " one; then `billing-sync retry {entity} --ids {id}`."
    ),
    "tax_unknown": f"The line's tax is none of the configured ones. {_SOURCE}",
    "not_registered_for_tax": (
        "The organisation in Zoho charges no VAT: register it there (Settings, Taxes), or correct"
        " the invoice in your own database."
    ),
    "totals_differ": (
        "Its lines do not come to its totals. Correct it in your own database; if it is right, see"
        " whether Zoho rounds tax for each line or once, as was confirmed."
    ),
    "price_too_precise": f"Zoho rounds a price to the cent before it multiplies. {_SOURCE}",
    "payment_method_unmapped": (
        "Add the provider and method to the table of payment ways, then"
        " `billing-sync retry {entity} --ids {id}`."
    ),
    "invoice_left_out": (
        "Some of its invoices are not sent. Settle that part in Zoho by hand, or move the cut-over"
        " so that all of them are sent or none."
    ),
    "period_lies_across_start": (
        "Some of its days are the subscription's in Zoho. Correct the period in your own database,"
        " or void it here and bill the days before the subscription's start by themselves."
    ),
    "gone_in_zoho": (
        "Somebody deleted or merged it in Zoho. If that was right, nothing is to be done; if"
        " another one took its place, `billing-sync link {entity} {id} {zoho_id}`."
    ),
    "deleted_here": (
        "Its row is gone from your database, and it is still in Zoho: put it back, or deal with"
        " the one in Zoho by hand. Nothing is deleted there by itself."
    ),
    "not_found_here": "There is no such row: check the id, and what removed the row.",
    "differs_in_zoho": (
        "It is in Zoho with other figures. See `billing-sync show {entity} {id}`, correct one side,"
        " then `billing-sync retry {entity} --ids {id}`: it is compared again, and sent if need be."
    ),
    "exhausted": (
        "Every attempt failed. Once Zoho answers again: `billing-sync retry {entity} --ids {id}`."
    ),
    "outcome_unknown": (
        "Nothing now: a look into Zoho settles it a few minutes after the call. Run the backfill"
        " again then, and do not create it by hand meanwhile."
    ),
    "not_proved_yet": (
        "Nothing now: the look into Zoho is repeated. Run the backfill again in a few minutes,"
        " and do not create it by hand meanwhile."
    ),
    "unavailable": f"Nothing now: it is tried again {_BY_ITSELF}.",
    "stalled": f"Nothing now: nothing was sent. It is tried again {_BY_ITSELF}.",
    "writes_paused": "Nothing now: `billing-sync resume` lets it go on.",
    "skipped": "Nothing: it is not to be sent.",
    "writes_are_off": (
        "The stack is installed with ZohoWrites off. Deploy it with ZohoWrites=on when you mean it."
    ),
    "missing_scope": (
        "The refresh token lacks a scope: make a new one with the scopes that preflight names, and"
        " put it into the secret with Zoho's credentials."
    ),
    "forbidden": f"Zoho's user may not do this: give it the rights. {_STACK}",
    "no_organisation": f"OrganisationId is not one that the token may see. {_STACK}",
    "wrong_data_centre": f"ZohoDataCentre is not the organisation's. {_STACK}",
    "unknown_custom_field": (
        "Zoho has no such custom field: make «Account Number» for customers there"
        " (Settings, Customers, Custom fields), then run the backfill again."
    ),
    "settings": _STACK,
    "wrong_api_url": f"ZohoApiUrl is not Zoho's, or not of this data centre. {_STACK}",
    "execution_unreadable": f"A function may not look at the backfill's execution. {_STACK}",
    "bucket_not_writable": f"A function may not write to the runs' bucket. {_STACK}",
    "secret_unreadable": f"A function may not read its secret, or it is empty. {_STACK}",
    "secret_unwritable": f"A function may not store the access token. {_STACK}",
    "secret_malformed": f"A secret does not hold what it should. {_STACK}",
    "quota_not_configured": "Run `billing-sync preflight`: it sets the quota up.",
    "time_zone_unknown": (
        "Set the organisation's time zone in Zoho (Settings, Organization Profile), then run"
        " `billing-sync preflight`."
    ),
    "no_zoho_here": (
        "A function called Zoho that must not, which is a fault of this software: its log says"
        " which."
    ),
    "preflight_never_ran": "Run `billing-sync preflight` first.",
}

_ADVICE_FOR_ROWS: Final = dict.fromkeys(
    (
        "activation_date_missing",
        "amount_missing",
        "amount_not_positive",
        "billing_day_impossible",
        "customer_unknown",
        "currency_differs",
        "date_missing",
        "invoice_of_another",
        "invoice_unknown",
        "line_items_not_a_list",
        "line_not_an_object",
        "line_price_missing",
        "not_an_amount",
        "number_duplicate",
        "number_missing",
        "package_missing",
        "parts_of_a_cent",
        "period_start_missing",
        "plan_code_unusable",
        "price_not_positive",
        "quantity_zero",
        "reference_unusable",
        "service_type_missing",
        "share_not_positive",
        "shares_exceed_amount",
        "status_unknown",
    ),
    f"Its sentence names the column and what is wrong with it. {_SOURCE}",
)

_BAD_CREDENTIALS: Final = (
    "Zoho does not accept the OAuth client or the refresh token: check client id, client secret,"
    " refresh token and data centre in the secret with Zoho's credentials."
)
_ADVICE_FOR_WORDS: Final = dict.fromkeys(
    (
        "invalid_client",
        "invalid_client_secret",
        "invalid_code",
        "invalid_grant",
        "unauthorized_client",
    ),
    _BAD_CREDENTIALS,
)
_SAID: Final = {**_ADVICE, **_ADVICE_FOR_ROWS, **_ADVICE_FOR_WORDS}

_ZOHO_REFUSED: Final = (
    "Zoho refuses it with its code {number}: `billing-sync show {entity} {id}` names the field."
    " Correct it in your own database: the change alone makes it be tried again; or, if Zoho was"
    " changed instead, `billing-sync retry {entity} --ids {id}`."
)
_ADVICE_FOR_STATES: Final[dict[State, str]] = {
    State.PENDING: f"Nothing: it is sent {_BY_ITSELF}.",
    State.SYNCING: "Nothing: a worker has it in hand.",
    State.SYNCED: "Nothing: it is in step.",
    State.RETRYING: _ADVICE["unavailable"],
    State.WAITING: "Nothing now: it waits for Zoho.",
    State.BLOCKED: f"Look at what it waits for; then it is sent {_BY_ITSELF}.",
    State.IN_DOUBT: _ADVICE["outcome_unknown"],
    State.MISMATCH: _ADVICE["differs_in_zoho"],
    State.AMBIGUOUS: _ADVICE["plausible"],
    State.FAILED: (
        "See `billing-sync show {entity} {id}`, mend the cause, then"
        " `billing-sync retry {entity} --ids {id}`."
    ),
    State.EXHAUSTED: _ADVICE["exhausted"],
    State.SKIPPED: _ADVICE["skipped"],
}


def advice(
    code: str | None,
    entity: EntityType,
    ids: Sequence[str] = (),
    *,
    state: State = State.FAILED,
) -> str:
    """Say what to do about records of one code; an unknown code is advised upon by its state.

    With exactly one id the commands are ready to be copied.
    """
    refused = re.fullmatch(r"zoho_(\d+)", code or "")
    words = _ZOHO_REFUSED if refused else _SAID.get(code or "") or _ADVICE_FOR_STATES[state]
    return words.format(
        entity=entity,
        id=ids[0] if len(ids) == 1 else "ID",
        number=refused[1] if refused else "",
        key=_KEYS[entity],
        unique=_UNIQUE.get(entity, _KEYS[entity]),
        zoho_id="PLAN_CODE" if entity is EntityType.PLAN else "ZOHO_ID",
    )


def is_known(code: str) -> bool:
    """Say whether there is advice for this very code."""
    return code in _SAID or code.startswith("zoho_")


def wait_in_words(reason: str | None) -> str:
    """Say why the machine waits; a reason that is a sentence already stays as it is."""
    if reason is None:
        return "no reason given"
    return WAITS.get(reason, reason.rstrip("."))
