"""The steps of an image through a call: it is opened, converted, laid over another, worked on and delivered.

`call` takes images of any kind, one or a list of them, and gives back their kind; `frame` checks arrays and lays a
source over a destination. These two and the blends use `region`, `source`, `fill`, `resample` and `memory`.
"""
