"""What a person runs: the `billing-sync` command, the local stack, fake Zoho, the demo."""
