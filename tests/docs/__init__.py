"""Pages of documentation are true."""
