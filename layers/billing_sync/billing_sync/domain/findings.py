"""Findings as lists: made, ordered by gravity, and joined where one of each code is kept."""

from collections.abc import Sequence
from typing import Final

from billing_sync.domain.steps import Finding, Severity

GRAVITY: Final = (
    Severity.BLOCKING,
    Severity.RED,
    Severity.CONFIRM,
    Severity.WARNING,
    Severity.NOTE,
)
RECORDS_IN_A_FINDING: Final = 50


def blocking(code: str, sentence: str, what_to_do: str, *, count: int = 1) -> Finding:
    """Make a finding that stops a run before its first write."""
    return Finding(
        code=code,
        severity=Severity.BLOCKING,
        sentence=sentence,
        what_to_do=what_to_do,
        count=count,
    )


def gravest_first(findings: Sequence[Finding]) -> list[Finding]:
    """Order by gravity; those of one gravity stay as they came."""
    return sorted(findings, key=lambda finding: GRAVITY.index(finding.severity))


def one_for_each_code(findings: Sequence[Finding]) -> list[Finding]:
    """Join findings of one code, as a run keeps them: one row for each."""
    joined: dict[str, Finding] = {}
    for finding in gravest_first(findings):
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
