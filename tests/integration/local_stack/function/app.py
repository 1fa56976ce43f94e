"""A function that tells what it was given, and what its role lets it read.

Trigger: the tests of the local stack.
"""

import json
import os
from typing import Any

import boto3
from botocore.exceptions import ClientError


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer the parameter, the readable secret, and the error that the other one gives."""
    print("called")  # noqa: T201 (what the stack must find again in its logs)
    if event.get("fail"):
        raise ValueError("asked to fail")
    secrets = boto3.client("secretsmanager")
    readable = secrets.get_secret_value(SecretId=os.environ["READABLE"])["SecretString"]
    try:
        secrets.get_secret_value(SecretId=os.environ["UNREADABLE"])
        refused = None
    except ClientError as error:
        refused = error.response["Error"]["Code"]
    return {
        "said": os.environ["SAID"],
        "database_user": json.loads(readable)["username"],
        "refused": refused,
    }
