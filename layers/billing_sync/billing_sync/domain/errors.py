"""Every failure has a class, and the class alone says what happens next.

    BillingSyncError
    ├── CallFailed                   a call to Zoho did not give what was asked for
    │   ├── NotNow                   nothing is wrong with the record: wait, no attempt is used up
    │   │   ├── Throttled            no permit, or 429 (44, 1070, unknown): seconds to wait
    │   │   ├── QuotaExhausted       the day's calls are used up (45): a time to resume at
    │   │   ├── TokenRefused         Zoho's OAuth server is cooling down: a time to resume at
    │   │   └── Paused               an operator has paused all writes
    │   ├── NeverSent                the first byte did not leave: safe to send again
    │   ├── OutcomeUnknown           a write left and no readable answer came: in doubt, proof
    │   ├── Unavailable              a *read* gave no readable answer: the ladder
    │   ├── Rejected                 Zoho refuses this record: code and sentence, a person decides
    │   ├── GoneInZoho               404 or 1002 for an id that we hold
    │   ├── LookUpFailed             a search that proves nothing (filter ignored, pages missing)
    │   └── Misconfigured            scope, secret, data centre, custom field: stops the run
    │       └── WritesAreOff         ZohoWrites is off and the call is not a read
    ├── Unsendable                   our own rules refuse the record: field and reason
    ├── FenceLost                    another worker holds the record now: leave without a call
    ├── RecordsNotInStep             how a run with a red record ends
    ├── LogNotWritten                the sync log refuses a row: stops the run, undoes nothing
    └── Unreachable                  what the webhooks' door stands on: the sender comes again

`classify_answer` decides once, by HTTP status and body code; nothing else looks at either.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Final, TypedDict


class BillingSyncError(Exception):
    """The root of everything that this package raises on purpose."""


class CallFailed(BillingSyncError):
    """A call to Zoho did not give what was asked for.

    `http_status` and `zoho_code` are Zoho's own, for the sync log; both may be absent. `sentence`
    holds no value of the record: it is shown to people and stored.
    """

    def __init__(
        self, sentence: str, *, http_status: int | None = None, zoho_code: int | None = None
    ) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.http_status = http_status
        self.zoho_code = zoho_code


class NotNow(CallFailed):
    """Nothing is wrong with the record; the call may be made later.

    `wait_seconds` counts from now, in the clock of this process; `resume_at` is given instead
    where the wait is long and has a date (the day's quota, the token's cool-down).
    """

    def __init__(
        self,
        sentence: str,
        *,
        wait_seconds: float,
        reason: str,
        resume_at: datetime | None = None,
        http_status: int | None = None,
        zoho_code: int | None = None,
    ) -> None:
        super().__init__(sentence, http_status=http_status, zoho_code=zoho_code)
        self.wait_seconds = wait_seconds
        self.reason = reason
        self.resume_at = resume_at


class Throttled(NotNow):
    """No permit is free, or Zoho answered 429 with 44, 1070 or an unknown code."""


class QuotaExhausted(NotNow):
    """The day's calls are used up, by our own count or by Zoho's 45."""


class TokenRefused(NotNow):
    """Zoho's OAuth server refuses new tokens for a while; nobody asks again before `resume_at`."""


class Paused(NotNow):
    """An operator has paused all writes; `resume` makes what waits for it due at once."""

    def __init__(self, wait_seconds: float) -> None:
        super().__init__(
            "An operator has paused all writes to Zoho.",
            wait_seconds=wait_seconds,
            reason="writes_paused",
        )


class NeverSent(CallFailed):
    """The first byte did not leave this process. `late` tells a stall from a failed connection."""

    def __init__(self, sentence: str, *, late: bool = False) -> None:
        super().__init__(sentence)
        self.late = late


class OutcomeUnknown(CallFailed):
    """A write left and its answer was lost or unreadable: it may have happened, or still may."""


class Unavailable(CallFailed):
    """A read found no readable answer; reading again is harmless."""


class Rejected(CallFailed):
    """Zoho refuses the record itself. `field` is Zoho's name of the field, where it names one."""

    def __init__(
        self,
        sentence: str,
        *,
        http_status: int | None = None,
        zoho_code: int | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(sentence, http_status=http_status, zoho_code=zoho_code)
        self.field = field


class GoneInZoho(CallFailed):
    """The id is not in Zoho any more (deleted or merged)."""


class LookUpFailed(CallFailed):
    """A search whose answer proves nothing: never read it as «none»."""


class Misconfigured(CallFailed):
    """No record can succeed until a person mends the configuration: the run stops.

    `code` is a word of ours (`missing_scope`, `invalid_client`, ...) for reports and preflight.
    """

    def __init__(
        self,
        sentence: str,
        *,
        code: str,
        http_status: int | None = None,
        zoho_code: int | None = None,
    ) -> None:
        super().__init__(sentence, http_status=http_status, zoho_code=zoho_code)
        self.code = code


class WritesAreOff(Misconfigured):
    """ZohoWrites is off: only reads, and the token's call, may leave."""

    def __init__(self) -> None:
        super().__init__("ZohoWrites is off: nothing is written to Zoho.", code="writes_are_off")


class Unsendable(BillingSyncError):
    """Our own rules refuse the record, before any call. `field` is the source's column."""

    def __init__(self, code: str, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.field = field
        self.sentence = sentence


class FenceLost(BillingSyncError):
    """The lease ran out and another worker may hold the record: leave without a call."""


class RecordsNotInStep(BillingSyncError):
    """At least one record is red. The name is what the console shows."""


class LogNotWritten(BillingSyncError):
    """A row of `zoho_sync_logs` was refused: what Zoho confirmed stands, but the run stops."""


class Unreachable(BillingSyncError):
    """A queue or a secret is out of reach of the webhooks' door. `code` is a word of ours."""

    def __init__(self, code: str) -> None:
        super().__init__(f"The door is closed: {code}.")
        self.code = code


# Zoho's body codes. 44, 45 and 1070 are documented for the shared platform; 57 stands for a dead
# token *and* for a missing scope; 1002 is «does not exist»; 3062 is «already exists» (customers).
MINUTE_BLOCK: Final = 44
DAY_BLOCK: Final = 45
IN_FLIGHT_BLOCK: Final = 1070
NOT_AUTHORISED: Final = 57
BAD_AUTHENTICATION: Final = 14
NO_ORGANISATION: Final = 9017
WRONG_DOMAIN: Final = 9
DOES_NOT_EXIST: Final = 1002
ALREADY_EXISTS: Final = 3062
UNKNOWN_CUSTOM_FIELD: Final = 120129
INVALID_VALUES: Final = frozenset((2, 4, 1038))
METHOD_NOT_ALLOWED: Final = 37
INVOICE_NUMBER_TAKEN: Final = 4060
"""As one Books integration quotes it; not documented (billing-api §5)."""

STOPPING_CODES: Final[dict[int, str]] = {
    NO_ORGANISATION: "no_organisation",
    WRONG_DOMAIN: "wrong_data_centre",
    UNKNOWN_CUSTOM_FIELD: "unknown_custom_field",
}
"""Refusals that every record would meet; they stop a run at once."""


ABOUT_ANYTHING_ELSE: Final = INVALID_VALUES | {METHOD_NOT_ALLOWED, DOES_NOT_EXIST}
"""Refusals of a record whose meaning is known, and is not that a key is taken."""


MEANS_TAKEN: Final = frozenset({ALREADY_EXISTS, INVOICE_NUMBER_TAKEN})
"""Refusals that say so themselves: a display name, and (by hearsay) an invoice's number."""


def may_mean_taken(zoho_code: int | None) -> bool:
    """Say whether a refused create may mean that Zoho holds its key: invoice number, plan code.

    Billing publishes no code for either, nor for any other of its own rules (billing-api §5), so
    each code that is not known to mean something else is worth one look-up of the key. What the
    look-up finds decides, never the code.
    """
    return zoho_code is not None and zoho_code not in ABOUT_ANYTHING_ELSE


class Unauthorised(CallFailed):
    """401: the token is dead, or lacks the scope. The client refreshes and replays once."""


class _Facts(TypedDict):
    http_status: int
    zoho_code: int | None


def classify_answer(
    http_status: int,
    zoho_code: int | None,
    *,
    is_write: bool,
    field: str | None = None,
    stopping_codes: Collection[int] = frozenset(STOPPING_CODES),
) -> CallFailed | None:
    """Say what an answer of Zoho Billing means, or None when it is a success.

    `zoho_code` is the body's `code`, None when the body was not the documented envelope (HTML of a
    gateway, truncated JSON). A 2xx with a non-zero code is a refusal (billing-api 1.3). Waiting
    times of throttling answers are the quota's to say; here they are zero.
    """
    facts = _Facts(http_status=http_status, zoho_code=zoho_code)
    if 200 <= http_status < 300 and zoho_code == 0:
        return None
    if http_status == 429 or zoho_code in (MINUTE_BLOCK, DAY_BLOCK, IN_FLIGHT_BLOCK):
        if zoho_code == DAY_BLOCK:
            return QuotaExhausted(
                "Zoho's calls of the day are used up.", wait_seconds=0, reason="day", **facts
            )
        reason = "in_flight" if zoho_code == IN_FLIGHT_BLOCK else "blocked"
        return Throttled("Zoho asks us to slow down.", wait_seconds=0, reason=reason, **facts)
    if zoho_code is None or http_status >= 500 or http_status == 408:
        if is_write:
            return OutcomeUnknown("Zoho's answer to a write could not be read.", **facts)
        return Unavailable("Zoho's answer could not be read.", **facts)
    if http_status == 401 or zoho_code in (NOT_AUTHORISED, BAD_AUTHENTICATION):
        return Unauthorised("Zoho does not accept the access token.", **facts)
    if zoho_code in stopping_codes or http_status == 403:
        code = STOPPING_CODES.get(zoho_code or 0, "forbidden")
        return Misconfigured(
            f"Zoho refuses every such call (code {zoho_code}).", code=code, **facts
        )
    if http_status == 404 or zoho_code == DOES_NOT_EXIST:
        return GoneInZoho("Zoho does not know this id any more.", **facts)
    named = f"the value of {field}" if field else "it"
    return Rejected(f"Zoho refuses {named} (code {zoho_code}).", field=field, **facts)
