"""The bare handler that the endpoint is held against: Flask, and the same SQL in the same transactions.

It reads a request's JSON, runs the statements that the application ran for such a request, with raw cursors, and
answers as many bytes. It checks no token, keeps no request log and decides nothing.

Served as the application is: `granian --interface wsgi bench.scim_bare:app`, with a pickled `Script` in the file that
`BENCH_BARE` names.
"""

import os
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uuid_utils
from flask import Flask, Response, request
from sqlalchemy.engine import Connection

from bench.scim_place import MARKER_LETTERS
from bench.scim_recording import MARKER, MEMBER, USER, Piece, Recording, Statement
from storage.engine import Database, open_database
from storage.secrets import KeyRing

CREATE_USER, GET_USER, FIND_USER = "create_user", "get_user", "find_user"
VARIABLE = "BENCH_BARE"
_FETCH_ROWS = 2_000
_NAME = re.compile(rf"user([0-9a-f]{{{MARKER_LETTERS}}})@")


@dataclass(frozen=True, slots=True)
class Script:
    """Recordings by their names; those of PATCH by the group's id."""

    database_url: str
    recordings: Mapping[str, Recording]


class Replay:
    """Runs what was recorded, again and again."""

    def __init__(self, database: Database, script: Script) -> None:
        self._database = database
        self._recordings = script.recordings
        with database.read() as connection:
            cursor = connection.connection.cursor()
            cursor.execute("SELECT user_name_key, id, member_id FROM directory_user")
            rows = cursor.fetchall()
        self._by_marker = {name[4 : 4 + MARKER_LETTERS]: (user, member) for name, user, member in rows}
        self._members = {user: member for _, user, member in rows}

    def run(self, name: str, *, marker: str = "", user_id: str = "") -> Response:
        recording = self._recordings[name]
        filled = {slot: str(uuid_utils.uuid7()) for slot in recording.minted}
        if user_id:
            filled |= {USER: user_id, MEMBER: self._members[user_id]}
        elif marker:
            filled[MARKER] = marker
            if marker in self._by_marker:
                filled[USER], filled[MEMBER] = self._by_marker[marker]
        for transaction in recording.transactions:
            begin = self._database.write if transaction.is_write else self._database.read
            with begin() as connection:
                for statement in transaction.statements:
                    _execute(connection, statement, filled)
        return Response(_fill(recording.body, filled), recording.status, recording.headers)


def replay_reads(database: Database, recording: Recording) -> None:
    """Run a recorded request that only reads as it was, keeping nothing: what it reads is in memory then."""
    for transaction in recording.transactions:
        with database.read() as connection:
            for statement in transaction.statements:
                _execute(connection, statement, {})


def _execute(connection: Connection, statement: Statement, filled: Mapping[str, str]) -> None:
    cursor: Any = connection.connection.cursor()
    rows = _rows(statement, filled) if filled else statement.rows
    if statement.is_many:
        cursor.executemany(statement.sql, rows)
    else:
        cursor.execute(statement.sql, rows[0])
        if cursor.description is not None:
            while cursor.fetchmany(_FETCH_ROWS):
                pass
    cursor.close()


def _rows(statement: Statement, filled: Mapping[str, str]) -> list[list[Any]]:
    if not statement.slots:
        return statement.rows
    rows = [row.copy() for row in statement.rows]
    for at, place, is_bytes, pieces in statement.slots:
        text = _fill(pieces, filled)
        rows[at][place] = text.encode("latin-1") if is_bytes else text
    return rows


def _fill(pieces: list[Piece], filled: Mapping[str, str]) -> str:
    return "".join([piece if isinstance(piece, str) else filled[piece[0]] for piece in pieces])


def build_app(script: Script) -> Flask:
    database = open_database(script.database_url, key_ring=KeyRing({"bench": bytes(32)}, "bench"))
    replay = Replay(database, script)
    app = Flask("bare", static_folder=None)

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    @app.post("/scim/v2/<_directory_id>/Users")
    def create_user(_directory_id: str) -> Response:
        return replay.run(CREATE_USER, marker=_marker(request.get_json(force=True)["userName"]))

    @app.get("/scim/v2/<_directory_id>/Users")
    def find_user(_directory_id: str) -> Response:
        return replay.run(FIND_USER, marker=_marker(request.args["filter"]))

    @app.get("/scim/v2/<_directory_id>/Users/<user_id>")
    def get_user(_directory_id: str, user_id: str) -> Response:
        return replay.run(GET_USER, user_id=user_id)

    @app.patch("/scim/v2/<_directory_id>/Groups/<group_id>")
    def patch_group(_directory_id: str, group_id: str) -> Response:
        (operation,) = request.get_json(force=True)["Operations"]
        (member,) = operation["value"]
        return replay.run(group_id, user_id=member["value"])

    return app


def _marker(text: str) -> str:
    found = _NAME.search(text)
    assert found is not None
    return found[1]


def __getattr__(name: str) -> Flask:
    if name != "app":
        raise AttributeError(name)
    # The file is our own, written by the process that starts this one.
    script: Script = pickle.loads(Path(os.environ[VARIABLE]).read_bytes())  # noqa: S301
    return build_app(script)
