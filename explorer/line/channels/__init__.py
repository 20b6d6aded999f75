"""Ways to a TVM RPC server that leave no TCP port open on this machine: a Unix socket here, SSH to another machine."""
