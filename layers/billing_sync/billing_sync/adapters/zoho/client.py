"""Zoho Billing v1 as far as the sync needs it: narrow, typed, with permit and token inside.

Facts about the API, each with its evidence, are quoted as «billing-api §n».
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from billing_sync.adapters.zoho.transport import NothingLeft
from billing_sync.domain.errors import (
    DOES_NOT_EXIST,
    CallFailed,
    GoneInZoho,
    Misconfigured,
    NeverSent,
    NotNow,
    OutcomeUnknown,
    QuotaExhausted,
    Rejected,
    Throttled,
    Unauthorised,
    Unavailable,
    WritesAreOff,
    classify_answer,
)
from billing_sync.domain.remote import (
    CustomerPage,
    Organisation,
    RemoteCustomer,
    Tax,
    field_named_in,
)
from billing_sync.domain.timing import Timing
from billing_sync.ports import AccessToken, BillingApi, Clock, Permit, Priority, Quota, Tokens

LOGGER: Final = logging.getLogger(__name__)

ORGANISATION_HEADER: Final = "X-com-zoho-subscriptions-organizationid"
ROWS_PER_PAGE: Final = 200
PAGING: Final = frozenset({"page", "per_page", "sort_column", "sort_order", "organization_id"})
SHORTEST_PAUSE_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class ZohoSettings:
    """What a client is told. `api_url` is a host; None takes the one that came with the token."""

    organisation_id: str
    writes: bool
    api_url: str | None = None
    account_number_label: str = "Account Number"
    priority: Priority = Priority.BACKFILL


@dataclass(frozen=True, slots=True)
class _Operation:
    """One call of the API: the path is a template, so that logs hold no ids."""

    method: str
    path: str
    module: str
    envelope: str
    path_id: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    for_organisation: bool = True

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    @property
    def url_path(self) -> str:
        return self.path.replace("{id}", quote(self.path_id, safe=""))


class ZohoBilling(BillingApi):
    """The calls of one organisation.

    Reads take their own permit (waiting 2 s at most) and are replayed once, with a new permit, when
    the token was refused. A write is given its permit, because that stands in one transaction with
    its intent, and is never replayed here: after a refused token it raises Unauthorised, and the
    caller opens a new intent.
    """

    def __init__(
        self,
        http: httpx.Client,
        tokens: Tokens,
        quota: Quota,
        settings: ZohoSettings,
        timing: Timing,
        clock: Clock,
    ) -> None:
        self._http = http
        self._tokens = tokens
        self._quota = quota
        self._settings = settings
        self._timing = timing
        self._clock = clock

    # ------------------------------------------------------------------------------- operations

    def make_ready(self) -> None:
        """Have a live token at hand, so that no permit's window is spent on minting one."""
        self._tokens.current()

    def organisations(self) -> list[Organisation]:
        """List the organisations that the token may see; needs none of them itself.

        Being the cheapest read, it is the hourly probe of a paused day, too.
        """
        rows = self._read(
            _Operation("GET", "/organizations", "settings", "organizations", for_organisation=False)
        )
        return [_parse_row(Organisation, row) for row in _rows(rows)]

    def taxes(self) -> list[Tax]:
        """List the organisation's taxes."""
        rows = self._read(_Operation("GET", "/settings/taxes", "settings", "taxes"))
        return [_parse_row(Tax, row) for row in _rows(rows)]

    def list_customers(
        self,
        page: int,
        *,
        sort_created_descending: bool = False,
        filters: Mapping[str, str] | None = None,
    ) -> CustomerPage:
        """Read one page of customers, oldest first unless told otherwise.

        :raises ValueError: for an empty filter. Zoho answers an empty filter with *all* customers;
            that is how a stranger was once overwritten (billing-api §3.2).
        """
        filters = dict(filters or {})
        for name, value in filters.items():
            if not value.strip() or not name or name in PAGING:
                raise ValueError(f"not a filter: {name or 'without a name'}")
        envelope = self._read_envelope(
            _Operation(
                "GET",
                "/customers",
                "customers",
                "customers",
                query={
                    **filters,
                    "page": str(page),
                    "per_page": str(ROWS_PER_PAGE),
                    "sort_column": "created_time",
                    "sort_order": "D" if sort_created_descending else "A",
                },
            )
        )
        context = envelope.get("page_context")
        has_more = context.get("has_more_page") if isinstance(context, dict) else None
        if str(has_more).lower() not in {"true", "false"}:
            raise Unavailable("Zoho's list does not say whether there are more pages.")
        return CustomerPage(
            rows=tuple(self._customer(row) for row in _rows(envelope.get("customers"))),
            has_more=str(has_more).lower() == "true",
        )

    def get_customer(self, zoho_id: str) -> RemoteCustomer:
        """Read one customer by id: strongly consistent, and with custom fields."""
        if not zoho_id:
            raise ValueError("a customer without an id")  # would read the whole list
        return self._customer(
            self._read(
                _Operation("GET", "/customers/{id}", "customers", "customer", path_id=zoho_id)
            )
        )

    def create_customer(self, payload: dict[str, Any], *, permit: Permit) -> RemoteCustomer:
        """Make a customer. Not idempotent, and nothing at the server prevents a second one."""
        return self._write_customer("POST", "/customers", "", payload, permit)

    def update_customer(
        self, zoho_id: str, payload: dict[str, Any], *, permit: Permit
    ) -> RemoteCustomer:
        """Change the given fields of a customer; others stay."""
        if not zoho_id:
            raise ValueError("a customer without an id")
        return self._write_customer("PUT", "/customers/{id}", zoho_id, payload, permit)

    # ----------------------------------------------------------------------------------- writes

    def _write_customer(
        self, method: str, path: str, zoho_id: str, payload: dict[str, Any], permit: Permit
    ) -> RemoteCustomer:
        envelope = self._write(method, path, zoho_id, payload, permit)
        try:
            return self._customer(envelope.get("customer"))
        except Unavailable:
            # It was done, but as what? Without an id only a proof can tell.
            raise OutcomeUnknown(
                "Zoho confirmed the write in words that could not be read.", zoho_code=0
            ) from None

    def _write(
        self, method: str, path: str, path_id: str, payload: dict[str, Any], permit: Permit
    ) -> dict[str, Any]:
        if not self._settings.writes:
            self._quota.never_sent(permit)
            raise WritesAreOff
        try:
            operation = _Operation(
                method, path, "customers", "customer", path_id=path_id, body=encode_body(payload)
            )
            token = self._tokens.current()
        except BaseException:
            self._quota.never_sent(permit)
            raise
        try:
            return self._call(operation, token, permit)
        except Unauthorised:
            # A newer token for the replay, or the verdict that no token will do.
            self._tokens.refused(token, operation.module)
            raise

    # ------------------------------------------------------------------------------------ reads

    def _read(self, operation: _Operation) -> Any:
        return self._read_envelope(operation).get(operation.envelope)

    def _read_envelope(self, operation: _Operation) -> dict[str, Any]:
        token = self._tokens.current()
        try:
            return self._call(operation, token, self._take_permit())
        except Unauthorised:
            token = self._tokens.refused(token, operation.module)
        try:
            return self._call(operation, token, self._take_permit())
        except Unauthorised:
            self._tokens.refused(token, operation.module)
            raise

    def _take_permit(self) -> Permit:
        """Take a permit, sleeping for it at most as long as a Lambda may."""
        patience = self._timing.longest_sleep_seconds
        while True:
            try:
                return self._quota.take(self._settings.priority)
            except Throttled as refusal:
                pause = max(refusal.wait_seconds, SHORTEST_PAUSE_SECONDS)
                if pause > patience:
                    raise
                self._clock.sleep(pause)
                patience -= pause

    # --------------------------------------------------------------------------------- one call

    def _call(self, operation: _Operation, token: AccessToken, permit: Permit) -> dict[str, Any]:
        """Make the call and settle its permit, whatever comes; give the envelope of a success."""
        started = self._clock.monotonic()
        response: httpx.Response | None = None
        envelope: dict[str, Any] = {}
        try:
            response = self._http.send(self._request(operation, token, permit))
            envelope = _envelope(response)
            failure = classify_answer(
                response.status_code,
                _code(envelope),
                is_write=operation.is_write,
                field=field_named_in(envelope.get("message")),
            )
        except NothingLeft as stall:
            self._quota.never_sent(permit)
            self._log(operation, "never_sent", None, started)
            if operation.is_write:
                raise NeverSent(
                    "The call did not leave: Zoho could not be reached in time.", late=stall.late
                ) from None
            raise Unavailable("Zoho could not be reached.") from None
        except httpx.RequestError:
            failure = _lost(operation)
        except BaseException:
            # Nobody knows how far it came: as long as Zoho may count it, it stays taken.
            self._quota.answered(permit, readable=False)
            raise

        if isinstance(failure, GoneInZoho) and not operation.path_id:
            failure = _nothing_to_be_gone(failure)
        if isinstance(failure, NotNow):
            failure = self._slow_down(failure, permit, response)
        readable = failure is None or isinstance(failure, Rejected | GoneInZoho)
        self._quota.answered(permit, readable=readable)
        if readable:
            self._tokens.accepted(token, operation.module)
        self._log(operation, "answered" if response else "lost", failure, started, response)
        if failure is not None:
            raise failure
        return envelope

    def _request(self, operation: _Operation, token: AccessToken, permit: Permit) -> httpx.Request:
        host = (self._settings.api_url or token.api_domain).rstrip("/")
        headers = {"Authorization": f"Zoho-oauthtoken {token.value}"}
        if operation.for_organisation:
            headers[ORGANISATION_HEADER] = self._settings.organisation_id
        if operation.body is not None:
            headers["Content-Type"] = "application/json;charset=UTF-8"
        return self._http.build_request(
            operation.method,
            f"{host}/billing/v1{operation.url_path}",
            params=dict(operation.query),
            headers=headers,
            content=operation.body,
            extensions={
                "send_by": permit.send_by,
                "deadline_seconds": self._timing.http_deadline_seconds,
            },
        )

    def _slow_down(
        self, refusal: NotNow, permit: Permit, response: httpx.Response | None
    ) -> NotNow:
        """Teach the 429 to all workers, and say how long it makes this one wait."""
        header = response.headers.get("Retry-After", "") if response is not None else ""
        wait_seconds = self._quota.throttled(
            permit,
            refusal.zoho_code,
            # The other form, a date, was never seen from Zoho: our own rules do then.
            retry_after_seconds=float(header) if header.isdecimal() else None,
        )
        if isinstance(refusal, QuotaExhausted):
            resume_at = self._clock.now() + timedelta(seconds=wait_seconds)
        else:
            resume_at = None
        return type(refusal)(
            refusal.sentence,
            wait_seconds=wait_seconds,
            reason=refusal.reason,
            resume_at=resume_at,
            http_status=refusal.http_status,
            zoho_code=refusal.zoho_code,
        )

    def _log(
        self,
        operation: _Operation,
        outcome: str,
        failure: CallFailed | None,
        started: float,
        response: httpx.Response | None = None,
    ) -> None:
        LOGGER.info(
            "zoho call",
            extra={
                "method": operation.method,
                "path": operation.path,
                "outcome": outcome,
                "failure": None if failure is None else type(failure).__name__,
                "http_status": None if response is None else response.status_code,
                "zoho_code": None if failure is None else failure.zoho_code,
                "ms": round((self._clock.monotonic() - started) * 1000),
            },
        )

    def _customer(self, row: object) -> RemoteCustomer:
        if not isinstance(row, dict):
            raise Unavailable("Zoho's answer holds no customer.")
        try:
            return RemoteCustomer.read(row, self._settings.account_number_label)
        except ValidationError as error:
            raise _unreadable(error) from None


def encode_body(payload: Mapping[str, Any]) -> bytes:
    """Write the payload as strict UTF-8 JSON without nulls; amounts become numeric strings.

    Zoho refuses a null in a typed field, and takes numbers as strings (billing-api §1.3, §3).

    :raises Rejected: for text that is no Unicode (a lone surrogate) and for amounts that are no
        numbers, naming the field. It is Zoho's refusal foreseen: the caller's intent is open, and
        is closed as for any other refusal.
    """
    kept = {name: _without_nulls(value) for name, value in payload.items() if value is not None}
    for name, value in kept.items():
        try:
            _to_json(value).encode()
        except ValueError:  # UnicodeEncodeError is one
            raise Rejected(
                f"The value of {name} cannot be written as JSON text.", field=name
            ) from None
    return _to_json(kept).encode()


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(item) for item in value if item is not None]
    return value


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_amount)


def _amount(value: object) -> str:
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f")
    raise ValueError("neither text nor a finite amount")


def _envelope(response: httpx.Response) -> dict[str, Any]:
    """Read the body; anything but a JSON object (HTML, truncated, a NaN) is an empty one."""
    try:
        body = json.loads(response.content, parse_float=Decimal, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _code(envelope: Mapping[str, Any]) -> int | None:
    """Read the body's code, which may be a number or its digits."""
    code = envelope.get("code")
    if isinstance(code, int) and not isinstance(code, bool):
        return code
    if isinstance(code, str) and code.isdecimal() and code.isascii():
        return int(code)
    return None


def _lost(operation: _Operation) -> CallFailed:
    if operation.is_write:
        return OutcomeUnknown("Zoho's answer to a write was lost.")
    return Unavailable("Zoho did not answer in time.")


def _nothing_to_be_gone(failure: GoneInZoho) -> CallFailed:
    """Read «does not exist» for a call that named no id."""
    if failure.zoho_code == DOES_NOT_EXIST:
        # Something that the body refers to: a tax, a currency, ...
        return Rejected(
            "Zoho does not know something that the record refers to.",
            http_status=failure.http_status,
            zoho_code=failure.zoho_code,
        )
    return Misconfigured(
        "Zoho does not know this address: is the data centre right?",
        code="wrong_api_url",
        http_status=failure.http_status,
        zoho_code=failure.zoho_code,
    )


def _rows(rows: object) -> list[Any]:
    if not isinstance(rows, list):
        raise Unavailable("Zoho's answer holds no list.")
    return rows


def _parse_row[Model: BaseModel](model: type[Model], row: object) -> Model:
    try:
        return model.model_validate(row)
    except ValidationError as error:
        raise _unreadable(error) from None


def _unreadable(error: ValidationError) -> Unavailable:
    """Name the fields that cannot be read, never their values."""
    fields = sorted({str(problem["loc"][0]) for problem in error.errors() if problem["loc"]})
    return Unavailable(f"Zoho's answer cannot be read: {', '.join(fields) or 'not an object'}.")
