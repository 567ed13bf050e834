"""The wire room: sockets, handshakes, frames, tokens. It turns bytes into queries and replies into bytes.

What always holds: nothing a client sends reaches the engine before the handshake is through, and nothing it sends (or
fails to read) costs other clients more than a turn of the loop. Only `server.py` builds a `Listener`.
"""
