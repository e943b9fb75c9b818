"""Work spread over a Ray cluster: the same engines, encoders and filters, in processes that Ray places."""
