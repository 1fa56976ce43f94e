"""The operator's command `billing-sync`: it drives any stack, through the AWS APIs only."""


def main() -> None:
    """Run the command."""
    # Not at the top: whoever imports a part of the package (the demo, a test) need not import all.
    from ops.cli.app import app  # noqa: PLC0415

    app(prog_name="billing-sync")
