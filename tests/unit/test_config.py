"""Settings of the environment: read into the domain's words, or refused by the variable's name."""

import json
from datetime import date
from decimal import Decimal

import pytest

from billing_sync.config import SyncSettings
from billing_sync.domain.catalogue import ProductNames
from billing_sync.domain.errors import Misconfigured
from billing_sync.domain.invoices import Linking
from billing_sync.domain.ownership import Ownership, RecurringInvoicesOwner
from billing_sync.domain.payments import PaymentMode, PaymentWay
from billing_sync.domain.tax import Prices, Rounding, TaxKind, TaxSetting


def test_without_a_word_it_is_south_africa_and_zoho_raises_what_recurs() -> None:
    settings = SyncSettings.from_environment({})

    assert settings.ownership == Ownership()
    assert settings.prices is Prices.INCLUSIVE
    assert settings.rounding is Rounding.LINE
    assert [str(tax) for tax in settings.tax_settings] == [
        "«Standard Rate» at 15 %",
        "«Zero Rate» at 0 %",
        "«Exempt» at 0 %",
    ]
    assert settings.product_names == ProductNames("")
    assert settings.linking == Linking(3, 10, 3)
    way = settings.payment_ways.find("netcash", "EFT")
    assert way == PaymentWay("*", "eft", PaymentMode.BANK_TRANSFER)
    assert settings.payment_ways.find("netcash", "wallet") is None


def test_every_setting_arrives_in_the_words_of_the_domain() -> None:
    settings = SyncSettings.from_environment(
        {
            "RECURRING_INVOICES_OWNER": "application",
            "RECURRING_INVOICE_TYPES": "Recurring, monthly ,",
            "INVOICES_FROM": "2026-03-01",
            "PAYMENTS_FROM": "2026-02-28",
            "PRICES_IN_ZOHO": "exclusive",
            "TAX_ROUNDING": "entity_level",
            "TAXES": json.dumps([{"kind": "standard", "name": "MwSt", "percentage": 8.1}]),
            "PAYMENT_WAYS": json.dumps(
                [{"provider": "netcash", "mode": "autotransaction", "account_id": "900"}]
            ),
            "PRODUCT_NAME_PREFIX": "ISP ",
            "LINK_DAYS_BEFORE": "1",
            "LINK_DAYS_AFTER": "5",
            "INVOICE_DUE_AFTER_DAYS": "7",
        }
    )

    assert settings.ownership == Ownership(
        RecurringInvoicesOwner.APPLICATION,
        frozenset({"recurring", "monthly"}),
        date(2026, 3, 1),
        date(2026, 2, 28),
    )
    assert settings.prices is Prices.EXCLUSIVE
    assert settings.rounding is Rounding.DOCUMENT
    # 8.1 never was a binary float on its way here.
    assert settings.tax_settings == (TaxSetting(TaxKind.STANDARD, "MwSt", Decimal("8.1")),)
    assert settings.payment_ways.ways == (
        PaymentWay("netcash", "*", PaymentMode.AUTO_TRANSACTION, "900"),
    )
    assert settings.product_names.make(" fibre ") == "ISP fibre"
    assert settings.linking == Linking(1, 5, 7)


def test_an_empty_variable_is_an_absent_one_and_an_empty_list_is_meant() -> None:
    settings = SyncSettings.from_environment({"INVOICES_FROM": "", "TAXES": "", "PAYMENT_WAYS": ""})
    bare = SyncSettings.from_environment({"TAXES": "[]", "PAYMENT_WAYS": "[]"})

    assert settings == SyncSettings.from_environment({})
    assert bare.tax_settings == ()
    assert bare.payment_ways.ways == ()


WAY = {"method": "eft", "mode": "banktransfer"}
TAX = {"kind": "standard", "name": "VAT", "percentage": 15}


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("RECURRING_INVOICES_OWNER", "us", "RECURRING_INVOICES_OWNER: Input should be 'zoho' or"),
        ("RECURRING_INVOICE_TYPES", " , ", "RECURRING_INVOICE_TYPES: Value should have at least"),
        ("INVOICES_FROM", "20260101", "INVOICES_FROM: Value error, it must be a day such as"),
        ("INVOICES_FROM", "01/02/2026", "INVOICES_FROM: Value error, it must be a day such as"),
        ("PAYMENTS_FROM", "2026-02-30", "PAYMENTS_FROM: Value error, there is no such day"),
        ("PRICES_IN_ZOHO", "gross", "PRICES_IN_ZOHO: Input should be 'inclusive' or 'exclusive'"),
        ("TAX_ROUNDING", "line", "TAX_ROUNDING: Input should be 'item_level' or 'entity_level'"),
        ("TAXES", "{", "TAXES: Value error, it must be a JSON list, and it is no JSON"),
        ("TAXES", '{"kind": "zero"}', "TAXES: Value error, it must be a JSON list"),
        ("TAXES", [{**TAX, "kind": "reduced"}], "TAXES.0.KIND: Input should be 'standard',"),
        ("TAXES", [{**TAX, "rate": 15}], "TAXES.0.RATE: Extra inputs are not permitted"),
        ("TAXES", [{**TAX, "percentage": 0}], "TAXES.0: Value error, standard is above 0 %"),
        ("TAXES", [{**TAX, "kind": "zero"}], "TAXES.0: Value error, standard is above 0 %"),
        ("TAXES", [TAX, TAX], "TAXES: Value error, standard stands there more than once"),
        ("PAYMENT_WAYS", [{**WAY, "mode": "EFT"}], "PAYMENT_WAYS.0.MODE: Input should be 'check'"),
        ("PAYMENT_WAYS", [{**WAY, "account_id": "Bank"}], "PAYMENT_WAYS.0.ACCOUNT_ID: String"),
        (
            "PAYMENT_WAYS",
            [WAY, {**WAY, "method": " EFT "}],
            "PAYMENT_WAYS: Value error, * / eft stands there more than once",
        ),
        ("LINK_DAYS_BEFORE", "-1", "LINK_DAYS_BEFORE: Input should be greater than or equal to 0"),
        ("LINK_DAYS_AFTER", "28", "LINK_DAYS_AFTER: Input should be less than 28"),
        ("LINK_DAYS_AFTER", "25", "LINK_DAYS_BEFORE and LINK_DAYS_AFTER come to 28 days"),
        ("INVOICE_DUE_AFTER_DAYS", "soon", "INVOICE_DUE_AFTER_DAYS: Input should be a valid int"),
    ],
)
def test_what_is_wrong_is_named_by_its_variable(variable: str, value: object, said: str) -> None:
    written = value if isinstance(value, str) else json.dumps(value)

    with pytest.raises(Misconfigured) as refused:
        SyncSettings.from_environment({variable: written})

    assert refused.value.code == "settings"
    assert said in refused.value.sentence


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(Misconfigured) as refused:
        SyncSettings.from_environment({"TAXES": "15", "INVOICES_FROM": "soon"})

    assert "TAXES" in refused.value.sentence
    assert "INVOICES_FROM" in refused.value.sentence
