"""What LocalStack's community edition lacks to run zarrlink's template without Docker."""
