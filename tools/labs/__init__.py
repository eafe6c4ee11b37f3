"""A virtual machine with SR-IOV cards, to see what a real kernel does. Standard library only."""
