"""Passwords: how a credential is derived, stored and checked.

What always holds: neither the password nor the salted password is ever kept, only the two keys SCRAM needs, so a
stolen data file does not log anybody in. Pure functions; `catalog` stores verifiers, `wire` checks against them.
"""
