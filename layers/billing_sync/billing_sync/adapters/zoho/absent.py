"""Zoho for a function that has none: the plan asks the rules, and makes no call."""

from typing import NoReturn

from billing_sync.domain.errors import Misconfigured


class NoZoho:
    """Refuses every call (`BillingApi`), where a function was given no settings of Zoho's."""

    def __getattr__(self, name: str) -> NoReturn:
        """Refuse the first thing that is asked of it.

        :raises Misconfigured: always.
        """
        raise Misconfigured(f"This function may not call Zoho ({name}).", code="no_zoho_here")
