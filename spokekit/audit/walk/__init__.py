"""Read a site once, completely: what it costs, the run itself, and what an unfinished one has paid for."""
