"""Flights, films and earthquakes: an application that asks, follows and survives.

`python -m examples.flights` loads three public data sets through the official Python driver, asks a score of analytical
questions and checks each answer against plain Python, follows a live dashboard while another process writes, and kills
the server in the middle of writing to show that nothing acknowledged is lost. The data comes from the npm package
`vega-datasets` (`npm ci` in this folder; the program does it when it has to).
"""
