"""Lint the translated template: what `make template` runs."""

import json
import sys

from cfnlint.api import lint

from tests.template.translation import Json, translate


def faults(template: Json) -> list[str]:
    """Give cfn-lint's errors and warnings on a translated template, one line each."""
    found = lint(json.dumps(template, indent=1), regions=["eu-west-1", "us-east-1"])
    return [
        f"{match.rule.id} at {'/'.join(str(part) for part in match.path or [])}: {match.message}"
        for match in found
    ]


if __name__ == "__main__":
    lines = faults(translate())
    sys.stdout.write("\n".join(lines or ["template.yaml: nothing found"]) + "\n")
    sys.exit(1 if lines else 0)
