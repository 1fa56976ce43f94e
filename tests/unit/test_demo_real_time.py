"""How the demo waits for what its webhooks bring."""

from ops.demo.real_time import wait


def test_what_is_there_already_is_not_swept_for() -> None:
    swept: list[None] = []

    assert wait(lambda: True, lambda: swept.append(None), sweep_every_seconds=0)

    assert swept == []


def test_what_a_trigger_left_to_the_sweep_comes_by_a_round_of_it() -> None:
    swept: list[None] = []

    came = wait(lambda: bool(swept), lambda: swept.append(None), sweep_every_seconds=0.01)

    assert came
    assert len(swept) == 1


def test_what_never_comes_is_given_up() -> None:
    came = wait(lambda: False, lambda: None, sweep_every_seconds=9, give_up_after_seconds=0.01)

    assert not came
