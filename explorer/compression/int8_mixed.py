"""Network → the same network on 8-bit integers in the layers that lose least by them, and float32 in the others.

`explorer.line.trials.mixing` chooses the layers: by what each costs in agreement and what it saves on the device.
"""

TAKES_RATIO = False
TAKES_MAX_DROP = True
DTYPE = "int8"
