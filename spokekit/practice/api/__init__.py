"""The two REST versions of the practice site, behind its gateway."""
