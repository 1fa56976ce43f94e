"""`python -m ops.fake_zoho`: print one line of JSON with the URLs once it listens; end on TERM."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from pydantic import TypeAdapter, ValidationError

from ops.fake_zoho.config import FakeZohoConfig, SeedCustomer
from ops.fake_zoho.fake import FakeZoho
from ops.fake_zoho.replies import RefusedError
from ops.fake_zoho.server import FakeZohoServer, address, listen

SEEDS = TypeAdapter(dict[str, list[SeedCustomer]])


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        fake = FakeZoho(_read_config(options))
    except (OSError, ValidationError, RefusedError) as error:
        sys.stderr.write(f"fake_zoho: {error}\n")
        return 2
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    with listen(options.host, options.port) as listener:
        url = address(listener)
        started = {"url": url, "accounts_url": url, "api_url": url, "pid": os.getpid()}
        FakeZohoServer(fake, lambda: _tell(started)).run(sockets=[listener])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fake_zoho", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--config", type=Path, help="a JSON document: ops/fake_zoho/config.py")
    parser.add_argument(
        "--seed", type=Path, help="JSON: customers kept by hand, by organisation id"
    )
    parser.add_argument("--time-scale", type=float, help="how many of Zoho's seconds a second has")
    return parser


def _read_config(options: argparse.Namespace) -> FakeZohoConfig:
    config = FakeZohoConfig()
    if options.config is not None:
        config = FakeZohoConfig.model_validate_json(options.config.read_bytes())
    changes = config.model_dump()
    if options.seed is not None:
        changes["seed"] = SEEDS.validate_json(options.seed.read_bytes())
    if options.time_scale is not None:
        changes["time_scale"] = options.time_scale
    return FakeZohoConfig.model_validate(changes)


def _tell(started: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(started) + "\n")
    sys.stdout.flush()


def _end(_signal_number: int, _frame: FrameType | None) -> None:
    """End quietly: uvicorn raises the signal once more when it has shut down."""
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
