"""Applications that use a server as anybody would: through an official driver. Each folder is one."""
