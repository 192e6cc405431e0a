"""spokekit: set up Confluence Cloud in notebooks, step by step."""
