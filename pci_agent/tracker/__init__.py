"""The centre: keeps what agents report."""
