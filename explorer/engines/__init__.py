"""An engine is one file that brings workers to stages; its name is the file's."""
