"""General helpers: threads, optional dependencies, atomic files, cache, CSV, progress, memory."""
