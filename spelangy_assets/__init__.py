"""An open data laboratory for speech-language pretraining.

    import spelangy_assets as sl
    rows = sl.open_store().dataset("sample/web_fine")

What is here is loaded when it is first used: importing the package alone loads no library (access.py).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spelangy_assets.access import open_store

__all__ = ["open_store"]


def __getattr__(name: str) -> Any:
    if name == "open_store":
        from spelangy_assets.access import open_store

        return open_store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
