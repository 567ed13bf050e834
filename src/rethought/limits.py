"""Every limit of the server, with its unit, in one place.

What always holds: a limit is a name here, never a number in a room; reaching one is a typed error (or a clean close)
for that client alone. Names end in their unit: `_bytes`, `_seconds`, `_rows`, `_max` (a count). Every room may import
this module; only `config.py` builds a `Limits` that differs from the defaults.
"""

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on what a client may ask for and on what the server holds for it."""

    # Connections.
    connections_max: int = 10_000  # open driver connections; one more is told so and closed
    handshake_seconds: float = 10.0  # from accept to an authenticated connection, TLS included
    handshake_message_bytes: int = 2_048  # one handshake message, its NUL included (a protocol fact)
    listen_backlog_max: int = 1_024

    # Frames.
    query_bytes: int = 134_217_727  # a longer query is refused, then the connection closes (a protocol fact)
    query_drain_bytes: int = 1_073_741_823  # a refused query up to this size is read to its end first
    response_bytes: int = 4_294_967_294  # the length field is 32 bits wide (a protocol fact)
    frame_seconds: float = 300.0  # between the first and the last byte of one query

    # Holding back a client.
    queries_max: int = 1_024  # queries of one connection under way; further ones wait unread (a protocol fact)
    cursors_max: int = 10_000  # open cursors and feeds of one connection
    read_ahead_bytes: int = 1 << 20  # frames held while a connection may not start queries; then its socket waits
    write_high_water_bytes: int = 1 << 20  # responses the client has not read before its next query is looked at
    write_backlog_bytes: int = 1 << 28  # responses the client has not read before the connection is cut
    receive_slice_seconds: float = 0.005  # work for one connection's queries before the others get a turn

    # Queries. Those with an optional argument of the same meaning are its default.
    nesting_max: int = 1_000  # depth of a term tree or of a document
    array_limit: int = 100_000  # elements of one array
    query_seconds: float = 0.0  # running time of one query; 0 is without end
    query_memory_bytes: int = 1 << 30  # what one query may hold in sorting, grouping and the like
    work_slice_seconds: float = 0.005  # evaluation before a query yields to the loop

    # Batches of a cursor.
    batch_rows_min: int = 1
    batch_bytes: int = 1 << 20
    batch_seconds: float = 0.5
    first_batch_scaledown: int = 4

    # Feeds.
    changefeed_queue_size: int = 100_000  # changes waiting for one slow subscriber
    serial_feed_seconds: float = 0.5  # V0_3 and HTTP: an idle feed answers with an empty batch after this time

    # Keys.
    primary_key_chars: int = 127

    # Shutting down.
    shutdown_seconds: float = 5.0  # for queries under way to finish before they are interrupted


DEFAULT_LIMITS = Limits()
