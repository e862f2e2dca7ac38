__all__ = ["LUMA"]
"""Luma: the grey of a colour, by Rec. ITU-R BT.601."""

#: The weights of red, green and blue in the luma of Rec. 601, section 2.5.1; x @ LUMA is the luma of colours [..., 3].
LUMA = (0.299, 0.587, 0.114)
