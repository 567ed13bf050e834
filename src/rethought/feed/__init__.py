"""Changefeeds: who listens to what, and what each commit means to them.

A `Hub` hears every commit of a group; once a turn of the loop it hands what changed to the channels of the table, each
of which stands for one view of it (a part of the table and a transformation) however many listen; a channel makes the
messages once and gives them to its `Subscription`s. An `Opening` gives a subscription what was there before (initial
values, or the journal since a resume token) and joins it to what comes. The room knows documents as bytes, keys and
index rules; no query language, no sockets. `reql.feeds` builds on it.
"""
