"""Display names: made from a template, and read back without believing strangers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_sync.domain.display_names import DisplayNames

ACCOUNT_NUMBERS = st.from_regex(r"CT-\d{4}-\d{5}", fullmatch=True)
NAMES = st.text(min_size=1, max_size=60)


@given(name=NAMES, account_number=ACCOUNT_NUMBERS)
@pytest.mark.parametrize(
    "template",
    [
        "{name} ({account_number})",
        "{account_number} {name}",
        "{account_number}",
        "[{account_number}] {name} *",
        "{name} | {account_number}",
    ],
)
def test_the_account_number_is_read_back_from_every_name_that_we_make(
    template: str, name: str, account_number: str
) -> None:
    names = DisplayNames(template)

    assert names.account_number_in(names.make(name, account_number)) == account_number


def test_a_name_may_hold_what_looks_like_another_account_number() -> None:
    names = DisplayNames("{name} ({account_number})")

    made = names.make("Ada (CT-2025-00099)", "CT-2025-00001")

    assert names.account_number_in(made) == "CT-2025-00001"


def test_braces_in_a_name_are_only_braces() -> None:
    names = DisplayNames("{name} ({account_number})")

    assert names.make("{account_number} {0}", "CT-1") == "{account_number} {0} (CT-1)"


@pytest.mark.parametrize(
    "display_name", ["Ada Lovelace", "", "(CT-1)", "Ada (CT 1)", "Ada (CT-1) "]
)
def test_another_form_is_no_name_of_ours(display_name: str) -> None:
    assert DisplayNames("{name} ({account_number})").account_number_in(display_name) is None


def test_a_strangers_word_in_brackets_is_read_for_the_caller_to_check() -> None:
    assert DisplayNames("{name} ({account_number})").account_number_in("Smith (Durban)") == "Durban"


@pytest.mark.parametrize(
    "template",
    ["{name}", "", "Customer", "{name} ({account_number}) {email}", "{0}{account_number}"],
)
def test_a_template_without_the_account_number_or_with_anything_else_is_refused(
    template: str,
) -> None:
    with pytest.raises(ValueError, match="account_number"):
        DisplayNames(template)
