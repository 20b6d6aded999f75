"""Everything that trains, measures or exports a torch model."""
