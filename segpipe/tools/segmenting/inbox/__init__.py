"""An inbox of studies: the waiting studies, the processes, and the report."""
