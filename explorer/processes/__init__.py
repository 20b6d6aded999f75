"""The explorer's child processes: workers with torch or TVM, loopback servers, and the cores that they share."""
