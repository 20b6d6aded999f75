"""Network → the same network with weights and activations stored in float16, which `lower` rounds them to."""

TAKES_RATIO = False
DTYPE = "float16"
