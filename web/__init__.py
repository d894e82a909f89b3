"""The pages and their elements: standard ES modules, style sheets and HTML files, served at `/` and under `/web/`."""
