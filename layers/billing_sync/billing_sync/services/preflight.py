"""Check everything before a run writes anything, and take the run's lock.

    input ──► lock held? ──► database ──► secrets, Zoho ──► storage ──► confirmations
      │           │             └───────────── all findings at once ─────────┘
      ▼           ▼                                   │
    refused   already_running           refused ◄─────┴────► lock ──► go

Every check guards against the failures that it looks for and no others, so that none hides the
next; what nobody expected is an error of the function, and the state machine tries again.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import ValidationError

from billing_sync.domain.errors import CallFailed, Misconfigured, NotNow, TokenRefused
from billing_sync.domain.remote import CustomerPage, Organisation
from billing_sync.domain.states import EntityType
from billing_sync.domain.steps import (
    BackfillInput,
    Execution,
    Finding,
    Mode,
    OrganisationView,
    PreflightAnswer,
    PreflightEvent,
    Severity,
)
from billing_sync.domain.timing import Timing
from billing_sync.ports import (
    Clock,
    Executions,
    OrganisationFacts,
    OrganisationReads,
    Quota,
    RunFiles,
    RunLock,
    SnapshotCounts,
    SourceCheck,
    Tokens,
)

PATIENCE_SECONDS: Final = 20.0
"""How long preflight waits for permits in all, in short sleeps; it makes two calls."""

PROOF_SECONDS: Final = 320.0
"""Deadline and proof delay together: the longest that a commit at Zoho may stay unseen."""

ROWS_PER_PAGE: Final = 200
LOCK_ATTEMPTS: Final = 3
LONGEST_FIELD: Final = 60
SHOWN_FAULTS: Final = 5
RECORDS_IN_A_FINDING: Final = 50

FOR_ZOHO: Final = frozenset({"quota", "quota_hours", "permits", "token"})
FOR_THE_LOCK: Final = frozenset({"runs"})
FOR_CONFIRMATIONS: Final = frozenset({"confirmations"})
FOR_COUNTS: Final = frozenset({"snapshots", "snapshot_customers"})

GRAVITY: Final = (
    Severity.BLOCKING,
    Severity.RED,
    Severity.CONFIRM,
    Severity.WARNING,
    Severity.NOTE,
)


@dataclass(frozen=True, slots=True)
class PreflightDatabase:
    """What preflight needs of the database; none of it connects before it is used."""

    check: SourceCheck
    runs: RunLock
    organisations: OrganisationFacts
    snapshots: SnapshotCounts


@dataclass(frozen=True, slots=True)
class PreflightZoho:
    """What preflight needs of Zoho; its token and permits are rows of our database."""

    api: OrganisationReads
    tokens: Tokens
    quota: Quota


@dataclass(slots=True)
class _Checked:
    """What all checks found, and what was learnt by the way."""

    findings: list[Finding] = field(default_factory=list)
    unusable: frozenset[str] = frozenset()
    rows: dict[str, int] = field(default_factory=dict)
    organisation: Organisation | None = None
    customers: int | None = None

    def may_use(self, tables: frozenset[str]) -> bool:
        return not self.unusable & tables

    def add(self, *findings: Finding) -> None:
        self.findings += findings


class Preflight:
    """Answer `go`, `already_running` or `refused` to the state machine, `checked` to a person."""

    def __init__(  # noqa: PLR0913 - the one step that looks at everything
        self,
        open_database: Callable[[], PreflightDatabase],
        read_credentials: Callable[[], object],
        open_zoho: Callable[[], PreflightZoho],
        open_files: Callable[[], RunFiles],
        executions: Executions,
        clock: Clock,
        timing: Timing,
        *,
        organisation_id: str,
        writes: bool,
        is_real_zoho: bool,
        expected_api_url: str | None,
    ) -> None:
        """Keep the ways to the parts; what they raise as `Misconfigured` becomes a finding.

        :param read_credentials: reads Zoho's secret; called even where Zoho cannot be.
        :param open_zoho: called only when the tables of token and permits can be used.
        :param is_real_zoho: whether any of the hosts is Zoho's own.
        :param expected_api_url: the API's host in the configured data centre, which the token's
            must be; None where the host is configured.
        """
        self._open_database = open_database
        self._read_credentials = read_credentials
        self._open_zoho = open_zoho
        self._open_files = open_files
        self._executions = executions
        self._clock = clock
        self._timing = timing
        self._organisation_id = organisation_id
        self._writes = writes
        self._is_real_zoho = is_real_zoho
        self._expected_api_url = expected_api_url

    def __call__(self, event: PreflightEvent) -> PreflightAnswer:
        """Check; begin the run if all is well and an execution asks. Safe to repeat."""
        faults: list[str] = []
        asked = BackfillInput()
        try:
            asked = BackfillInput.model_validate({} if event.input is None else event.input)
            faults += _unwritable(asked) + _impossible_times(asked)
        except ValidationError as error:
            faults += _faults(error)
        if event.execution is None or event.check_only:
            return self._check_only(asked, faults)
        if faults:
            return _refused("InvalidInput", " ".join(faults))
        return self._for_execution(asked, event.execution)

    # --------------------------------------------------------------------------------- two uses

    def _check_only(self, asked: BackfillInput, faults: Sequence[str]) -> PreflightAnswer:
        checked = _Checked()
        database = self._database(checked)
        running = None
        if database is not None:
            faults = [*faults, *_impossible_values(database, asked)]
            running = self._holder(database, checked)
            self._check_database(database, asked, checked)
        self._check_the_rest(database, asked, checked)
        checked.add(
            *(
                _blocking("invalid_input", fault, "See `billing-sync backfill --help`.")
                for fault in faults
            )
        )
        return PreflightAnswer(
            next="checked",
            running=running,
            mode=asked.mode,
            phases=asked.phases,
            findings=tuple(_gravest_first(checked.findings)),
            organisation=self._view(checked),
            counts=_counts(checked.findings),
        )

    def _for_execution(self, asked: BackfillInput, execution: Execution) -> PreflightAnswer:
        checked = _Checked()
        database = self._database(checked)
        if database is not None:
            # Before the checks that take time and calls: a second start is no trouble at all.
            running = self._holder(database, checked, but_not=execution.name)
            if running is not None:
                return _already_running(asked, execution, running)
            faults = _impossible_values(database, asked)
            if faults:
                return _refused("InvalidInput", " ".join(faults))
            self._check_database(database, asked, checked)
        self._check_the_rest(database, asked, checked)
        against = [one for one in checked.findings if _stops(one, asked.mode)]
        if against or database is None or checked.organisation is None:
            return _refused("PreflightRefused", _why(against), _counts(checked.findings))
        return self._begin(database, asked, execution, checked, checked.organisation)

    # ------------------------------------------------------------------------------------- lock

    def _holder(
        self, database: PreflightDatabase, checked: _Checked, *, but_not: str | None = None
    ) -> str | None:
        """Give another execution that holds the lock and runs; `begin` alone is certain of it."""
        if not checked.may_use(FOR_THE_LOCK):
            return None
        run = database.runs.latest()
        if run is None or run.ended_at is not None or run.run_id == but_not:
            return None
        try:
            is_running = self._executions.is_running(run.execution_arn)
        except Misconfigured as failure:
            checked.add(
                _blocking(
                    failure.code,
                    f"Run {run.run_id} holds the lock. {failure.sentence}",
                    "Allow states:DescribeExecution on the executions of the backfill.",
                )
            )
            return None
        return run.execution_arn if is_running else None

    def _begin(
        self,
        database: PreflightDatabase,
        asked: BackfillInput,
        execution: Execution,
        checked: _Checked,
        organisation: Organisation,
    ) -> PreflightAnswer:
        runs = database.runs
        for _ in range(LOCK_ATTEMPTS):
            run = runs.begin(execution.name, execution.arn, asked)
            if run.run_id == execution.name:
                break
            if self._executions.is_running(run.execution_arn):
                return _already_running(asked, execution, run.execution_arn)
            runs.take_over(run.run_id)
        else:
            # Others took it again and again in between: one of them has it.
            return _already_running(asked, execution, run.execution_arn)
        if run.ended_at is not None:
            return _refused("RunHasEnded", "This run was ended by another: start a new execution.")
        database.organisations.learn(
            organisation.name, organisation.currency_code, organisation.time_zone
        )
        runs.put_findings(run.run_id, "preflight", _one_for_each_code(checked.findings))
        return PreflightAnswer(
            next="go",
            run_id=run.run_id,
            mode=run.mode,
            phases=run.phases,
            counts=_counts(checked.findings),
        )

    # --------------------------------------------------------------------------------- database

    def _database(self, checked: _Checked) -> PreflightDatabase | None:
        """Give the database, if it can be reached, having looked which of our tables are usable."""
        try:
            database = self._open_database()
        except Misconfigured as failure:
            checked.add(_secret_finding("DatabaseSecret", failure))
            return None
        reached = database.check.reach()
        checked.add(*reached)
        if any(finding.severity is Severity.BLOCKING for finding in reached):
            return None
        tables = database.check.own_tables()
        checked.add(*tables.findings)
        checked.unusable = tables.unusable
        return database

    def _check_database(
        self, database: PreflightDatabase, asked: BackfillInput, checked: _Checked
    ) -> None:
        if checked.may_use(frozenset({"zoho_sync_logs"})):
            checked.add(*database.check.sync_log())
        report = database.check.source(asked.phases)
        checked.add(*report.findings)
        checked.rows = dict(report.rows)
        checked.add(*database.check.status_columns(asked.phases))

    def _check_the_rest(
        self, database: PreflightDatabase | None, asked: BackfillInput, checked: _Checked
    ) -> None:
        checked.add(*self._check_configuration(asked.mode))
        self._check_zoho(database, checked)
        checked.add(*self._check_files())
        if database is not None and checked.may_use(FOR_CONFIRMATIONS):
            checked.add(*_unconfirmed(database.organisations.confirmed()))
        if checked.customers is None and database is not None and checked.may_use(FOR_COUNTS):
            latest = database.snapshots.latest(EntityType.CUSTOMER, complete=True)
            checked.customers = database.snapshots.count(latest.snapshot_id) if latest else None

    # ---------------------------------------------------------------------------- configuration

    def _check_configuration(self, mode: Mode) -> Iterator[Finding]:
        if not self._organisation_id:
            yield _blocking(
                "organisation_id_missing",
                "No organisation is configured.",
                "Set OrganisationId to the id of your organisation in Zoho Billing.",
            )
        if not self._writes:
            yield Finding(
                code="writes_are_off",
                severity=Severity.BLOCKING if mode is Mode.APPLY else Severity.NOTE,
                sentence="ZohoWrites is off: nothing is written to Zoho.",
                what_to_do="Deploy with ZohoWrites=on when the plan is what you want.",
            )
        if self._is_real_zoho and self._timing.scale != 1:
            yield _blocking(
                "time_scale_with_real_zoho",
                "TimeScale is not 1, and the host is Zoho's own: every limit would be breached.",
                "Set TimeScale to 1.",
            )
        unseen = self._timing.http_deadline_seconds + self._timing.proof_delay_unscaled_seconds
        if self._is_real_zoho and unseen < PROOF_SECONDS:
            yield Finding(
                code="proof_too_early",
                severity=Severity.WARNING,
                sentence=f"HttpDeadlineSeconds and ProofDelaySeconds are {unseen:g} s together;"
                f" under {PROOF_SECONDS:g} s a late commit at Zoho may be taken for none.",
                what_to_do="Set ProofDelaySeconds to 300.",
            )

    def _check_files(self) -> Iterator[Finding]:
        try:
            self._open_files().probe()
        except Misconfigured as failure:
            yield _blocking(
                "runs_bucket_not_writable",
                f"Plans and reports cannot be stored. {failure.sentence}",
                "See RUNS_BUCKET, and the function's right to s3:PutObject under runs/.",
            )

    # ------------------------------------------------------------------------------------- Zoho

    def _check_zoho(self, database: PreflightDatabase | None, checked: _Checked) -> None:
        try:
            self._read_credentials()
        except Misconfigured as failure:
            checked.add(_secret_finding("ZohoCredentialsSecret", failure))
            return
        if database is None or not checked.may_use(FOR_ZOHO):
            checked.add(
                _blocking(
                    "zoho_not_checked",
                    "Zoho was not asked: token and permits are kept in our tables, which cannot be"
                    " used.",
                    "Mend the database, then run `billing-sync preflight` again.",
                )
            )
            return
        try:
            zoho = self._open_zoho()
            token = zoho.tokens.current()
        except NotNow as failure:
            checked.add(_not_now(failure))
            return
        except Misconfigured as failure:
            checked.add(_token_finding(failure))
            return
        expected = self._expected_api_url
        if expected is not None and not _same_host(token.api_domain, expected):
            checked.add(
                _blocking(
                    "wrong_data_centre",
                    "Zoho keeps this account in another data centre: its API is at"
                    f" {urlsplit(token.api_domain).hostname}.",
                    "Set ZohoDataCentre to the end of that host's name.",
                )
            )
        checked.add(*self._check_organisation(zoho, checked))
        checked.add(*self._check_customers(zoho, checked))
        checked.add(*_check_quota(zoho.quota, checked))

    def _check_organisation(self, zoho: PreflightZoho, checked: _Checked) -> Iterator[Finding]:
        try:
            visible = self._patiently(zoho.api.organisations)
        except CallFailed as failure:
            yield _call_finding(failure, "the organisations", "ZohoSubscriptions.settings.READ")
            return
        mine = [one for one in visible if one.organisation_id == self._organisation_id]
        if not mine:
            ids = ", ".join(one.organisation_id for one in visible[:10]) or "none"
            yield _blocking(
                "organisation_not_found",
                f"The token does not see the organisation {self._organisation_id}; it sees {ids}.",
                "Set OrganisationId to the right one, or let a user of that organisation make the"
                " refresh token.",
            )
            return
        organisation = checked.organisation = mine[0]
        yield from _judge_organisation(organisation)

    def _check_customers(self, zoho: PreflightZoho, checked: _Checked) -> Iterator[Finding]:
        """Read a page of customers: what the phase, the snapshot and verify all need."""
        try:
            page: CustomerPage = self._patiently(lambda: zoho.api.list_customers(1))
        except CallFailed as failure:
            yield _call_finding(failure, "the customers", "ZohoSubscriptions.customers.READ")
            return
        if not page.has_more:
            checked.customers = len(page.rows)
        yield Finding(
            code="seen_only_by_writing",
            severity=Severity.NOTE,
            sentence="Zoho does not tell whether the token may create and update customers, nor"
            " whether customers have the custom field «Account Number»: the first record that is"
            " written, which goes alone, will show it.",
            what_to_do="See that the refresh token was made with customers.CREATE and .UPDATE, and"
            " that the field exists: Settings, Preferences, Customers, Custom Fields.",
        )

    def _patiently[Answer](self, read: Callable[[], Answer]) -> Answer:
        """Read, waiting in short sleeps for a permit that is nearly there."""
        until = self._clock.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return read()
            except NotNow as refused:
                left = until - self._clock.monotonic()
                if refused.resume_at is not None or refused.wait_seconds > left or left <= 0:
                    raise
                pause = min(max(refused.wait_seconds, 0.02), self._timing.longest_sleep_seconds)
                self._clock.sleep(pause)

    def _view(self, checked: _Checked) -> OrganisationView | None:
        found = checked.organisation
        if found is None:
            return None
        return OrganisationView(
            id=found.organisation_id,
            name=found.name,
            currency=found.currency_code,
            time_zone=found.time_zone,
            customers=checked.customers,
        )


# ---------------------------------------------------------------------------------------- input


def _faults(error: ValidationError) -> list[str]:
    """Say in plain words what is wrong with each field, and never what somebody typed into it."""
    said: list[str] = []
    named: set[tuple[int | str, ...]] = set()
    for fault in error.errors(include_url=False, include_input=False)[:SHOWN_FAULTS]:
        place = fault["loc"]
        if any(deeper[: len(place)] == place for deeper in named):
            continue  # a list whose only item is wrong is called empty as well
        named.add(place)
        where = ".".join(str(part) for part in place)[:LONGEST_FIELD]
        kind, context = fault["type"], fault.get("ctx", {})
        if not where:
            said.append("The input must be a JSON object with phases, mode and only.")
        elif kind == "extra_forbidden":
            said.append(f"{where}: there is no such field.")
        elif kind in ("enum", "literal_error"):
            said.append(f"{where}: must be one of {context['expected']}.")
        elif kind.startswith(("datetime", "timezone")):
            said.append(f"{where}: must be a time with its zone, such as 2025-01-01T00:00:00Z.")
        elif kind == "too_short":
            said.append(f"{where}: must not be empty.")
        else:
            said.append(f"{where}: {fault['msg']}.")
    return said


def _unwritable(asked: BackfillInput) -> list[str]:
    """Name texts that neither a database nor JSON can hold; pydantic lets half characters pass."""
    texts = [("only.ids", asked.only.ids), ("only.accounts", asked.only.accounts)]
    return [
        f"{name}.{position}: holds a character that no text may hold."
        for name, given in texts
        for position, value in enumerate(given)
        if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value)
    ]


def _impossible_times(asked: BackfillInput) -> list[str]:
    since, until = asked.only.since, asked.only.until
    if since is not None and until is not None and since >= until:
        return ["only.until: must be later than only.since."]
    return []


def _impossible_values(database: PreflightDatabase, asked: BackfillInput) -> list[str]:
    field = database.check.impossible(asked.only)
    return [] if field is None else [f"{field}: no customer can have such a value."]


# ------------------------------------------------------------------------------------- findings


def _blocking(code: str, sentence: str, what_to_do: str) -> Finding:
    return Finding(code=code, severity=Severity.BLOCKING, sentence=sentence, what_to_do=what_to_do)


def _secret_finding(name: str, failure: Misconfigured) -> Finding:
    return _blocking(
        failure.code,
        f"{name}: {failure.sentence}",
        f"Fill in {name} as the README says, and let the function read it.",
    )


def _not_now(failure: NotNow) -> Finding:
    if failure.resume_at is not None:
        when = f"It may be asked again at {_utc(failure.resume_at)}."
    else:
        when = f"It may be asked again in {failure.wait_seconds:.0f} s."
    if isinstance(failure, TokenRefused):
        return _blocking(
            "token_refused",
            f"There is no access token. {failure.sentence} {when}",
            "Start again then. To ask sooner would make Zoho's cool-down longer.",
        )
    return _blocking("zoho_not_now", f"{failure.sentence} {when}", "Start again then.")


MAKE_A_NEW_ONE: Final = "Make a new refresh token and put it into ZohoCredentialsSecret."
TOKEN_FAULTS: Final = {
    "invalid_code": ("dead_refresh_token", "the refresh token", MAKE_A_NEW_ONE),
    "invalid_grant": ("dead_refresh_token", "the refresh token", MAKE_A_NEW_ONE),
    "invalid_client": (
        "wrong_client_id",
        "the client id, at least not in this data centre",
        "Compare client_id in ZohoCredentialsSecret with api-console.zoho.com, and ZohoDataCentre.",
    ),
    "invalid_client_secret": (
        "wrong_client_secret",
        "the client secret",
        "Copy it from api-console.zoho.com: each data centre has its own.",
    ),
    "unauthorized_client": (
        "client_not_authorised",
        "this kind of client",
        "Make a server-based or self client at api-console.zoho.com.",
    ),
}
"""By the word of Zoho's OAuth server: our code, what it does not accept, and what mends it."""


def _token_finding(failure: Misconfigured) -> Finding:
    if failure.code not in TOKEN_FAULTS:
        return _blocking(
            failure.code, failure.sentence, "See ZohoCredentialsSecret and ZohoTokenSecret."
        )
    code, what, what_to_do = TOKEN_FAULTS[failure.code]
    return _blocking(code, f"Zoho does not accept {what} ({failure.code}).", what_to_do)


def _call_finding(failure: CallFailed, what: str, scope: str) -> Finding:
    """Say what a read that failed means for the run."""
    if isinstance(failure, NotNow):
        return _not_now(failure)
    code = failure.code if isinstance(failure, Misconfigured) else "zoho_unreadable"
    todo = {
        "missing_scope": f"Make a new refresh token with the scope {scope}.",
        "wrong_data_centre": "Set ZohoDataCentre to where the account is; ZohoApiUrl stays empty.",
        "wrong_api_url": "Leave ZohoApiUrl empty, and see whether ZohoDataCentre is right.",
        "no_organisation": "Let a user of the organisation make the refresh token.",
    }.get(code, "See Zoho's status page, then run `billing-sync preflight` again.")
    if code == "missing_scope":
        sentence = f"The token may not read {what}: the scope {scope} is missing."
    else:
        sentence = f"Reading {what} failed. {failure.sentence}"
    return _blocking(code, sentence, todo)


def _judge_organisation(organisation: Organisation) -> Iterator[Finding]:
    if not organisation.is_active:
        yield _blocking(
            "organisation_inactive",
            "The organisation is not active in Zoho.",
            "Activate it, or set OrganisationId to another.",
        )
    if not organisation.currency_code:
        yield _blocking(
            "organisation_without_currency",
            "Zoho names no currency of the organisation.",
            "Finish the organisation's setup in Zoho.",
        )
    try:
        ZoneInfo(organisation.time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        yield _blocking(
            "time_zone_unknown",
            "The organisation's time zone is none that we know: no date could be told.",
            "Set it in Zoho: Settings, Organization Profile.",
        )
    if organisation.price_precision != 2:
        yield Finding(
            code="price_precision",
            severity=Severity.WARNING,
            sentence=f"Zoho keeps amounts with {organisation.price_precision} decimals, not 2.",
            what_to_do="See that this is meant: amounts are compared as they stand.",
        )


def _check_quota(quota: Quota, checked: _Checked) -> Iterator[Finding]:
    view = quota.view()
    if view.paused_until is not None:
        yield Finding(
            code="day_is_used_up",
            severity=Severity.WARNING,
            sentence="Zoho's calls of the day are used up; it is asked again at"
            f" {_utc(view.paused_until)}.",
            what_to_do="The run waits by itself.",
        )
    if view.blocked_until is not None:
        yield Finding(
            code="blocked_by_zoho",
            severity=Severity.WARNING,
            sentence=f"Zoho blocks the organisation's calls until {_utc(view.blocked_until)}.",
            what_to_do="The run waits by itself. See which other application calls so much.",
        )
    left = max(view.day_cap - view.taken_today, 0)
    sentence = f"{left} of the day's {view.day_cap} calls are left."
    rows = checked.rows.get("customers")
    if rows is not None:
        # One write each, and the pages of Zoho's list: twice, for the snapshot and for verify.
        pages = -(-max(rows, checked.customers or 0) // ROWS_PER_PAGE)
        sentence += f" Customers who are all new take about {rows + 2 * pages}."
    yield Finding(
        code="day_quota",
        severity=Severity.NOTE,
        sentence=sentence,
        what_to_do="Nothing: the run waits when they are used up. The plan says how long.",
    )


@dataclass(frozen=True, slots=True)
class _Question:
    """What Zoho's API does not tell; any one of the items answers it."""

    code: str
    items: tuple[str, ...]
    sentence: str
    where: str


QUESTIONS: Final = (
    _Question(
        "confirm_notifications",
        ("notifications_off",),
        "Nobody has confirmed that Zoho mails no customer by itself.",
        "In Zoho Billing, under Settings, Reminders & Notifications: switch off every reminder and"
        " every e-mail notification that goes to customers",
    ),
    _Question(
        "confirm_excess_payments",
        ("excess_payments_off",),
        "Nobody has confirmed that Zoho applies no excess payments by itself.",
        "In Zoho Billing, under Settings, Preferences, Invoices: untick «Apply excess payments to"
        " offline Subscriptions»",
    ),
    _Question(
        "confirm_prices",
        ("prices_inclusive", "prices_exclusive"),
        "Nobody has confirmed whether the prices of plans include tax in Zoho.",
        "In Zoho Billing, under Settings, Preferences, General: see whether items are sold at rates"
        " inclusive of tax",
    ),
    _Question(
        "confirm_display_names",
        ("display_names_unique", "display_names_may_repeat"),
        "Nobody has confirmed whether Zoho refuses a second customer of the same display name.",
        "In Zoho Billing, under Settings, Preferences, Customers: see «Allow duplicates for"
        " customer display name», which is best unticked",
    ),
)
"""Where to look is said in zoho.com/billing/kb: invoice reminders, excess payments, customers."""


def _unconfirmed(confirmed: Iterable[str]) -> Iterator[Finding]:
    """Give what nobody has looked up yet.

    Unlooked at, Zoho may mail customers or add tax twice, and no call of ours would find it out.
    """
    known = set(confirmed)
    for question in QUESTIONS:
        if known.isdisjoint(question.items):
            command = "` or `".join(f"billing-sync confirm {item}" for item in question.items)
            yield Finding(
                code=question.code,
                severity=Severity.CONFIRM,
                sentence=question.sentence,
                what_to_do=f"{question.where}; then `{command}`.",
            )


# --------------------------------------------------------------------------------------- answer


def _stops(finding: Finding, mode: Mode) -> bool:
    """Say whether a run of this mode may not begin: a plan writes nothing, so it needs no word."""
    if finding.severity is Severity.CONFIRM:
        return mode is Mode.APPLY
    return finding.severity is Severity.BLOCKING


def _gravest_first(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: GRAVITY.index(finding.severity))


def _one_for_each_code(findings: Sequence[Finding]) -> list[Finding]:
    """Join findings of one code, as a run keeps them: one row for each."""
    joined: dict[str, Finding] = {}
    for finding in _gravest_first(findings):
        first = joined.get(finding.code)
        joined[finding.code] = (
            finding
            if first is None
            else first.model_copy(
                update={
                    "sentence": f"{first.sentence} {finding.sentence}",
                    "count": first.count + finding.count,
                    "records": (first.records + finding.records)[:RECORDS_IN_A_FINDING],
                }
            )
        )
    return list(joined.values())


def _why(against: Sequence[Finding]) -> str:
    first, *others = _gravest_first(against)
    more = f" (and {len(others)} more; see billing-sync preflight)" if others else ""
    return f"{first.sentence}{more}"


def _counts(findings: Sequence[Finding]) -> dict[str, int]:
    return dict(Counter(finding.severity.value for finding in _gravest_first(findings)))


def _refused(error: str, why: str, counts: dict[str, int] | None = None) -> PreflightAnswer:
    return PreflightAnswer(next="refused", error=error, why=why, counts=counts or {})


def _already_running(asked: BackfillInput, execution: Execution, running: str) -> PreflightAnswer:
    return PreflightAnswer(
        next="already_running",
        run_id=execution.name,
        mode=asked.mode,
        phases=asked.phases,
        running=running,
        why="Another run is under way.",
    )


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _same_host(one: str, other: str) -> bool:
    return urlsplit(one).hostname == urlsplit(other).hostname
