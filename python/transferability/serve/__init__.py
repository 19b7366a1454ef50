"""HTTP service: scores of posted features, and sessions that accumulate statistics.

One process receives and answers, and parses no body; worker processes read and compute. So a body
that crashes a parser, exhausts memory or takes too long costs its own request alone. Started by
``transferability serve``; docs/service.md describes it.
"""
