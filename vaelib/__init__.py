"""vaelib: variational autoencoders to read, to run and to trust.

The library behind the book *Recreating Variational Autoencoders*. Modules build on one another in this order:
`data`, `likelihoods` and `priors`, `models`, `linear`, `objectives`, `training`, `evaluation`, `runs`, `sweep`,
`diagnosis`, `plots`, `widgets`, `book` and `cli`.
"""

__version__ = "0.1.0"
