"""The dashboard: its verdict, its words, and a page into which nothing from outside breaks."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, timedelta, timezone
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_sync.adapters.html import DARK, LIGHT, NARROWEST, Palette, execution_link
from billing_sync.config import DashboardSettings
from billing_sync.domain.errors import Misconfigured
from billing_sync.domain.states import STATES, Colour, EntityType, State
from billing_sync.domain.steps import Mode, OperateEvent, Retry
from billing_sync.domain.widget import WidgetEvent
from billing_sync.ports import CauseGroup, DashboardTables, StateCount
from tests.fakes.dashboard import (
    IN_STEP,
    LEFT,
    NOW,
    OPERATE,
    ORGANISATION,
    PLAN,
    QUOTA,
    RUN,
    TABLES,
    TAKEN,
    TOKEN,
    dashboard,
)

HOSTILE = (
    """'"></b></cwdb-action><script>alert(1)</script><img src=x onerror="a()">{{ 7*7 }}&amp;"""
)

CONSOLE = (
    "https://af-south-1.console.aws.amazon.com/states/home?region=af-south-1"
    "#/v2/executions/details/"
)

ALLOWED: dict[str, set[str]] = {
    "style": set(),
    "div": {"class", "style"},
    "span": {"class", "style"},
    "b": set(),
    "code": set(),
    "h4": set(),
    "table": set(),
    "tr": set(),
    "th": {"style"},
    "td": {"class", "style"},
    "a": {"class", "href", "target", "rel"},
    "cwdb-action": {"action", "display", "confirmation", "endpoint"},
    "svg": {"class", "viewbox", "preserveaspectratio", "aria-hidden"},
    "rect": {"x", "width", "height", "fill"},
    "circle": {"cx", "cy", "r", "fill"},
}
"""All that the page is made of: no script, no iframe, no `use`, no handler of an event."""


class Page(HTMLParser):
    """What a browser makes of the page: elements with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.buttons: list[tuple[dict[str, str | None], str]] = []
        self._texts: list[str] = []
        self._inside: list[str] = []
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        return " ".join("".join(self._texts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside.append(tag)
        if tag == "cwdb-action":
            self.buttons.append((dict(attrs), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._inside.pop() == tag, "elements end in the order in which they began"

    def handle_data(self, data: str) -> None:
        if self._inside and self._inside[-1] == "cwdb-action":
            attributes, text = self.buttons[-1]
            self.buttons[-1] = (attributes, text + data)
        elif "style" not in self._inside:
            self._texts.append(data)

    @property
    def foreign(self) -> Iterator[str]:
        """Name what the page may not hold."""
        for tag, attributes in self.elements:
            if tag not in ALLOWED:
                yield tag
            yield from (f"{tag} {name}" for name in attributes if name not in ALLOWED.get(tag, {}))


def asked(**context: Any) -> WidgetEvent:
    return WidgetEvent.model_validate({"widgetContext": context})


def page(tables: DashboardTables = TABLES, **world: Any) -> Page:
    return Page(dashboard(tables, **world)(asked()))


def with_causes(*causes: CauseGroup) -> DashboardTables:
    return replace(TABLES, causes=causes)


def counting(**states: int) -> DashboardTables:
    counts = (StateCount(EntityType.INVOICE, State(name), False, n) for name, n in states.items())
    return replace(IN_STEP, states=tuple(counts))


# ------------------------------------------------------------------------------------- escaping


def test_the_page_is_html_css_and_svg_only() -> None:
    found = page(run=RUN)

    assert list(found.foreign) == []
    assert {tag for tag, _ in found.elements} == set(ALLOWED)
    assert "url(" not in dashboard(TABLES, run=RUN)(asked())


def test_hostile_words_in_every_field_stay_words() -> None:
    group = replace(TAKEN, code=HOSTILE, sentence=HOSTILE, ids=(HOSTILE,))
    organisation = replace(
        ORGANISATION,
        name=HOSTILE,
        currency=HOSTILE,
        paused_at=NOW,
        paused_by=HOSTILE,
        paused_reason=HOSTILE,
    )
    tables = replace(
        with_causes(group, replace(group, accepted=True, reason=HOSTILE)),
        organisation=organisation,
    )
    run = replace(
        RUN,
        run_id=HOSTILE,
        execution_arn=f"arn:aws:states:af-south-1:111111111111:execution:backfill:{HOSTILE}",
        step=f"sync_batch {HOSTILE}",
        waiting_reason=HOSTILE,
        ended_early=HOSTILE,
    )

    found = page(tables, run=run, plan={HOSTILE: {HOSTILE: 3}}, left={})

    assert list(found.foreign) == []
    as_words = " ".join(HOSTILE.split())
    # Name, pause (by and why, once each), money of the verdict and of both causes, code, sentence
    # and id of both, the reason, the step, the wait (twice), the phase, the remark, the run.
    assert found.text.count(as_words) >= 18
    [(attributes, sent)] = found.buttons
    assert json.loads(sent)["code"] == HOSTILE
    assert attributes["confirmation"] == f"Let 14 invoices ({HOSTILE}) be tried again?"
    assert HOSTILE not in dashboard(tables, run=run)(asked())


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=60))
def test_whatever_a_sentence_or_code_holds_comes_out_as_it_is(words: str) -> None:
    found = page(with_causes(replace(TAKEN, alike=True, code=words, sentence=f"It says {words}.")))

    assert list(found.foreign) == []
    assert " ".join(f"It says {words}.".split()) in found.text
    assert json.loads(found.buttons[0][1])["code"] == words


def test_a_theme_or_zone_from_outside_never_reaches_the_page() -> None:
    html = dashboard(TABLES)(asked(theme=HOSTILE, timezone={"offsetISO": HOSTILE}, title=HOSTILE))

    assert html == dashboard(TABLES)(asked())


def test_only_a_function_of_lambda_can_be_what_the_buttons_call() -> None:
    settings = DashboardSettings.from_environment({"OPERATE_FUNCTION_ARN": OPERATE})
    assert settings.operate_function_arn == OPERATE

    with pytest.raises(Misconfigured, match="OPERATE_FUNCTION_ARN"):
        DashboardSettings.from_environment({"OPERATE_FUNCTION_ARN": f'{OPERATE}" x="'})


# -------------------------------------------------------------------------------------- buttons


def test_each_cause_has_a_button_that_operate_understands() -> None:
    found = page()

    requests = [OperateEvent.model_validate_json(sent).root for _, sent in found.buttons]
    assert requests == [
        Retry(
            action="retry",
            by="dashboard",
            entity=group.entity,
            states=(group.state,),
            code=group.code,
        )
        for group in TABLES.causes
        if not group.accepted and group.state is not State.IN_DOUBT
    ]
    for attributes, _ in found.buttons:
        assert attributes["action"] == "call"
        assert attributes["display"] == "popup"
        assert attributes["endpoint"] == OPERATE
        assert attributes["confirmation"]


def test_an_action_follows_the_button_that_it_belongs_to() -> None:
    elements = page().elements
    places = [place for place, (tag, _) in enumerate(elements) if tag == "cwdb-action"]

    assert len(places) == 3
    for place in places:
        assert elements[place - 1] == ("a", {"class": "btn btn-primary"})


def test_records_without_a_code_are_retried_by_their_state() -> None:
    found = page(with_causes(replace(TAKEN, code=None, state=State.EXHAUSTED)))

    assert json.loads(found.buttons[0][1]) == {
        "action": "retry",
        "by": "dashboard",
        "entity": "invoice",
        "states": ["exhausted"],
    }


def test_what_is_in_doubt_or_accepted_has_no_button() -> None:
    in_doubt = replace(TAKEN, state=State.IN_DOUBT, code="outcome_unknown")

    assert page(with_causes(in_doubt, replace(TAKEN, accepted=True))).buttons == []


# -------------------------------------------------------------------------------------- verdict


PAUSED = replace(
    ORGANISATION,
    paused_at=NOW - timedelta(minutes=12),
    paused_by="thandi",
    paused_reason="month end",
)


@pytest.mark.parametrize(
    ("tables", "world", "colour", "headline"),
    [
        (IN_STEP, {}, Colour.GREEN, "All in step"),
        (replace(IN_STEP, states=()), {}, Colour.GREY, "No record has been looked at yet"),
        (
            replace(IN_STEP, causes=(replace(TAKEN, count=1, amount=Decimal(-5)),)),
            {},
            Colour.RED,
            "1 record is red, worth -R 5.00",
        ),
        (
            replace(IN_STEP, causes=(replace(TAKEN, amount=None),)),
            {},
            Colour.RED,
            "14 records are red",
        ),
        (
            replace(IN_STEP, organisation=PAUSED),
            {},
            Colour.AMBER,
            "Paused since 20:03 by thandi: month end",
        ),
        (
            IN_STEP,
            {"run": RUN},
            Colour.AMBER,
            "The backfill waits until Mon 23 Nov 06:02: the day's calls are used up",
        ),
        (
            IN_STEP,
            {"run": replace(RUN, waiting_until=None)},
            Colour.AMBER,
            "A backfill is under way: sending invoices",
        ),
        (
            IN_STEP,
            {"quota": replace(QUOTA, blocked_until=NOW + timedelta(seconds=90))},
            Colour.AMBER,
            "Zoho takes no calls until 20:16",
        ),
        (
            IN_STEP,
            {"quota": replace(QUOTA, paused_until=NOW + timedelta(hours=1))},
            Colour.AMBER,
            "Zoho takes no calls until 21:15",
        ),
        (
            IN_STEP,
            {"token": {**TOKEN, "cooldown_until": (NOW + timedelta(minutes=9)).isoformat()}},
            Colour.AMBER,
            "Zoho gives no access token until 20:24",
        ),
        (counting(synced=2, pending=1), {}, Colour.AMBER, "1 record is not in step yet"),
        (
            counting(retrying=2, waiting=1, blocked=1),
            {},
            Colour.AMBER,
            "4 records are not in step yet",
        ),
    ],
)
def test_the_verdict_is_one_line(
    tables: DashboardTables, world: dict[str, Any], colour: Colour, headline: str
) -> None:
    verdict = dashboard(tables, **world).data(UTC).verdict

    assert (verdict.colour, verdict.headline, verdict.also) == (colour, headline, ())
    assert headline in page(tables, **world).text


def test_a_pause_is_said_first_and_what_is_red_still_colours_it() -> None:
    verdict = dashboard(replace(TABLES, organisation=PAUSED), run=RUN).data(UTC).verdict

    assert verdict.colour is Colour.RED
    assert verdict.headline.startswith("Paused since")
    assert verdict.also == (
        "20 records are red, worth R 11,943.00",
        "The backfill waits until Mon 23 Nov 06:02: the day's calls are used up",
        "18,480 records are not in step yet",
    )


def test_before_go_live_the_page_says_that_triggers_only_record() -> None:
    verdict = (
        dashboard(replace(IN_STEP, organisation=replace(ORGANISATION, live_from=None)))
        .data(UTC)
        .verdict
    )

    assert verdict.headline == "All in step"
    assert verdict.also == ("Not live yet: triggers and sweep only record",)


def test_waits_that_are_over_are_no_waits() -> None:
    past = NOW - timedelta(seconds=1)
    token = {**TOKEN, "cooldown_until": past.isoformat()}
    quota = replace(QUOTA, blocked_until=past, paused_until=past)

    data = dashboard(run=replace(RUN, waiting_until=past), quota=quota, token=token).data(UTC)

    assert data.verdict.headline == "A backfill is under way: sending invoices"
    assert data.backfill is not None
    assert data.backfill.waits is None
    assert [fact.name for fact in data.quota] == ["This minute", "In 24 hours", "In flight"]
    assert [fact.name for fact in data.token] == ["Access token"]


def test_accepted_records_are_apart_and_not_red() -> None:
    accepted = replace(TAKEN, accepted=True, reason="Settled by hand.")
    tables = replace(
        IN_STEP,
        states=(*IN_STEP.states, StateCount(EntityType.INVOICE, State.FAILED, True, 14)),
        causes=(accepted,),
    )

    data = dashboard(tables).data(UTC)

    assert data.verdict.headline == "All in step"
    assert data.red == ()
    assert [cause.advice for cause in data.accepted] == ["Accepted: Settled by hand."]
    assert [(row.entity, row.total, dict(row.counts), row.accepted) for row in data.rows][-1] == (
        EntityType.INVOICE, 14, {}, 14,
    )  # fmt: skip


# ---------------------------------------------------------------------------------------- words


def test_a_cause_says_what_it_is_worth_why_and_what_to_do() -> None:
    text = page().text

    assert "14 invoices · R 9,646.00 failed · totals_differ" in text
    assert "For example: Its lines come to 688.99 and its total is 689.00." in text
    assert "Its lines do not come to its totals. Correct it in your own database" in text
    assert "40219, 40220 and 4 more" in text
    assert "1 subscription · R 899.00 a month in doubt · outcome_unknown" in text
    assert "billing-sync link customer ID ZOHO_ID" in text
    assert "`" not in text


def test_a_record_without_a_sentence_is_described_by_its_state() -> None:
    text = page(with_causes(replace(TAKEN, code=None, sentence="", alike=True))).text

    assert STATES[State.FAILED].meaning.capitalize() in text


def test_money_is_in_rand_or_named_by_its_currency() -> None:
    tables = replace(TABLES, organisation=replace(ORGANISATION, currency="NAD"))

    assert "worth R 11,943.00" in page().text
    assert "worth NAD 11,943.00" in page(tables).text
    assert "worth 11,943.00" in page(replace(TABLES, organisation=None)).text


def test_entities_and_states_are_laid_out_with_what_is_red_first() -> None:
    found = page()

    assert [row.entity for row in dashboard(TABLES).data(UTC).rows] == list(EntityType)
    header = "all in doubt ambiguous failed retrying waiting blocked pending synced skipped"
    assert "".join(header.split()) in found.text.replace(" ", "")


def test_one_red_record_among_thousands_is_seen_in_the_bar() -> None:
    found = page(counting(synced=99_999, failed=1))

    red = [attrs for tag, attrs in found.elements if tag == "rect" and attrs["fill"] == LIGHT.red]
    assert [float(attrs["width"] or 0) for attrs in red] == [pytest.approx(NARROWEST, abs=0.05)]


def test_the_backfill_shows_each_phase_and_what_it_waits_for() -> None:
    text = page(run=RUN).text

    assert "Since 06:15 sending invoices" in text
    assert "Waits until Mon 23 Nov 06:02: the day's calls are used up" in text
    assert "invoices 9,180 of 14,490" in text
    assert RUN.run_id in text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode": Mode.PLAN, "step": "plan"}, "It only plans: nothing is written to Zoho."),
        ({"stop_requested": True}, "It was asked to stop, and ends within the record in hand."),
        ({"ended_early": "a person stopped it"}, "It ended early: a person stopped it."),
        ({"step": "sync_batch due"}, "working off what has fallen due"),
        ({"step": "verify"}, "comparing both sides"),
        ({"ended_at": NOW, "colour": "amber"}, "At 20:15 ended amber"),
        ({"ended_at": NOW, "colour": None}, "At 20:15 ended without a report"),
    ],
)
def test_the_backfill_says_where_it_stands(changes: dict[str, Any], words: str) -> None:
    assert words in page(run=replace(RUN, **changes)).text


def test_a_plan_shows_no_progress() -> None:
    data = dashboard(run=replace(RUN, mode=Mode.PLAN), plan=PLAN, left=LEFT).data(UTC)

    assert data.backfill is not None
    assert data.backfill.phases == ()


def test_quota_and_token_say_how_they_stand() -> None:
    lowered = replace(QUOTA, limit_per_minute=45, blocked_until=NOW + timedelta(minutes=1))
    text = page(quota=lowered).text

    assert "This minute 12 of 45" in text
    assert "In 24 hours 4,998 of 5,000" in text
    assert "Lowered after a 429 45 a minute instead of 90" in text
    assert "Blocked by Zoho until 20:16" in text
    assert "Access token good until 20:56" in text


def test_a_stack_that_never_called_says_so() -> None:
    text = page(replace(IN_STEP, states=(), organisation=None), quota=None, token=None).text

    assert "No record has been looked at yet" in text
    assert "Calls none was ever made" in text
    assert "Access token none was asked for yet" in text
    assert "none has run yet" in text


def test_an_expired_token_is_no_fault() -> None:
    expired = {**TOKEN, "expires_at": (NOW - timedelta(minutes=1)).isoformat()}

    found = page(IN_STEP, token=expired)

    assert "expired; the next call asks for a new one" in found.text
    assert "All in step" in found.text


# --------------------------------------------------------------------------- what CloudWatch asks


def test_describe_answers_with_help_and_reads_nothing() -> None:
    never: Any = None

    answer = dashboard(never)(WidgetEvent.model_validate({"describe": True}))

    assert answer.startswith("### billing-sync")
    assert "takes no parameters" in answer
    assert "<" not in answer


def test_times_are_in_the_viewers_zone() -> None:
    html = dashboard(run=RUN)(asked(timezone={"offsetISO": "+02:00", "label": "Local"}))

    assert "waits until Mon 23 Nov 08:02" in Page(html).text
    assert "22:15 UTC+02:00" in Page(html).text


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ("+02:00", timedelta(hours=2)),
        ("-03:30", -timedelta(hours=3, minutes=30)),
        ("+14:00", timedelta(hours=14)),
        ("+00:00", timedelta(0)),
    ],
)
def test_an_offset_is_read_as_it_is_written(offset: str, expected: timedelta) -> None:
    assert asked(timezone={"offsetISO": offset}).zone == timezone(expected)


@pytest.mark.parametrize("offset", ["", "02:00", "+2:00", "+25:00", "+02:60", "Z", "+02:00\n"])
def test_an_offset_that_cannot_be_one_is_utc(offset: str) -> None:
    assert asked(timezone={"offsetISO": offset}).zone is UTC


def test_the_theme_is_the_consoles() -> None:
    light, dark = (dashboard(TABLES)(asked(theme=theme)) for theme in ("light", "dark"))

    assert LIGHT.red in light
    assert DARK.red not in light
    assert DARK.red in dark
    assert LIGHT.red not in dark


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize(("palette", "ground"), [(LIGHT, "#ffffff"), (DARK, "#0f1b2a")])
def test_every_colour_of_text_can_be_read_on_its_ground(palette: Palette, ground: str) -> None:
    for name in ("text", "muted", "green", "amber", "red", "grey", "none"):
        for behind in (ground, palette.panel):
            assert contrast(getattr(palette, name), behind) >= 4.5, (name, behind)


@pytest.mark.parametrize(
    ("arn", "link"),
    [
        (
            "arn:aws:states:af-south-1:111111111111:execution:backfill:a-run",
            f"{CONSOLE}arn:aws:states:af-south-1:111111111111:execution:backfill:a-run",
        ),
        ("arn:aws:states:us-east-1:000000000000:execution:backfill:a-run", None),
        ("arn:aws-cn:states:cn-north-1:111111111111:execution:backfill:a-run", None),
        ("arn:aws:states:evil.example/:111111111111:execution:backfill:a-run", None),
        ("none", None),
    ],
)
def test_a_run_links_to_its_execution_where_there_is_a_console(arn: str, link: str | None) -> None:
    assert execution_link(arn) == link
    html = dashboard(run=replace(RUN, execution_arn=arn))(asked())
    assert [attrs["href"] for tag, attrs in Page(html).elements if "href" in attrs] == (
        [link] if link else []
    )


def test_the_page_of_a_bad_day_fits_a_widget() -> None:
    """CloudWatch shows what Lambda may answer; the page stays far below, however much is red."""
    many = with_causes(*(replace(TAKEN, code=f"zoho_{n}") for n in range(200)))

    assert len(dashboard(many, run=RUN)(asked()).encode()) < 400_000
