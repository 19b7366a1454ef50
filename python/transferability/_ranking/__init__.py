"""Rankings of models: their rows, tables and files."""
