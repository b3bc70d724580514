"""Everything in one command: the servers, the processes and what watches over them."""
