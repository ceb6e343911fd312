"""The commands as Airflow takes them from a provider (seen in 3.3; 3.0 and 2.11 do not)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_zohocrm.cli.arguments import COMMANDS, HELP

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand


def get_zohocrm_cli_commands() -> list[CLICommand]:
    """Describe ``airflow zohocrm``; called at the start of every ``airflow`` command."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand, lazy_load_command

    commands = [
        ActionCommand(
            name=command.name,
            help=command.help,
            description=command.description,
            func=lazy_load_command(f"airflow_provider_zohocrm.cli.commands.{command.name}"),
            args=[
                Arg(flags=argument.flags, **argument.options)  # type: ignore[no-untyped-call]  # Airflow's
                for argument in command.arguments
            ],
        )
        for command in COMMANDS
    ]
    return [GroupCommand(name="zohocrm", help=HELP, subcommands=commands)]
