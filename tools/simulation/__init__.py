"""A fleet on one machine: real agents, many to a process, real trackers, a real broker; the hosts are made of files."""
