"""The project's own benchmark: what a server of this tree does per second, through raw sockets.

`make bench` starts a server of this tree and prints one line per workload; `--compare REV` measures another revision
beside it and prints ratios; `--port` measures any server that speaks the protocol. Nothing here is a test: a figure
depends on the machine and its mood, which is why two yardsticks of the machine are printed with them.
"""
