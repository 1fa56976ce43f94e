"""The function `webhook`, called as Lambda calls it."""

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

PATH = Path(__file__).resolve().parents[1] / "functions" / "webhook" / "app.py"


class Context:
    """What Lambda hands to a handler, as far as the logger looks at it."""

    function_name = "webhook"
    memory_limit_in_mb = 256
    invoked_function_arn = "arn:function"
    aws_request_id = "a-request"


@cache
def webhook_function() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Load the handler; what is behind it is `bootstrap.webhook`'s to say."""
    # Each function's module is called `app`: this one gets a name of its own.
    spec = importlib.util.spec_from_file_location("handler_of_webhook", PATH)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"there is no {PATH}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    handler: Callable[[dict[str, Any], Context], dict[str, Any]] = module.handler
    return lambda event: handler(event, Context())
