"""What the host says. The only readers of the host."""
