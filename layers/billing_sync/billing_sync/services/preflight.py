"""Check everything before a run writes anything, and take the run's lock.

    input ──► lock held? ──► database ──► secrets, Zoho ──► storage ──► confirmations
      │           │             └───────────── all findings at once ─────────┘
      ▼           ▼                                   │
    refused   already_running           refused ◄─────┴────► lock ──► go

Every check guards against the failures that it looks for and no others, so that none hides the
next; what nobody expected is an error of the function, and the state machine tries again.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from billing_sync.domain.errors import Misconfigured
from billing_sync.domain.findings import blocking, gravest_first, one_for_each_code
from billing_sync.domain.remote import Organisation, Tax
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
    RunCalls,
    RunFiles,
    RunLock,
    SnapshotCounts,
    SourceCheck,
    SourceReport,
)
from billing_sync.services.money_check import (
    ITEM_OF_PRICES,
    ITEM_OF_ROUNDING,
    MoneySettings,
    check_money,
    contradiction,
)
from billing_sync.services.zoho_check import PreflightZoho, ZohoCheck, token_finding

__all__ = ["MoneySettings", "Preflight", "PreflightDatabase", "PreflightZoho"]

PROOF_SECONDS: Final = 320.0
"""Deadline and proof delay together: the longest that a commit at Zoho may stay unseen."""

LOCK_ATTEMPTS: Final = 3
LONGEST_FIELD: Final = 60
SHOWN_FAULTS: Final = 5

FOR_ZOHO: Final = frozenset({"quota", "quota_hours", "permits", "token"})
FOR_THE_LOCK: Final = frozenset({"runs"})
FOR_FACTS: Final = frozenset({"organisations"})
FOR_CONFIRMATIONS: Final = frozenset({"confirmations"})
FOR_COUNTS: Final = frozenset({"snapshots", "snapshot_customers"})


@dataclass(frozen=True, slots=True)
class PreflightDatabase:
    """What preflight needs of the database; none of it connects before it is used."""

    check: SourceCheck
    runs: RunLock
    organisations: OrganisationFacts
    snapshots: SnapshotCounts


@dataclass(slots=True)
class _Checked:
    """What all checks found, and what was learnt by the way."""

    findings: list[Finding] = field(default_factory=list)
    unusable: frozenset[str] = frozenset()
    report: SourceReport | None = None
    organisation: Organisation | None = None
    customers: int | None = None
    taxes: list[Tax] | None = None

    @property
    def rows(self) -> Mapping[str, int]:
        return self.report.rows if self.report else {}

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
        money: MoneySettings,
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
        self._money = money
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
                blocking("invalid_input", fault, "See `billing-sync backfill --help`.")
                for fault in faults
            )
        )
        return PreflightAnswer(
            next="checked",
            running=running,
            mode=asked.mode,
            phases=asked.phases,
            findings=tuple(gravest_first(checked.findings)),
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
        before = (
            database.runs.spent() if database and checked.may_use(FOR_ZOHO | FOR_THE_LOCK) else None
        )
        self._check_the_rest(database, asked, checked)
        against = [one for one in checked.findings if _stops(one, asked.mode)]
        if against or database is None or checked.organisation is None:
            return _refused("PreflightRefused", _why(against), _counts(checked.findings))
        return self._begin(database, asked, execution, checked, checked.organisation, before)

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
                blocking(
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
        before: RunCalls | None,
    ) -> PreflightAnswer:
        runs = database.runs
        for _ in range(LOCK_ATTEMPTS):
            run = runs.begin(execution.name, execution.arn, asked, before=before)
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
            organisation.name,
            organisation.currency_code,
            organisation.time_zone,
            price_precision=organisation.price_precision,
            taxes=checked.taxes or (),
        )
        runs.put_findings(run.run_id, "preflight", one_for_each_code(checked.findings))
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
        report = checked.report = database.check.source(asked.phases)
        checked.add(*report.findings)
        checked.add(*database.check.status_columns(asked.phases))

    def _check_the_rest(
        self, database: PreflightDatabase | None, asked: BackfillInput, checked: _Checked
    ) -> None:
        checked.add(*self._check_configuration(asked.mode))
        self._check_zoho(database, asked, checked)
        checked.add(*check_money(self._money, checked.taxes, checked.report, asked.phases))
        checked.add(*self._check_files())
        if database is not None and checked.may_use(FOR_CONFIRMATIONS):
            checked.add(*_unconfirmed(self._money, database.organisations.confirmed()))
        if database is not None and self._is_real_zoho and checked.may_use(FOR_FACTS):
            checked.add(*_check_calendar(database.organisations))
        if checked.customers is None and database is not None and checked.may_use(FOR_COUNTS):
            latest = database.snapshots.latest(EntityType.CUSTOMER, complete=True)
            checked.customers = database.snapshots.count(latest.snapshot_id) if latest else None

    # ---------------------------------------------------------------------------- configuration

    def _check_configuration(self, mode: Mode) -> Iterator[Finding]:
        if not self._organisation_id:
            yield blocking(
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
            yield blocking(
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
            yield blocking(
                "runs_bucket_not_writable",
                f"Plans and reports cannot be stored. {failure.sentence}",
                "See RUNS_BUCKET, and the function's right to s3:PutObject under runs/.",
            )

    # ------------------------------------------------------------------------------------- Zoho

    def _check_zoho(
        self, database: PreflightDatabase | None, asked: BackfillInput, checked: _Checked
    ) -> None:
        try:
            self._read_credentials()
        except Misconfigured as failure:
            checked.add(_secret_finding("ZohoCredentialsSecret", failure))
            return
        if database is None or not checked.may_use(FOR_ZOHO):
            checked.add(
                blocking(
                    "zoho_not_checked",
                    "Zoho was not asked: token and permits are kept in our tables, which cannot be"
                    " used.",
                    "Mend the database, then run `billing-sync preflight` again.",
                )
            )
            return
        try:
            zoho = self._open_zoho()
        except Misconfigured as failure:
            checked.add(token_finding(failure))
            return
        check = ZohoCheck(
            zoho,
            self._clock,
            self._timing,
            organisation_id=self._organisation_id,
            expected_api_url=self._expected_api_url,
        )
        checked.add(*check(checked.rows, asked.phases))
        checked.organisation, checked.customers = check.organisation, check.customers
        checked.taxes = check.taxes

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
    field = database.check.impossible(asked.only, asked.phases)
    return [] if field is None else [f"{field}: no row can have such a value."]


# ------------------------------------------------------------------------------------- findings


def _secret_finding(name: str, failure: Misconfigured) -> Finding:
    return blocking(
        failure.code,
        f"{name}: {failure.sentence}",
        f"Fill in {name} as the README says, and let the function read it.",
    )


def _check_calendar(organisations: OrganisationFacts) -> Iterator[Finding]:
    """Refuse a day of our own making: dates of documents would be told by it."""
    day = organisations.calendar()
    if day is not None:
        yield blocking(
            "calendar_is_set",
            f"The organisation's day is set to {day}, and the host is Zoho's own.",
            "A test did that. Set organisations.today to NULL for this organisation.",
        )


# ------------------------------------------------------------------------------- confirmations


@dataclass(frozen=True, slots=True)
class _Question:
    """What Zoho's API does not tell; any one of the items answers it."""

    code: str
    items: tuple[str, ...]
    sentence: str
    where: str


def _questions(money: MoneySettings) -> tuple[_Question, ...]:
    """Give the questions; of prices and rounding the one answer that is configured will do.

    Where to look is said in zoho.com/billing/kb: invoice reminders, excess payments, customers.
    """
    return (
        _Question(
            "confirm_notifications",
            ("notifications_off",),
            "Nobody has confirmed that Zoho mails no customer by itself.",
            "In Zoho Billing, under Settings, Reminders & Notifications: switch off every reminder"
            " and every e-mail notification that goes to customers",
        ),
        _Question(
            "confirm_excess_payments",
            ("excess_payments_off",),
            "Nobody has confirmed that Zoho applies no excess payments by itself.",
            "In Zoho Billing, under Settings, Preferences, Invoices: untick «Apply excess payments"
            " to offline Subscriptions»",
        ),
        _Question(
            "confirm_prices",
            (ITEM_OF_PRICES[money.prices],),
            f"Nobody has confirmed that prices in Zoho are {money.prices} of tax, as PricesInZoho"
            " says.",
            "In Zoho Billing, under Settings, Preferences, General: see whether items are sold at"
            " rates inclusive of tax. If not so, deploy with the other PricesInZoho; if so",
        ),
        _Question(
            "confirm_tax_rounding",
            (ITEM_OF_ROUNDING[money.rounding],),
            f"Nobody has confirmed that Zoho rounds tax by {money.rounding}, as TaxRounding says.",
            "See in the settings of Zoho Billing whether tax is rounded for each line item or once"
            " for the whole document; an invoice of two odd amounts shows it, too. If not so,"
            " deploy with the other TaxRounding; if so",
        ),
        _Question(
            "confirm_display_names",
            ("display_names_unique", "display_names_may_repeat"),
            "Nobody has confirmed whether Zoho refuses a second customer of the same display name.",
            "In Zoho Billing, under Settings, Preferences, Customers: see «Allow duplicates for"
            " customer display name», which is best unticked",
        ),
    )


def _unconfirmed(
    money: MoneySettings, confirmed: Mapping[str, tuple[str, datetime]]
) -> Iterator[Finding]:
    """Give what nobody has looked up yet, and what was found to be otherwise than configured.

    Unlooked at, Zoho may mail customers or add tax twice, and no call of ours would find it out.
    """
    contradictions = {
        "confirm_prices": contradiction(
            "prices_contradict",
            "PricesInZoho",
            {item: prices.value for prices, item in ITEM_OF_PRICES.items()},
            money.prices.value,
            confirmed,
        ),
        "confirm_tax_rounding": contradiction(
            "tax_rounding_contradicts",
            "TaxRounding",
            {item: rounding.value for rounding, item in ITEM_OF_ROUNDING.items()},
            money.rounding.value,
            confirmed,
        ),
    }
    for question in _questions(money):
        against = contradictions.get(question.code)
        if against is not None:
            yield against
        elif set(confirmed).isdisjoint(question.items):
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


def _why(against: Sequence[Finding]) -> str:
    first, *others = gravest_first(against)
    more = f" (and {len(others)} more; see billing-sync preflight)" if others else ""
    return f"{first.sentence}{more}"


def _counts(findings: Sequence[Finding]) -> dict[str, int]:
    return dict(Counter(finding.severity.value for finding in gravest_first(findings)))


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
