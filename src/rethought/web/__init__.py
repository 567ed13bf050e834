"""The HTTP port: metrics and health for an operator's tools, and queries over HTTP.

It is for the machine itself and those who look after it: bound to loopback unless told otherwise. Start reading at
`server`, which holds the list of paths.
"""
