"""Speed and memory of imreg_xp, as ratios within one run: ``python -m benchmarks speed``."""
