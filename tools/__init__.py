"""Programs for the people who work on Rethought; nothing in here is installed with the server.

Each module is one program, run as `python -m tools.NAME` from the top of the tree (the Makefile does).
"""
