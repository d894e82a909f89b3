"""HTTP: requests to services, results and errors to replies."""
