"""The debtors' control total: differences are named even where they cancel out."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_sync.domain.debtors import Debtor, control_total, owed_on
from billing_sync.domain.ownership import Owner
from billing_sync.domain.source import Invoice

AMOUNTS = st.decimals(0, 10**4, places=2)
DEBTORS = st.lists(
    st.builds(
        Debtor,
        customer_id=st.uuids().map(str),
        owed_here=AMOUNTS,
        credit_here=AMOUNTS,
        owed_there=AMOUNTS,
        credit_there=AMOUNTS,
    ),
    max_size=8,
)


def test_differences_that_cancel_out_are_named_the_largest_first() -> None:
    total = control_total(
        [
            Debtor("1", owed_here=Decimal(100), owed_there=Decimal(100)),
            Debtor("2", owed_here=Decimal(100), owed_there=Decimal(90)),
            Debtor("3", owed_here=Decimal(80), owed_there=Decimal(90)),
            Debtor("4", credit_here=Decimal(50)),
        ]
    )

    assert total.difference == 0
    assert total.customers_that_differ == ("4", "2", "3")
    assert total.figures() == {
        "local": "280.00",
        "zoho": "280.00",
        "difference": "0.00",
        "local_credit": "50.00",
        "zoho_credit": "0.00",
        "customers_that_differ": 3,
    }


def test_credit_that_zoho_applied_by_itself_is_a_difference_with_equal_nets() -> None:
    debtor = Debtor("1", Decimal(459), Decimal(100), Decimal(359), Decimal(0))

    assert debtor.net_here == debtor.net_there
    assert debtor.differs


@given(DEBTORS)
def test_the_total_is_the_sum_and_no_difference_hides(debtors: list[Debtor]) -> None:
    total = control_total(debtors)

    assert total.difference == sum(each.owed_here - each.owed_there for each in debtors)
    assert set(total.customers_that_differ) == {
        each.customer_id for each in debtors if each.differs
    }


@pytest.mark.parametrize(
    ("columns", "owner", "owed"),
    [
        ({"status": "sent"}, Owner.ONE_OFF, "59.00"),
        ({"status": "overdue"}, Owner.ZOHO, "59.00"),
        ({"status": "sent", "amount_due": None}, Owner.HISTORY, "59.00"),
        ({"status": "sent"}, Owner.BEFORE_CUT_OVER, "0"),
        ({"status": "voided"}, Owner.ONE_OFF, "0"),
        ({"status": "cancelled"}, Owner.ONE_OFF, "0"),
        ({"status": "draft"}, Owner.DRAFT, "0"),
    ],
)
def test_only_what_is_in_zoho_and_stands_is_owed(
    columns: dict[str, Any], owner: Owner, owed: str
) -> None:
    row = {
        "id": 1,
        "updated_at": datetime(2025, 1, 1, tzinfo=UTC),
        "customer_id": 3,
        "total_amount": Decimal("459.00"),
        "amount_paid": Decimal("400.00"),
        "amount_due": Decimal("59.00"),
    }

    assert owed_on(Invoice.model_validate(row | columns), owner) == Decimal(owed)
