"""What the commands do: `work/verify.py` holds the functions of `eegfm verify`."""
