"""What the chapters call (`parameters`, `banner`), and what executes and checks them (``python -m vaelib.book``)."""

from vaelib.book.page import ParameterError, banner, parameters

__all__ = ["ParameterError", "banner", "parameters"]
