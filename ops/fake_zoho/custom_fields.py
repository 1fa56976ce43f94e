"""Custom fields: made in Zoho's own screens, written by label, shown with all their names."""

from collections.abc import Mapping, Sequence
from typing import Any

from ops.fake_zoho.body import CustomFieldEntry
from ops.fake_zoho.config import CustomField
from ops.fake_zoho.replies import JsonObject, unknown_custom_field


def read_values(
    entries: Sequence[CustomFieldEntry], known: Sequence[CustomField]
) -> dict[str, Any]:
    """Read what was sent, by field id; one unknown label refuses the whole call."""
    return {_named(entry, known).customfield_id: entry.value for entry in entries}


def shown(values: Mapping[str, Any], known: Sequence[CustomField]) -> list[JsonObject]:
    return [
        {
            "customfield_id": field.customfield_id,
            "api_name": field.api_name,
            "index": field.index,
            "label": field.label,
            "data_type": field.data_type,
            "value": values[field.customfield_id],
            "value_formatted": str(values[field.customfield_id]),
        }
        for field in known
        if values.get(field.customfield_id, "") != ""
    ]


def _named(entry: CustomFieldEntry, known: Sequence[CustomField]) -> CustomField:
    for field in known:
        names = (
            (entry.label, field.label),
            (entry.customfield_id, field.customfield_id),
            (entry.api_name, field.api_name),
            (entry.index, field.index),
        )
        given = [(sent, name) for sent, name in names if sent is not None]
        if given and all(sent == name for sent, name in given):
            return field
    raise unknown_custom_field()
