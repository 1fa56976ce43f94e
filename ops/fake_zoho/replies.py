"""What Zoho answers: envelopes, and the refusals with their HTTP status and body code."""

from dataclasses import dataclass, field
from typing import Any

JsonObject = dict[str, Any]


@dataclass
class Reply:
    """An answer before it becomes bytes."""

    status: int
    body: JsonObject
    headers: dict[str, str] = field(default_factory=dict)


def success(message: str = "success", *, status: int = 200, **resources: Any) -> Reply:
    """Wrap resources in Zoho's envelope: there is no `data` key, each resource has its own."""
    return Reply(status, {"code": 0, "message": message, **resources})


class RefusedError(Exception):
    """A call that Zoho answers with an error body."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"{status}/{code}")
        self.reply = Reply(status, {"code": code, "message": message})


def invalid_url() -> RefusedError:
    return RefusedError(404, 5, "Invalid URL Passed")


def invalid_authentication() -> RefusedError:
    return RefusedError(401, 14, "Invalid value passed for authentication.")


def not_authorised() -> RefusedError:
    """Refuse a dead token or a missing scope: Zoho does not say which."""
    return RefusedError(401, 57, "You are not authorized to perform this operation")


def no_organisation() -> RefusedError:
    return RefusedError(400, 9017, "This user is not associated with the given organization.")


def method_not_allowed() -> RefusedError:
    return RefusedError(405, 37, "The HTTP method is not allowed for the requested resource")


def malformed_json() -> RefusedError:
    return RefusedError(400, 1038, "JSON is not well formed")


def invalid_value(field_name: str) -> RefusedError:
    """Refuse a value, naming the field as Zoho does: `payment_terms` is "Payment Terms"."""
    return RefusedError(
        400, 2, f"Invalid value passed for {field_name.replace('_', ' ').strip().title()}"
    )


def unknown_custom_field() -> RefusedError:
    return RefusedError(400, 120129, "Please provide a valid label for the custom field.")


def does_not_exist(resource: str) -> RefusedError:
    return RefusedError(404, 1002, f"{resource} does not exist.")


def already_exists(display_name: str) -> RefusedError:
    return RefusedError(
        400,
        3062,
        f'The customer "{display_name}" already exists. Please specify a different name.',
    )


def internal_error() -> RefusedError:
    return RefusedError(500, 1000, "Internal Error")


def throttled(code: int, calls_per_day: int) -> RefusedError:
    """Refuse with 429; only the body code tells which limit it was.

    The day's message is the one seen live (thousands separator, no full stop); the documented
    one differs, so nobody should read it.
    """
    messages = {
        44: "For security reasons your organization has been blocked as it have exceeded the "
        "maximum number of requests per minute that can originate from an organization.",
        45: "The API call for this organization has exceeded the maximum call rate limit of "
        f"{calls_per_day:,}",
        1070: "You have reached the maximum number of in process requests allowed. "
        "Kindly try again after some time.",
    }
    return RefusedError(429, code, messages.get(code, "Too many requests. Please try again later."))
