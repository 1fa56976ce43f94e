"""Knocking at the webhooks' door as the provider's application does; and what died on its way."""

import json
import secrets
from datetime import UTC, datetime
from typing import Annotated, Final

import typer
from pydantic import ValidationError

from billing_sync.domain.signatures import (
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    key_of,
    sign,
)
from billing_sync.domain.steps import first_fault
from billing_sync.domain.triggers import TYPES_OF_TRIGGER, Trigger, WakeUp
from ops.cli import asked as read
from ops.cli.session import FINE, RED, Session, command

ACCEPTED: Final = 202

TriggerName = Annotated[Trigger, typer.Argument(metavar="TRIGGER", help="Whose door and queue.")]


def signed_event(
    secret: str, type_: str, record_id: str, now: datetime
) -> tuple[dict[str, str], bytes]:
    """Make the headers and the body of an event, signed as Standard Webhooks has it.

    :raises ValueError: the secret is no key.
    """
    message_id = f"msg_{secrets.token_urlsafe(18)}"
    timestamp = str(int(now.timestamp()))
    told = {
        "type": type_,
        "timestamp": now.astimezone(UTC).isoformat(timespec="seconds"),
        "data": {"id": record_id},
    }
    body = json.dumps(told).encode()
    headers = {
        "Content-Type": "application/json",
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: timestamp,
        SIGNATURE_HEADER: sign(key_of(secret), message_id, timestamp, body),
    }
    return headers, body


@command
def send(
    session: Session,
    trigger: TriggerName,
    record_id: Annotated[str, typer.Argument(metavar="ID", help="The row's id.")],
    type_: Annotated[
        str | None,
        typer.Option("--type", metavar="WORD", help="What happened, such as invoice.voided."),
    ] = None,
) -> int:
    """Sign an event with the stack's own secret, and post it to its door."""
    word = type_ if type_ is not None else TYPES_OF_TRIGGER[trigger][0]
    read.one_of("--type", [word], TYPES_OF_TRIGGER[trigger])
    try:
        WakeUp(trigger=trigger, id=record_id)
    except ValidationError as error:
        raise read.refuse("ID", first_fault(error)[1]) from None
    keys = session.stack.sender_secrets().signing_secrets
    if not keys:
        return session.refuse(
            {
                "ok": False,
                "error": "NoSigningSecret",
                "field": "signing_secrets",
                "why": "the stack's webhook secret has none: put one there, such as whsec_ and the"
                " base64 of 32 random bytes. The door takes it up within two minutes.",
            }
        )
    headers, body = signed_event(keys[0], word, record_id, datetime.now(UTC))
    status, answer = session.stack.post(trigger, headers, body)
    session.emit({"status": status, "answer": answer, "message_id": headers[ID_HEADER]})
    if status != ACCEPTED:
        session.say(f"{status}: {json.dumps(answer)}", style="red")
        return RED
    session.show(f"{status}: {word} of {record_id} was accepted.")
    return FINE


@command
def redrive(session: Session, trigger: TriggerName) -> int:
    """Put a trigger's dead letters back on its queue. What was done already is not done twice."""
    moved = session.stack.redrive(trigger)
    session.emit({"ok": True, "redriven": moved})
    messages = "1 message" if moved == 1 else f"{moved} messages"
    session.show(
        f"{messages} put back on the queue of {trigger}."
        if moved
        else f"{trigger} has no dead letters."
    )
    return FINE
