"""A follower of a table that may be killed at any moment, and so may the server."""
