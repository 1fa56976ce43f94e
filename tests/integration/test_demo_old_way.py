"""What the system before this one did, seen again on a fake Zoho."""

from ops.demo.old_way import run_old_way


def test_the_eleventh_token_is_refused_and_the_empty_search_overwrites_the_stranger() -> None:
    told = run_old_way()

    assert told.sent == 10
    assert told.refused == [11, 12, 13]
    assert told.tokens_minted == 10
    assert told.without_email == [10]
    stranger = told.overwritten[10]
    assert told.names_before[stranger] == "Dlamini Trading"
    assert told.names_after[stranger] == "Nomvula Dlamini"
    assert len(list(told.lines())) == 10
