"""The access token dies, or Zoho refuses to give another one, in the middle of a run."""

import httpx

from ops.fake_zoho import AnswerDelayed, Credential, DeadToken
from tests.workflow.stage import Stage, assert_everyone_is_in_zoho_once, wait_for

COOL_DOWN = 600


def test_the_eleventh_token_is_refused_and_the_machine_waits(stage: Stage) -> None:
    _forget_earlier_deaths(stage)
    # As Zoho answers most mistakes: success by its status, a refusal by its body.
    stage.zoho.switch(throttled_token_status=200)
    held_up = stage.zoho.arm(AnswerDelayed(operation="create_customer", skip=4, delay_seconds=1.2))
    arn = stage.start(mode="apply")
    wait_for(lambda: stage.zoho.faults_met().get(held_up), "the call that takes long")
    # Others with our refresh token take the ten that Zoho gives in ten minutes; ours dies.
    _mint_ten(stage)
    stage.zoho.revoke_access_tokens()

    run = stage.end_of(arn)

    assert run.status == "SUCCEEDED"
    assert_everyone_is_in_zoho_once(stage)
    assert stage.attempts_used() == 0
    assert "CoolDown" in run.states
    _theirs, ours = (requests := stage.zoho.log(operation="mint_token"))[:10], requests[10:]
    # Refused once, then not asked before the cool-down was over.
    assert [entry.token is not None for entry in ours] == [False, True]
    assert ours[0].status == 200
    assert ours[1].arrived - ours[0].arrived > 0.98 * COOL_DOWN
    begun, over = ours[0].arrived + COOL_DOWN / 10, ours[0].arrived + COOL_DOWN * 0.95
    assert [entry for entry in stage.zoho.log() if begun < entry.arrived < over] == []


def test_a_token_that_dies_in_the_middle_is_renewed_once(stage: Stage) -> None:
    _forget_earlier_deaths(stage)
    stage.zoho.arm(DeadToken(operation="create_customer", skip=4))

    run = stage.apply()

    assert run.status == "SUCCEEDED"
    assert_everyone_is_in_zoho_once(stage)
    assert stage.attempts_used() == 0
    assert stage.zoho.counters().tokens_minted == 1
    assert stage.report(run)["tokens_minted"] == 1


def _forget_earlier_deaths(stage: Stage) -> None:
    """Begin with new workers in the steps that will see the token dead.

    One that saw a token die a few real seconds ago, in the test before, takes the next death for a
    missing scope.
    """
    stage.let_functions_die("SyncBatch", "Verify")


def _mint_ten(stage: Stage) -> None:
    credential = Credential()
    assert stage.stack.state.zoho is not None
    with httpx.Client(base_url=stage.stack.state.zoho.accounts_url, trust_env=False) as http:
        for _ in range(10):
            answer = http.post(
                "/oauth/v2/token",
                data={
                    "grant_type": "refresh_token",
                    "client_id": credential.client_id,
                    "client_secret": credential.client_secret,
                    "refresh_token": credential.refresh_token,
                },
            )
            assert "access_token" in answer.json()
