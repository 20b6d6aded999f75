"""TOML files of spaces and devices: values with their lines, for sentences that name both."""
