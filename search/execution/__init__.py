"""Where evaluations run: this process, worker processes, or Ray."""
