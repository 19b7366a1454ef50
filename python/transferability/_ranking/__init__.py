"""Rankings of models, tasks and ensembles: rows, tables, and the files of models."""
