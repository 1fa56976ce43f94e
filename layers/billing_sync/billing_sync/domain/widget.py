"""What CloudWatch tells a custom widget when it asks for its content."""

import re
from collections.abc import Mapping
from datetime import UTC, timedelta, timezone, tzinfo
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

_OFFSET: Final = re.compile(r"([+-])(0\d|1[0-4]):([0-5]\d)", re.ASCII)


class FromCloudWatch(BaseModel):
    """Part of the event. Its other fields (time range, forms, size) are of no use here."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, hide_input_in_errors=True, populate_by_name=True
    )


class ViewersZone(FromCloudWatch):
    """The time zone in which the viewer reads the dashboard."""

    offset: str = Field(default="+00:00", alias="offsetISO")


class WidgetContext(FromCloudWatch):
    """How the viewer looks at it."""

    theme: str = "light"
    zone: ViewersZone = Field(default=ViewersZone(), alias="timezone")


class WidgetEvent(FromCloudWatch):
    """Asked by a dashboard (https://docs.aws.amazon.com, *Details about custom widgets*).

    With `describe` it asks for help instead: markdown, shown to who edits the dashboard.
    """

    describe: bool = False
    context: WidgetContext = Field(default=WidgetContext(), alias="widgetContext")

    @property
    def is_dark(self) -> bool:
        """Whether the viewer's console is dark; any other word is light."""
        return self.context.theme == "dark"

    @property
    def zone(self) -> tzinfo:
        """The viewer's time zone; UTC where it is not told, or cannot be one."""
        found = _OFFSET.fullmatch(self.context.zone.offset)
        if found is None:
            return UTC
        sign = -1 if found[1] == "-" else 1
        return timezone(sign * timedelta(hours=int(found[2]), minutes=int(found[3])))


def as_asked(event: Mapping[str, Any]) -> dict[str, Any]:
    """Give what a button sends without the `widgetContext` that CloudWatch adds to every call."""
    return {name: value for name, value in event.items() if name != "widgetContext"}
