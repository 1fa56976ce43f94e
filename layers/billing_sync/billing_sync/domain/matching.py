"""Who among Zoho's records is ours: the verdict, and the one by key."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


class MatchKind(StrEnum):
    """What a look among Zoho's customers found for one of ours."""

    NONE = "none"
    SAME = "same"
    SEVERAL = "several"
    PLAUSIBLE = "plausible"
    TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class Match:
    """The verdict, with the Zoho ids that it speaks of and, in words, why."""

    kind: MatchKind
    zoho_ids: tuple[str, ...] = ()
    why: str = ""


def match_by_key(
    bearing: Iterable[str], holders: Mapping[str, str], record_id: str, key_name: str
) -> Match:
    """Judge those that bear our key: none, the one, one that is held, or several.

    `bearing` are Zoho's ids, each compared for equality by the caller: filters lie (design §2).
    `holders` says which of our records holds a Zoho id, by that id.
    """
    ids = tuple(sorted(set(bearing)))
    if not ids:
        return Match(MatchKind.NONE)
    if len(ids) > 1:
        return Match(MatchKind.SEVERAL, ids, f"{len(ids)} in Zoho bear this {key_name}")
    holder = holders.get(ids[0])
    if holder is not None and holder != record_id:
        return Match(MatchKind.TAKEN, ids, f"linked to {holder}")
    return Match(MatchKind.SAME, ids, f"same {key_name}")
