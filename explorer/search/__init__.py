"""Space and workspace → trials: asked for, run and told, one by one or as a whole grid."""
