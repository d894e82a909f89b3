"""zarrlink on one machine: the server, the command line, the sample."""
