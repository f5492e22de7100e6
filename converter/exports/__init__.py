"""Out again: a Net as PyTorch source, ONNX, or Caffe's own files."""
