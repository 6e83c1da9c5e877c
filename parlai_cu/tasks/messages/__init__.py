"""Messages that this package wrote: ``-t messages:messages_path=FILE``."""
