"""What an operator asks on a host, with no bus."""
