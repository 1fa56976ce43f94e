"""Customers' display names in Zoho: made from a template, and read back."""

import re
import string


class DisplayNames:
    """Display names made from a template, and read back.

    The account number in the name tells namesakes apart, stands in every list row (custom fields
    do not), and is unique at the server where Zoho is told to refuse duplicate names.
    """

    def __init__(self, template: str) -> None:
        """Take a template such as `{name} ({account_number})`.

        :raises ValueError: the account number is missing from it, or it names anything else.
        """
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field]
        if sorted(set(fields)) not in (["account_number"], ["account_number", "name"]):
            raise ValueError(
                "DisplayNameTemplate must contain {account_number}, and besides only {name}"
            )
        self._template = template
        pattern = re.escape(template)
        pattern = pattern.replace(re.escape("{name}"), "(?:.*)")
        pattern = pattern.replace(re.escape("{account_number}"), r"(?P<account_number>\S+?)", 1)
        pattern = pattern.replace(re.escape("{account_number}"), "(?P=account_number)")
        self._pattern = re.compile(pattern, re.DOTALL)

    def make(self, name: str, account_number: str) -> str:
        """Make the display name of a customer."""
        return self._template.format(name=name, account_number=account_number)

    def account_number_in(self, display_name: str) -> str | None:
        """Read what stands in the account number's place, None where the name is no such name.

        A stranger's «Smith (Durban)» reads as account «Durban»: the caller checks that the number
        is one of ours before it believes it.
        """
        found = self._pattern.fullmatch(display_name)
        return found["account_number"] if found else None
