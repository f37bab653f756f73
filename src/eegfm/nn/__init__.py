"""Parts of backbones: layers that know only tensors, not files, montages or training."""
