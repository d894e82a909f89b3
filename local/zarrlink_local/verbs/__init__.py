"""What the commands do, wherever that is kept: on a state (a file, a stack) or behind a server's API.

Every verb answers what is shown, as JSON with one form for both: ids, texts, numbers, ISO times.
"""
