"""What was read, kept: the snapshots of a site, each state of its history, and the numbers of its ids."""
