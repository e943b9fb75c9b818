"""What asking a study's models will take: requests, tokens, money and time, before anything is asked."""
