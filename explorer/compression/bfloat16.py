"""Network → the same network with weights and activations stored in bfloat16, which `lower` rounds them to."""

TAKES_RATIO = False
DTYPE = "bfloat16"
