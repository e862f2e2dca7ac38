"""The way of an image through a call: opened, converted, laid over another, worked on, delivered.

`call` takes images of any kind, one or a list of them, and gives back their kind; `frame` checks arrays and lays a
source over a destination. `region`, `source`, `fill`, `resample` and `memory` are what these and the blends need.
"""
