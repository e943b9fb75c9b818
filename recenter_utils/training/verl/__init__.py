"""What verl needs to train a reasoning model on a cluster."""
