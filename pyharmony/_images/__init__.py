"""The steps of an image through a call: opening, conversion, placement over another image, computation, delivery.

`call` accepts images of any kind, one or a list of them, and returns their kind; `frame` checks arrays and places a
source over a destination. These two and the blends use `region`, `source`, `fill`, `resample` and `memory`.
"""
