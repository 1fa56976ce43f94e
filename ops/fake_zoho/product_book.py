"""The products of one organisation: names that plans hang on. Names are not unique."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field

from ops.fake_zoho.body import Body, Line, Line200, Text, read, require
from ops.fake_zoho.premises import Premises
from ops.fake_zoho.replies import JsonObject
from ops.fake_zoho.shelf import Record, Shelf


class ProductBody(Body):
    name: Annotated[Line, Field(max_length=100)] = ""
    description: Text = ""
    email_ids: Line200 = ""
    redirect_url: Line200 = ""


@dataclass(kw_only=True)
class Product(Record):
    product_id: str
    profile: JsonObject
    status: str = "active"

    @property
    def name(self) -> str:
        name: str = self.profile["name"]
        return name


class ProductBook:
    def __init__(self, premises: Premises) -> None:
        self._premises = premises
        self.shelf: Shelf[Product] = Shelf("Product", premises, lambda one: one.product_id)
        self.index = self.shelf.index

    def all(self) -> list[Product]:
        return self.shelf.all()

    def get(self, product_id: str) -> Product:
        return self.shelf.get(product_id)

    def create(self, sent: JsonObject, by: str) -> Product:
        body = self._read(sent)
        product = self._new(body, by, self._premises.now())
        product.writes = 1
        self.shelf.add(product)
        return product

    def seed(self, name: str, by: str, at: datetime) -> Product:
        """Find the product that people made under this name, or make it."""
        for product in self.all():
            if product.name == name:
                return product
        product = self._new(self._read({"name": name}), by, at)
        product.by_api = False
        self.shelf.add(product)
        return product

    def update(self, product_id: str, sent: JsonObject) -> Product:
        product = self.get(product_id)
        product.profile |= self._read(sent).model_dump(exclude_unset=True)
        self.shelf.written(product)
        return product

    def set_status(self, product_id: str, status: str) -> None:
        product = self.get(product_id)
        product.status = status
        self.shelf.written(product)

    def delete(self, product_id: str) -> None:
        self.shelf.remove(product_id)

    def _read(self, sent: JsonObject) -> ProductBody:
        body = read(ProductBody, sent, self._premises.switches)
        require(body, "name")
        return body

    def _new(self, body: ProductBody, by: str, at: datetime) -> Product:
        return Product(
            product_id=self._premises.next_id(),
            profile=body.model_dump(),
            created_time=at,
            updated_time=at,
            created_by=by,
        )
