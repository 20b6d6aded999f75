"""ONNX file of the user's own → the network as the line has it, its costs and answers, or what is wrong with it."""
