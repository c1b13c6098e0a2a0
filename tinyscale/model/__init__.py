"""One decoder-only transformer, its presets, sampling and conversion. Torch and safetensors only.

Nothing is imported here, so that :mod:`tinyscale.model.presets` and :mod:`tinyscale.model.shape` stay free of torch.
"""
