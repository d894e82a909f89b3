"""The link's page: standard ES modules, one stylesheet and one HTML file, served under `/web/`."""
