"""Is there memory for it? Asked before it is taken: the system ends a process that takes more than there is."""


def require(needed: int, what: str, remedy: str) -> None:
    """Raise ValueError, which says both numbers, where `what` needs more bytes than the machine has available now."""
    import psutil

    available = psutil.virtual_memory().available
    if needed > available:
        raise ValueError(f"{what} need {needed:,} bytes of memory, {available:,} are available; {remedy}")
