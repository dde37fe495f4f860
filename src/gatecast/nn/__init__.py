"""The network, which never sees a table."""
