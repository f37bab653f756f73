"""Parts of backbones: layers that know tensors and nothing of files, montages or training."""
