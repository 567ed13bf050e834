"""Work on a data directory that no server uses: examining it, and giving it another encryption key.

What always holds: the caller holds the directory's lock. Called by `cli`; `rotation.finish` also by `server.py`.
"""
