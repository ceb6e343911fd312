"""``python -m airflow_provider_zohocrm``: the commands of ``airflow zohocrm``, for every release of Airflow."""

from __future__ import annotations

import argparse

from airflow_provider_zohocrm.cli.arguments import COMMANDS, HELP


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    result = argparse.ArgumentParser(prog="python -m airflow_provider_zohocrm", description=HELP)
    names = result.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        added = names.add_parser(command.name, help=command.help, description=command.description)
        for argument in command.arguments:
            added.add_argument(*argument.flags, **argument.options)
    return result


def main(arguments: list[str] | None = None) -> None:
    """Run a command.

    :param arguments: those after the program's name; None for those it was called with.
    :raises SystemExit: with status 1 if the command failed, 2 if it was called wrongly.
    """
    args = parser().parse_args(arguments)
    from airflow_provider_zohocrm.cli import commands

    getattr(commands, args.command)(args)


if __name__ == "__main__":
    main()
