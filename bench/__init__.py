"""How fast vaelib is, beside others and beside what the machine can do: `make bench`. Not part of the library.

Each figure is taken in a process of its own, one after another: what one contender sets for its whole process, such as
how denormal numbers and memory are handled, helps or harms no other, and its peak memory is its own.
"""
