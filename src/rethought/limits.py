"""Every limit of the server, with its unit, in one place.

What always holds: a limit is a name here, never a number in a room; reaching one is a typed error (or a clean close)
for that client alone. Names end in their unit: `_bytes`, `_seconds`, `_rows`, `_max` (a count). Every room may import
this module; only `config.py` builds a `Limits` that differs from the defaults.
"""

from typing import Final

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on what a client may ask for and on what the server holds for it. (P): a fact of the protocol."""

    # ---- Connections

    # Open driver connections; one more is told so and closed.
    connections_max: int = 10_000
    # From accept to an authenticated connection, TLS included.
    handshake_seconds: float = 10.0
    # Connections of one address that have not logged in yet.
    handshakes_per_address: int = 1_000
    # Delayed refusals of one user; while there are more, no further password for that user is looked at.
    guesses_per_user: int = 64
    # The longest wait before somebody who keeps failing to log in hears of it.
    login_delay_seconds: float = 5.0
    # One handshake message, its NUL included (P).
    handshake_message_bytes: int = 2_048
    # Connections the system holds before they are accepted.
    listen_backlog_max: int = 1_024

    # ---- Frames

    # A longer query is refused, then the connection closes (P).
    query_bytes: int = 134_217_727
    # A refused query up to this size is read to its end first.
    query_drain_bytes: int = 1_073_741_823
    # The length field is 32 bits wide (P).
    response_bytes: int = 4_294_967_294
    # Between the first and the last byte of one query.
    frame_seconds: float = 300.0

    # ---- Holding back a client

    # Queries of one connection under way; further ones wait unread (P).
    queries_max: int = 1_024
    # Open cursors and feeds of one connection.
    cursors_max: int = 10_000
    # Incomplete queries of all connections together; past it the connection that holds most of them is cut.
    inbound_bytes: int = 1 << 30
    # Frames held while a connection may not start queries; then its socket waits.
    read_ahead_bytes: int = 1 << 20
    # Responses the client has not read before its next query is looked at.
    write_high_water_bytes: int = 1 << 20
    # Responses the client has not read before the connection is cut.
    write_backlog_bytes: int = 1 << 28
    # Work for one connection's queries before the others get a turn.
    receive_slice_seconds: float = 0.0005
    # Of the loop's time, for queries that end at a limit: their clients wait until that share has paid for them. With 0
    # they need not wait.
    refused_share: float = 0.05
    # The longest such wait.
    refused_wait_seconds: float = 5.0

    # ---- Queries; where an optional argument of the same meaning exists, this is its default

    # Depth of a term tree or of a document.
    nesting_max: int = 1_000
    # Elements of one array.
    array_limit: int = 100_000
    # Running time of one query; 0 is without end.
    query_seconds: float = 0.0
    # What one query may hold in sorting, grouping and the like.
    query_memory_bytes: int = 1 << 30
    # Evaluation that nobody may interrupt: a transaction after its first write, a function of an index, hook or feed.
    undivided_seconds: float = 1.0
    # Evaluation before a query yields to the loop.
    work_slice_seconds: float = 0.001

    # ---- Batches of a cursor

    batch_rows_min: int = 1
    batch_bytes: int = 1 << 20
    batch_seconds: float = 0.5
    first_batch_scaledown: int = 4

    # ---- Feeds

    # Changes waiting for one slow subscriber, and their size.
    changefeed_queue_size: int = 100_000
    changefeed_queue_bytes: int = 256 << 20
    # V0_3 and HTTP: an idle feed answers with an empty batch after this time.
    serial_feed_seconds: float = 0.5

    # ---- The HTTP port

    # Open connections; one more takes the place of the one that has said nothing for longest.
    http_connections_max: int = 500
    # The head of a request.
    http_head_bytes: int = 16_384
    # From accept to the end of the first head.
    http_head_seconds: float = 20.0
    # For a request's body to come, for a response to be read.
    http_body_seconds: float = 300.0
    # Between two requests of a connection.
    http_idle_seconds: float = 75.0
    # Conversations in ReQL; each has its cursors.
    http_sessions_max: int = 1_000
    # One query of such a conversation, and its life without a query (P).
    http_query_seconds: float = 300.0

    # ---- Shutting down

    # For queries under way to finish before they are interrupted.
    shutdown_seconds: float = 5.0


MAY_BE_ZERO: Final = frozenset(
    {
        "login_delay_seconds",
        "refused_share",
        "refused_wait_seconds",
        "query_seconds",
        "shutdown_seconds",
    }
)
"""Where 0 has a meaning: no delay, or no limit."""

DEFAULT_LIMITS = Limits()
