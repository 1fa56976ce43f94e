"""The dashboard's page, drawn with Jinja; the template lies beside it."""

from dataclasses import dataclass, fields
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from billing_sync.domain.states import STATES, Colour, State
from billing_sync.ports import DashboardData


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of a theme, each readable (4.5 : 1 at least) on that theme's ground."""

    text: str
    muted: str
    line: str
    panel: str
    green: str
    amber: str
    red: str
    grey: str
    none: str


LIGHT: Final = Palette(
    text="#16191f",
    muted="#545b64",
    line="#d5dbdb",
    panel="#f4f6f8",
    green="#1b7a12",
    amber="#8f5b00",
    red="#c22d1a",
    grey="#687078",
    none="#0b62b5",
)
DARK: Final = Palette(
    text="#e3e7eb",
    muted="#a7b1bc",
    line="#3b4754",
    panel="#1b242f",
    green="#6cc465",
    amber="#f0b455",
    red="#ff8a75",
    grey="#98a2ad",
    none="#6fb3f2",
)

_COLOURS: Final = {state: rule.colour for state, rule in STATES.items()}
NARROWEST: Final = 1.2
"""Percent of a bar."""

# What a narrow widget shows first; the rest is scrolled to.
_COLUMNS: Final = (Colour.RED, Colour.AMBER, Colour.NONE, Colour.GREEN, Colour.GREY)
_BAR: Final = (Colour.GREEN, Colour.NONE, Colour.AMBER, Colour.RED, Colour.GREY)


class JinjaPage:
    """The page (`DashboardPage`): HTML, CSS and SVG, as CloudWatch's custom widgets allow it.

    They strip scripts, and know neither `<iframe>` nor `<use>`. Media queries ask for the window
    there, not for the widget: what is narrow wraps.
    """

    def __init__(self, operate_function_arn: str) -> None:
        """Read the template once. The buttons call the function of that ARN."""
        self._operate = operate_function_arn
        environment = Environment(
            loader=PackageLoader("billing_sync.adapters.html", "."),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._template = environment.get_template("dashboard.html")

    def __call__(self, data: DashboardData, *, is_dark: bool) -> str:
        """Draw it."""
        palette = DARK if is_dark else LIGHT
        return self._template.render(
            data=data,
            palette={each.name: getattr(palette, each.name) for each in fields(palette)},
            states=_columns(data),
            any_accepted=any(row.accepted for row in data.rows),
            colours=_COLOURS,
            bar=_bar(data),
            operate=self._operate,
            execution=execution_link(data.backfill.execution_arn) if data.backfill else None,
        )


def _columns(data: DashboardData) -> list[State]:
    """Give the states in which there are records, the red ones first."""
    present = [state for state in State if any(row.counts.get(state) for row in data.rows)]
    return sorted(present, key=lambda state: _COLUMNS.index(_COLOURS[state]))


def _bar(data: DashboardData) -> dict[str, list[tuple[str, float, float]]]:
    """Give for each entity its parts: colour, where it begins, how wide it is, in percent.

    One red record in ten thousand is to be seen: no part is narrower than `NARROWEST`. Accepted
    records are grey: nobody needs to look at them.
    """
    bars = {}
    for row in data.rows:
        sizes = dict.fromkeys(_BAR, 0)
        for state, count in row.counts.items():
            sizes[_COLOURS[state]] += count
        sizes[Colour.GREY] += row.accepted
        widths = {
            colour: max(100 * size / row.total, NARROWEST) for colour, size in sizes.items() if size
        }
        scale = 100 / sum(widths.values()) if widths else 1.0
        parts, begins = [], 0.0
        for colour, width in widths.items():
            parts.append((colour.value, round(begins, 2), round(width * scale, 2)))
            begins += width * scale
        bars[row.entity.value] = parts
    return bars


def execution_link(arn: str) -> str | None:
    """Link to an execution in the console; None where there is no console, as on local AWS."""
    parts = arn.split(":")
    if len(parts) < 8 or parts[1] != "aws" or parts[2] != "states" or not parts[4].strip("0"):
        return None
    region = parts[3]
    if not region.replace("-", "").isalnum():
        return None
    return (
        f"https://{region}.console.aws.amazon.com/states/home?region={region}"
        f"#/v2/executions/details/{arn}"
    )
