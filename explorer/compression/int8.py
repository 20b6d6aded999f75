"""Network → the same network on 8-bit integers, whose scales stage `quantize` takes from training images."""

TAKES_RATIO = False
DTYPE = "int8"
