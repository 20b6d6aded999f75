"""Stage → artifact: `engine` runs stages; each file that defines ``build`` brings it workers, under the file's name."""
