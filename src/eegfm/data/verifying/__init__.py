"""Raw files and stores are checked before anything is trained on them."""
