"""Fill the application's tables with the demo's customers and packages, always the same ones."""

import csv
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import psycopg
from pydantic import BaseModel

DATA: Final = Path(__file__).with_name("data")
APPLICATION_SQL: Final = Path(__file__).with_name("application.sql")

_SEED: Final = 2025
_FIRST_CUSTOMER_AT: Final = datetime(2025, 1, 13, 7, 30, tzinfo=UTC)
_STREETS: Final = (
    "Protea",
    "Milkwood",
    "Harbour",
    "Station",
    "Vineyard",
    "Signal",
    "Disa",
    "Kloof",
)
_KINDS: Final = ("Street", "Road", "Avenue", "Close")
_PLACES: Final = (
    ("Bellville", "7530"),
    ("Durbanville", "7550"),
    ("Paarl", "7646"),
    ("Somerset West", "7130"),
    ("Stellenbosch", "7600"),
    ("Worcester", "6850"),
)


class Loaded(BaseModel):
    """How many rows were put where."""

    customers: int
    packages: int


def load(connection: psycopg.Connection) -> Loaded:
    """Insert the customers and packages of `ops/demo/data`, in one transaction.

    Phones, addresses and times of creation are made from a fixed seed, so that two runs can be
    compared. Who is in Zoho already is not the application's to know.
    """
    customers = list(_customers())
    packages = list(_packages())
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(_INSERT_CUSTOMER, customers)
        cursor.executemany(_INSERT_PACKAGE, packages)
    return Loaded(customers=len(customers), packages=len(packages))


def _customers() -> Iterator[dict[str, Any]]:
    # A fixed seed is the point, and nothing secret is made with it.
    chance = random.Random(_SEED)  # noqa: S311
    created_at = _FIRST_CUSTOMER_AT
    # Accounts were opened in the order of their numbers.
    for row in sorted(_rows("customers.csv"), key=lambda row: row["account_number"]):
        created_at += timedelta(days=chance.randint(3, 17), minutes=chance.randint(0, 400))
        city, code = chance.choice(_PLACES)
        number, street, kind = (
            chance.randint(1, 180),
            chance.choice(_STREETS),
            chance.choice(_KINDS),
        )
        phone = f"+2721555{chance.randint(0, 9999):04d}"
        tax_number = f"4{chance.randint(0, 999_999_999):09d}"
        yield {
            "account_number": row["account_number"],
            "account_type": row["account_type"],
            "first_name": row["first_name"],
            "last_name": row["last_name"],
            "company_name": row["business_name"] or None,
            "tax_number": tax_number if row["business_name"] else None,
            "email": row["email"] or None,
            "phone": phone,
            "street": f"{number} {street} {kind}",
            "city": city,
            "state": "Western Cape",
            "zip": code,
            "country": "South Africa",
            "currency": "ZAR",
            "created_at": created_at,
        }


def _packages() -> Iterator[dict[str, Any]]:
    for row in _rows("packages.csv"):
        yield {
            "sku": row["sku"],
            "name": row["name"],
            "service_type": row["service_type"],
            "speed_down_mbps": int(row["speed_down_mbps"]),
            "speed_up_mbps": int(row["speed_up_mbps"]),
            "price": Decimal(row["price_zar_incl_vat"]),
            "promotion_price": Decimal(row["promotion_price_zar"]),
            "promotion_months": int(row["promotion_months"]),
        }


def _rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


_INSERT_CUSTOMER: Final = """
INSERT INTO customers (
  account_number, account_type, first_name, last_name, company_name, tax_number, email, phone,
  street, city, state, zip, country, currency, created_at, updated_at
) VALUES (
  %(account_number)s, %(account_type)s, %(first_name)s, %(last_name)s, %(company_name)s,
  %(tax_number)s, %(email)s, %(phone)s, %(street)s, %(city)s, %(state)s, %(zip)s, %(country)s,
  %(currency)s, %(created_at)s, %(created_at)s
)
"""

_INSERT_PACKAGE: Final = """
INSERT INTO service_packages (
  sku, name, service_type, speed_down_mbps, speed_up_mbps, price, promotion_price, promotion_months
) VALUES (
  %(sku)s, %(name)s, %(service_type)s, %(speed_down_mbps)s, %(speed_up_mbps)s, %(price)s,
  %(promotion_price)s, %(promotion_months)s
)
"""
