"""The daemon on each hypervisor."""
