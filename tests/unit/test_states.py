"""The table of states: what the protocol says of each, and that code has no second table."""

import ast
from pathlib import Path

import pytest

import billing_sync
from billing_sync.domain.states import STATES, Colour, State, states_coloured, states_where

# design.md §4, word for word: what the application's column says, and the report's colour.
DESIGN = {
    State.PENDING: (None, Colour.NONE),
    State.SYNCING: (None, Colour.NONE),
    State.SYNCED: ("synced", Colour.GREEN),
    State.RETRYING: ("retrying", Colour.AMBER),
    State.WAITING: ("retrying", Colour.AMBER),
    State.BLOCKED: ("retrying", Colour.AMBER),
    State.IN_DOUBT: ("retrying", Colour.RED),
    State.MISMATCH: ("failed", Colour.RED),
    State.AMBIGUOUS: ("failed", Colour.RED),
    State.FAILED: ("failed", Colour.RED),
    State.EXHAUSTED: ("failed", Colour.RED),
    State.SKIPPED: (None, Colour.GREY),
}


def test_every_state_is_in_the_table_and_says_how_it_is_left() -> None:
    assert set(STATES) == set(State)
    assert all(rule.meaning and rule.leaves_by for rule in STATES.values())


@pytest.mark.parametrize("state", State)
def test_column_and_colour_are_those_of_the_design(state: State) -> None:
    assert (STATES[state].sync_status, STATES[state].colour) == DESIGN[state]


def test_work_under_way_is_never_written_into_the_applications_columns() -> None:
    unwritten = set(State) - set(states_where("status_written"))

    assert unwritten == {State.PENDING, State.SYNCING}


def test_no_state_is_a_dead_end() -> None:
    """Each is left by itself, by time, by its parent, or by whoever signals."""
    by_themselves = {State.PENDING, State.SYNCING, State.BLOCKED}
    by_time = set(states_where("claimed_when_due"))
    by_signal = set(states_where("claimed_on_signal"))

    assert by_themselves | by_time | by_signal == set(State)
    assert not by_time & by_signal


def test_nothing_in_doubt_is_ever_claimed_by_a_signal() -> None:
    assert not STATES[State.IN_DOUBT].claimed_on_signal
    assert not STATES[State.IN_DOUBT].signal_makes_pending


def test_each_state_has_one_colour() -> None:
    coloured = [state for colour in Colour for state in states_coloured(colour)]

    assert sorted(coloured) == sorted(State)


def test_no_other_module_lists_the_status_words_of_the_application() -> None:
    """A second mapping from states to `zoho_sync_status` would drift from the table."""
    package = Path(billing_sync.__file__).parent
    strays = [
        path.name
        for path in package.rglob("*.py")
        if path.name != "states.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Dict)
        and {"synced", "retrying", "failed"}
        <= {value.value for value in node.values if isinstance(value, ast.Constant)}
    ]

    assert strays == []
