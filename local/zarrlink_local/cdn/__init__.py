"""A CDN on one machine: nginx with the very function files that CloudFront runs, in front of a zarrlink server."""
