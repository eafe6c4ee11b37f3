"""What agent and tracker say to each other; the only thing that both import."""
