"""Translate the SAM template to the CloudFormation that AWS would get, offline.

cfn-lint no longer does this itself: on a SAM template it passes over what only shows afterwards.
"""

import json
import os
from pathlib import Path
from typing import Any
from unittest.mock import patch

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse

ROOT = Path(__file__).resolve().parents[2]
DEFINITION = ROOT / "functions" / "backfill" / "state_machine.asl.json"

type Json = dict[str, Any]

HANDLERS = {
    "customer-registered": "CustomerRegistered",
    "service-activated": "ServiceActivated",
    "invoice-generated": "InvoiceGenerated",
    "payment-completed": "PaymentCompleted",
}
"""The triggers, and what the logical ids of their queues and functions begin with."""


def read_template() -> Json:
    """Read template.yaml, with `!Ref` and its kin as `{"Ref": ...}`."""
    template: Json = yaml_parse((ROOT / "template.yaml").read_text())
    return template


def read_definition() -> Json:
    """Read the state machine, with its `${...}` as they stand."""
    definition: Json = json.loads(DEFINITION.read_text())
    return definition


def translate() -> Json:
    """Translate, with code as if it were uploaded and the definition inline."""
    template = read_template()
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        for key in ("CodeUri", "ContentUri"):
            if key in properties:
                properties[key] = {"Bucket": "a-bucket", "Key": "a-key"}
        if "DefinitionUri" in properties:
            definition = ROOT / properties.pop("DefinitionUri")
            properties["Definition"] = json.loads(definition.read_text())
    with patch.dict(os.environ, AWS_DEFAULT_REGION="eu-west-1"):
        translated: Json = Translator({}, Parser()).translate(template, {})
    for resource in translated["Resources"].values():
        properties = resource.get("Properties", {})
        if "DefinitionString" in properties:
            # As an object, so that cfn-lint looks into it.
            lines = properties.pop("DefinitionString")["Fn::Join"][1]
            properties["Definition"] = json.loads("".join(lines))
    return translated
