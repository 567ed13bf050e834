"""What a query may have done outside of the server: HTTP requests and JavaScript.

`request` reads the options of `r.http`, `targets` guards whom it may talk to, `transfer` does the talking in a helper
thread; `javascript` runs code in worker processes (`js_worker`). What always holds: nothing here blocks the loop, and
everything ends by itself after its timeout. Callers: `reql.terms.remote`.
"""
