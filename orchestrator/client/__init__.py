"""The Python client: runs, their outputs and logs, and models, from a program, a notebook or a command."""
