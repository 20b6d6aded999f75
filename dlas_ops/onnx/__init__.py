"""Models of PyTorch and ONNX → the ONNX network that is compiled: its weights named, in int8 where asked."""
