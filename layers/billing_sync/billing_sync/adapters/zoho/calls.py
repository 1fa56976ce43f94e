"""One call of Zoho Billing v1: its permit, its token, its answer's class, its line in the log.

Facts about the API, each with its evidence, are quoted as «billing-api §n».
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

import httpx

from billing_sync.adapters.zoho.body import code_of, decode_envelope, encode_body
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
from billing_sync.domain.remote import field_named_in
from billing_sync.domain.timing import Timing
from billing_sync.ports import AccessToken, Clock, Permit, Priority, Quota, Tokens

LOGGER: Final = logging.getLogger(__name__)

ORGANISATION_HEADER: Final = "X-com-zoho-subscriptions-organizationid"
SHORTEST_PAUSE_SECONDS: Final = 0.02
RIGHTS: Final = {"GET": "READ", "POST": "CREATE", "PUT": "UPDATE", "DELETE": "DELETE"}
"""Which right to a module a method needs: actions, being POSTs, need CREATE (billing-api §1.5)."""


@dataclass(frozen=True, slots=True)
class ZohoSettings:
    """What a client is told. `api_url` is a host; None takes the one that came with the token."""

    organisation_id: str
    writes: bool
    api_url: str | None = None
    account_number_label: str = "Account Number"
    priority: Priority = Priority.BACKFILL


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of the API: the path is a template, so that logs hold no ids.

    `envelope` is the key of the answer's resource; empty where Zoho answers with a message only.

    :raises ValueError: the path calls for an id and there is none (the path of nothing is the
        whole list's), or it is one that a path would be led elsewhere by.
    """

    method: str
    path: str
    module: str
    envelope: str = ""
    path_id: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    for_organisation: bool = True

    def __post_init__(self) -> None:
        # "." and ".." stay as they are when they are quoted, and are taken out of a URL.
        if "{id}" in self.path and not self.path_id.strip().strip("."):
            raise ValueError(f"{self.method} {self.path} without an id")

    @property
    def is_write(self) -> bool:
        return self.method != "GET"

    @property
    def scope(self) -> str:
        """The scope that it needs, without the product's name: `invoices.CREATE`.

        A token may read a module and not write it, so these are told apart: a read that works
        must not count as proof that a write's refusal was only a dead token.
        """
        return f"{self.module}.{RIGHTS[self.method]}"

    @property
    def url_path(self) -> str:
        return self.path.replace("{id}", quote(self.path_id, safe=""))


class ZohoCalls:
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

    def make_ready(self) -> None:
        """Have a live token at hand, so that no permit's window is spent on minting one."""
        self._tokens.current()

    def write(
        self, operation: Operation, permit: Permit, payload: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Make a call that changes something, and give the envelope of its success.

        :raises WritesAreOff: before anything else; the permit is given back.
        """
        if not self._settings.writes:
            self._quota.never_sent(permit)
            raise WritesAreOff
        try:
            if payload is not None:
                operation = replace(operation, body=encode_body(payload))
            token = self._tokens.current()
        except BaseException:
            self._quota.never_sent(permit)
            raise
        try:
            return self._call(operation, token, permit)
        except Unauthorised:
            # A newer token for the replay, or the verdict that no token will do.
            self._tokens.refused(token, operation.scope)
            raise

    def read(self, operation: Operation) -> dict[str, Any]:
        """Make a call that only reads, and give the envelope of its success."""
        token = self._tokens.current()
        try:
            return self._call(operation, token, self._take_permit())
        except Unauthorised:
            token = self._tokens.refused(token, operation.scope)
        try:
            return self._call(operation, token, self._take_permit())
        except Unauthorised:
            self._tokens.refused(token, operation.scope)
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

    def _call(self, operation: Operation, token: AccessToken, permit: Permit) -> dict[str, Any]:
        """Make the call and settle its permit, whatever comes; give the envelope of a success."""
        started = self._clock.monotonic()
        response: httpx.Response | None = None
        envelope: dict[str, Any] = {}
        try:
            response = self._http.send(self._request(operation, token, permit))
            envelope = decode_envelope(response)
            failure = classify_answer(
                response.status_code,
                code_of(envelope),
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
            self._tokens.accepted(token, operation.scope)
        self._log(operation, "answered" if response else "lost", failure, started, response)
        if failure is not None:
            raise failure
        return envelope

    def _request(self, operation: Operation, token: AccessToken, permit: Permit) -> httpx.Request:
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
        operation: Operation,
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


def _lost(operation: Operation) -> CallFailed:
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
