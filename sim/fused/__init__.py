"""The training step in compiled code: what `sim.training.Trainer.step` does as a tensor program, several times faster on a CPU.

`program.why_not` says which runs it takes; all others, and all on other devices, train as tensor programs, which stay the reference.
"""
