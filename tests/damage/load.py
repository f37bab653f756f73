"""`python -m tests.damage.load <run or exported folder>`: what the loaded model gives of a fixed window, to the bit."""

import sys

import torch

import eegfm
from eegfm.contracts import EegfmError

try:
    model = eegfm.load(sys.argv[1])
except EegfmError as error:
    sys.exit(str(error))
x = 20 * torch.sin(torch.arange(19 * 800).reshape(1, 19, 800) / 7)
print(model.spec.classes, [float(value).hex() for value in model(x).flatten()])
