"""Matches by key: who among Zoho's records bears ours, and may be taken."""

from collections.abc import Iterable, Mapping

from billing_sync.domain.customers import Match, MatchKind


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
