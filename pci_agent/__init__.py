"""Tracks the PCI and SR-IOV devices of a fleet of KVM hypervisors."""

__version__ = "0.1.0"
