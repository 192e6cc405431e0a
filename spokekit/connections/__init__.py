"""What we connect to: aliases, connections, scopes, and the store that keeps them."""
