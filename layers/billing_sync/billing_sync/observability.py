"""The one logger and the one set of metrics. Fixed messages and fields; ids and codes only."""

import logging

from aws_lambda_powertools import Logger

logger = Logger(service="billing-sync")

# httpx writes every URL at INFO; a URL may carry what nobody should read.
for noisy in ("httpx", "httpcore"):
    logging.getLogger(noisy).setLevel(logging.WARNING)
