"""``zohocrm-simulator``, also ``python -m airflow_provider_zohocrm.simulator``."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import signal
import sys
from typing import TYPE_CHECKING

from airflow_provider_zohocrm.simulator.options import describe

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.server import Simulator


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"name=value is expected, not {text!r}")
    return name, value


def _count(text: str) -> tuple[str, int]:
    name, value = _pair(text)
    if not value.isdigit():
        raise argparse.ArgumentTypeError(f"a number of records is expected, as in Leads=5000, not {text!r}")
    return name, int(value)


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    result = argparse.ArgumentParser(
        prog="zohocrm-simulator",
        description="Zoho CRM on localhost, for tests and for trying things out. It has no security.",
        epilog=f"options (--option name=value), with their defaults:\n{describe()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument(
        "--port", type=int, default=8765, help="port to listen on; 0 takes a free one (default 8765)"
    )
    result.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default 127.0.0.1); any other than loopback lets whoever reaches this machine in",
    )
    result.add_argument(
        "--seed",
        type=_count,
        action="append",
        default=[],
        metavar="MODULE=COUNT",
        help="computed records of a module, may be repeated",
    )
    result.add_argument(
        "--data",
        metavar="DIR|FILE",
        help="records to start from: Leads.jsonl, Contacts.csv, … one file per module, named after it",
    )
    result.add_argument("--seed-number", type=int, default=1, help="same number, same values (default 1)")
    result.add_argument(
        "--option",
        type=_pair,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a switch of the list below, may be repeated",
    )
    result.add_argument(
        "--state", metavar="FILE", help="SQLite file that keeps the data; in memory if absent"
    )
    result.add_argument(
        "--latency", type=float, default=0.0, metavar="SECONDS", help="time every answer takes"
    )
    result.add_argument("--log", metavar="FILE", help="one JSON line per request, secrets masked")
    return result


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address.

    :param host: address or name.
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _announce(simulator: Simulator) -> None:
    if not is_loopback(simulator.host):
        print(
            f"warning: listening on {simulator.host}: whoever reaches this machine can read and change everything here",
            file=sys.stderr,
            flush=True,
        )
    print(f"Zoho CRM simulator on {simulator.url}")
    print(f"client id {simulator.client_id}")
    print(f"client secret {simulator.client_secret}")
    print(f"refresh token {simulator.refresh_token}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run until interrupted.

    :param arguments: command line, that of the process if absent.
    :returns: exit code.
    """
    line = parser()
    given = line.parse_args(arguments)
    try:
        from airflow_provider_zohocrm.simulator.server import Simulator
    except ImportError as error:
        print(f"{error}; install airflow-provider-zohocrm[simulator]", file=sys.stderr)
        return 1
    options = dict(given.option)
    if given.latency:
        options["latency"] = given.latency
    try:
        simulator = Simulator(
            dict(given.seed),
            port=given.port,
            host=given.host,
            seed_number=given.seed_number,
            data=given.data,
            state_file=given.state,
            log=given.log,
            **options,
        )
    except (ValueError, OSError) as error:
        line.error(str(error))
    try:
        # uvicorn ends in order and then repeats the signal, whose default would end the process at once.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        server = simulator.server(lambda: _announce(simulator))
        asyncio.run(server.serve(sockets=[simulator.bind()]))
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        print(f"cannot listen: {error}", file=sys.stderr)
        return 1
    finally:
        simulator.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
