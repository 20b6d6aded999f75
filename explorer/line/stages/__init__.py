"""A stage is one file, named as the stage is; `explorer.line.stage` has the contract."""
