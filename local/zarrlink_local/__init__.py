"""zarrlink on one machine: the server, the sample; and the command line, for a deployed stack as well."""
