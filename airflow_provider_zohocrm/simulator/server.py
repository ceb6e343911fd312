"""The simulator as a running server, in a thread of the caller's process."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from airflow_provider_zohocrm.simulator import control
from airflow_provider_zohocrm.simulator.app import Application
from airflow_provider_zohocrm.simulator.data import files_of
from airflow_provider_zohocrm.simulator.options import Options
from airflow_provider_zohocrm.simulator.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from airflow_provider_zohocrm.simulator.faults import Fault

HOST = "127.0.0.1"
# How often a port is asked for again that another process took during a pause.
REBIND = 0.1


class Server(uvicorn.Server):
    """uvicorn, telling when it accepts connections, and able to refuse them for a while."""

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None], bind: Callable[[], socket.socket]
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._bind = bind
        self._return: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then tell so.

        :param sockets: the sockets to listen on.
        """
        await super().startup(sockets)
        if self.started:
            self._ready()

    def pause(self, seconds: float) -> None:
        """Refuse connections and end those there are; listen again on the same port afterwards.

        To be called on the server's own loop. A pause during a pause begins anew.

        :param seconds: how long, by the wall clock.
        """
        if self._return is not None:
            self._return.cancel()
        for listening in self.servers:
            listening.close()
        self.servers = []
        for connection in list(self.server_state.connections):
            # Not aborted: the answer to the request for the pause may still be on its way out.
            connection.transport.close()
        self._return = asyncio.get_running_loop().create_task(self._listen_again(seconds))

    async def _listen_again(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        while True:
            try:
                listener = self._bind()
                break
            except OSError:
                await asyncio.sleep(REBIND)
        await super().startup([listener])

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End, also in the middle of a pause.

        :param sockets: the sockets listened on.
        """
        if self._return is not None:
            self._return.cancel()
        await super().shutdown(sockets)


class Simulator:
    """Zoho CRM on a loopback port.

    A context manager: ``with Simulator({"Leads": 5000}) as zoho: requests.get(zoho.url + …)``.
    """

    def __init__(
        self,
        seed: dict[str, int] | None = None,
        *,
        port: int = 0,
        host: str = HOST,
        seed_number: int = 1,
        data: str | Path | None = None,
        state_file: str | None = None,
        log: str | None = None,
        **options: Any,
    ) -> None:
        """Fill the data; nothing listens yet.

        :param seed: ordinary records by module; modules not named get a small number.
        :param port: 0 takes a free one, which is kept over stop and start.
        :param host: address to listen on. Anything but loopback gives the data, and the secrets of the simulator, to
            whoever reaches the machine.
        :param seed_number: same number, same values.
        :param data: file, or directory of files, that modules start from instead of a seed, see ``data.read``.
        :param state_file: SQLite file that keeps the data; in memory if absent.
        :param log: file that gets one JSON line per request.
        :param options: options by name, see ``options.Options``.
        """
        chosen = Options()
        chosen.update(options)
        self.state = State(chosen, seed_number=seed_number, path=state_file, log=log)
        store = self.state.store
        counts = {name: m.default_seed for name, m in store.modules.items() if name not in store.seeded}
        counts.update(
            {
                name: n
                for name, n in (seed or {}).items()
                if name not in store.seeded or store.seeded[name] != n
            }
        )
        files = {} if data is None else files_of(Path(data), store.modules)
        # A state file that has them goes before the files it was filled from.
        self.state.files.update(files)
        files = {name: file for name, file in files.items() if name not in store.loaded}
        counts.update(dict.fromkeys(files, 0))
        if counts:
            store.seed(counts)
        for name, file in files.items():
            self.state.load(name, file)
        self.host = host
        self.port = port
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    # --- life --------------------------------------------------------------------------------------------------

    def config(self) -> uvicorn.Config:
        """Build uvicorn's configuration."""
        application = Application(self.state, control.Control(self.state, self._pause).application())
        return uvicorn.Config(
            application,
            host=self.host,
            port=self.port,
            # The loop and the parser every installation has; broken connections are tested with them.
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_level="warning",
            access_log=False,
            server_header=False,
            # The application tells the time of its own clock.
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=1,
        )

    def bind(self) -> socket.socket:
        """Take the port: a connection made from now on waits until the server accepts it."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted connections inherit it; asyncio sets it only on sockets it made itself. Without it, each answer on a
        # kept connection waits 40 ms for the client's delayed acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            listener.bind((self.host, self.port))
        except OSError:
            listener.close()
            raise
        listener.listen(512)
        self.port = listener.getsockname()[1]
        return listener

    def server(self, ready: Callable[[], None]) -> Server:
        """Build the server, for a loop of the caller's.

        :param ready: called when it accepts connections.
        """
        self._server = Server(self.config(), ready, self.bind)
        return self._server

    def _pause(self, seconds: float) -> None:
        if self._server is not None:
            self._server.pause(seconds)

    def start(self) -> Simulator:
        """Listen, on the same port as before if it was stopped."""
        if self._thread is not None:
            return self
        listener = self.bind()
        ready = threading.Event()
        server = self.server(ready.set)

        def run() -> None:
            try:
                asyncio.run(server.serve(sockets=[listener]))
            finally:
                ready.set()
                listener.close()

        self._thread = threading.Thread(target=run, name="zohocrm-simulator", daemon=True)
        self._thread.start()
        ready.wait()
        if not server.started:
            self._thread.join()
            self._server = self._thread = None
            raise RuntimeError(f"the simulator could not listen on {self.host}:{self.port}")
        return self

    def stop(self) -> None:
        """Stop listening: connections are refused until ``start``; data, tokens and jobs are kept."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join()
        self._server = self._thread = None

    def close(self) -> None:
        """Stop for good and release the data."""
        self.stop()
        self.state.close()

    def __enter__(self) -> Simulator:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- what a client needs -----------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Address of the API and of the accounts server alike."""
        host = {"0.0.0.0": HOST, "::": "::1"}.get(self.host, self.host)  # noqa: S104 - read, not bound
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def connection(self) -> dict[str, Any]:
        """The Airflow connection that leads here, as the JSON of ``AIRFLOW_CONN_ZOHOCRM_DEFAULT`` has it."""
        return {
            "conn_type": "zohocrm",
            "login": self.client_id,
            "password": self.client_secret,
            "extra": {
                "refresh_token": self.refresh_token,
                "api_url": self.url,
                "accounts_url": self.url,
                "upload_url": self.url,
                "token_store": "memory",
            },
        }

    @property
    def client_id(self) -> str:
        """Client id to use."""
        return self.state.tokens.client_id

    @property
    def client_secret(self) -> str:
        """Client secret to use."""
        return self.state.tokens.client_secret

    @property
    def refresh_token(self) -> str:
        """Refresh token to use."""
        return self.state.tokens.refresh_token

    # --- what a test needs -------------------------------------------------------------------------------------

    def new_grant_code(self) -> str:
        """Generate a grant code, which can be exchanged for a refresh token once, within 3 minutes."""
        return self.state.tokens.new_code()

    @property
    def options(self) -> Options:
        """The switches, to be set at any time."""
        return self.state.options

    def configure(self, **options: Any) -> None:
        """Set switches from text or values, checked.

        :param options: value by name; ``utc_offset`` takes effect only this way.
        """
        self.options.update(options)
        self.state.apply_options()

    @property
    def faults(self) -> list[dict[str, Any]]:
        """The faults that are planned, with how often each was met."""
        return self.state.faults.as_list()

    def add_fault(self, action: str, **schedule: Any) -> Fault:
        """Plan a fault, see ``faults.Fault``.

        :param action: one of ``faults.ACTIONS``.
        :param schedule: method, path, count, window, after and what the action needs.
        """
        return self.state.faults.add(action, **schedule)

    def clear_faults(self) -> None:
        """Drop every fault."""
        self.state.faults.clear()

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The requests received, oldest first, secrets masked."""
        return self.state.journal.as_list()

    @property
    def counters(self) -> dict[str, Any]:
        """What was counted: calls, credits, tokens minted, peak concurrency."""
        return control.counters(self.state)

    @property
    def writes(self) -> list[dict[str, Any]]:
        """Every write call with module, ids and triggers."""
        return list(self.state.store.writes)

    @property
    def callbacks(self) -> list[dict[str, Any]]:
        """What was sent to the callbacks of jobs."""
        return list(self.state.callbacks)

    @property
    def notifications(self) -> list[dict[str, Any]]:
        """What was sent to notification channels, and whether it arrived."""
        return list(self.state.watch.sent)

    def lock(self, *record_ids: str | int) -> None:
        """Lock records: writes to them answer RECORD_LOCKED.

        :param record_ids: ids.
        """
        self.state.locked.update(map(str, record_ids))

    def unlock(self, *record_ids: str | int) -> None:
        """Undo ``lock``.

        :param record_ids: ids; none for all.
        """
        self.state.locked.difference_update(map(str, record_ids) if record_ids else set(self.state.locked))

    def seed(self, counts: dict[str, int]) -> None:
        """Fill modules afresh.

        :param counts: ordinary records by module.
        """
        self.state.store.seed(counts)

    def advance(self, seconds: float) -> float:
        """Move the simulator's clock forward.

        :param seconds: how far.
        """
        return self.state.clock.advance(seconds)

    def table(self, module: str) -> Iterator[dict[str, Any]]:
        """Return all ordinary records of a module by id, every field: the truth to compare with.

        :param module: API name.
        """
        return control.table_rows(self.state, module)

    def record(self, module: str, record_id: str | int) -> dict[str, Any] | None:
        """Return one record with every field, ``None`` where there is none.

        :param module: API name.
        :param record_id: id.
        """
        found = self.state.store.modules[module]
        row = self.state.store.row(found, int(record_id))
        return None if row is None else self.state.store.record(row, list(found.fields.values()))

    def kill_tokens(self) -> None:
        """Invalidate every access token."""
        self.state.tokens.kill_all()

    def reset(self) -> None:
        """Go back to the seeded data and the options of the start, with nothing planned or counted."""
        self.state.reset()
