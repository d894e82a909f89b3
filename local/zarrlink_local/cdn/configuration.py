"""The configuration of nginx as a CDN in front of one zarrlink server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zarrlink.http.message import CORS, Headers
from zarrlink.http.problems import PROBLEM_JSON

# Everything that nginx writes lies in its own folder (its prefix), which relative names are below.
_TEXT: Final = """\
load_module %(module)s;
%(user)s
worker_processes %(workers)s;
daemon off;
pid nginx.pid;
# Quieter levels than this print the line of the request, and with it the token.
error_log stderr emerg;

events { worker_connections 4096; }

http {
  access_log off;
  server_tokens off;
  default_type application/octet-stream;
  sendfile on;
  tcp_nopush on;
  client_body_temp_path temp/body;
  proxy_temp_path temp/proxy;
  fastcgi_temp_path temp/fastcgi;
  uwsgi_temp_path temp/uwsgi;
  scgi_temp_path temp/scgi;

  js_path %(scripts)s;
  js_import request from viewer_request.js;
  js_import response from viewer_response.js;
  js_var $edge_path;
  js_var $edge_query;
  js_var $edge_host;
  js_var $edge_link;
  js_var $edge_token;
  js_var $edge_alone;
  js_var $edge_log;

  # CloudFront's fields that zarrlink asks for and no other (zarrlink/links/edge_log.py): no path, no token.
  map $time_iso8601 $edge_date { "~^(?<day>[^T]+)T" $day; }
  map $time_iso8601 $edge_time { "~T(?<clock>[0-9:]+)" $clock; }
  map $edge_log $edge_logged { "" "-"; default $edge_log; }
  log_format edge "$edge_date\\t$edge_time\\t$request_method\\t$status\\t$edge_logged";

  proxy_cache_path cache levels=1:2 keys_zone=edge:32m max_size=%(cache_mb)dm inactive=30d use_temp_path=off;
  # Given up long before the server does, which would meet a request half way.
  upstream origin { server 127.0.0.1:%(origin_port)d; keepalive 64; keepalive_timeout 3s; }

  server {
    listen 127.0.0.1:%(port)d backlog=1024;
    access_log %(log)s;
    merge_slashes off;
    keepalive_requests 1000000;
    large_client_header_buffers 4 16k;
    # Uploads have the limits of the origin.
    client_max_body_size 0;

    proxy_http_version 1.1;
    proxy_set_header Connection "";
    # As from CloudFront, the origin's own.
    proxy_set_header Host 127.0.0.1:%(origin_port)d;
    proxy_set_header X-Zarrlink-Edge "%(secret)s";
    proxy_set_header X-Zarrlink-Host $edge_host;
    proxy_set_header X-Zarrlink-Link $edge_link;
    proxy_set_header X-Zarrlink-Token $edge_token;
    proxy_set_header X-Zarrlink-Alone $edge_alone;
    proxy_buffers 16 32k;
    proxy_buffer_size 32k;
    proxy_busy_buffers_size 64k;

    # What nginx says by itself needs CORS headers as well, or browsers take it for "not found" and draw fill value.
    error_page 400 494 = /=malformed;
    error_page 502 504 = /=unreachable;

    # Each request, whatever it asks for, goes through the function.
    location / { js_content request.judge; }

    # One copy for all links to a view: the path holds no link, and nothing of the viewer's request goes along.
    location @cached {
      js_header_filter response.adapt;
      proxy_pass http://origin$edge_path;
      proxy_pass_request_headers off;
      proxy_cache edge;
      proxy_cache_key $edge_path;
      proxy_cache_lock on;
      proxy_cache_lock_timeout 60s;
      proxy_cache_lock_age 60s;
      proxy_cache_use_stale updating;
      proxy_cache_background_update on;
      proxy_force_ranges on;
      max_ranges 1;
      add_header X-Cache $upstream_cache_status always;
      # On the 416 of nginx's own as well, so they are not taken from the origin.
      proxy_hide_header Access-Control-Allow-Origin;
      proxy_hide_header Access-Control-Expose-Headers;
%(cors)s
    }

    # Everything else is asked of the origin each time.
    location @alone {
      js_header_filter response.adapt;
      proxy_pass http://origin$edge_path$edge_query;
      proxy_max_temp_file_size 0;
      proxy_read_timeout 300s;
    }

%(failures)s
  }
}
"""
_FAILURE: Final = """\
    location = /=%(name)s {
      internal;
      default_type %(kind)s;
%(headers)s
      return %(status)d '%(body)s';
    }
"""


@dataclass(frozen=True, slots=True, repr=False)
class CdnSettings:
    """`module`: nginx's JavaScript module. `scripts`: the folder with the function files as nginx imports them. `secret`: tells the origin that a request came this way, URL-safe.
    `workers`: a number or `auto`. `log`: a file; None: no log. `as_root`: nginx is started by root."""

    module: Path
    scripts: Path
    port: int
    origin_port: int
    secret: str
    workers: str = "auto"
    cache_mb: int = 2048
    log: str | None = "edge.log"
    as_root: bool = False

    def text(self) -> str:
        """What nginx reads. It holds the secret."""
        return _TEXT % {
            "module": _quoted(self.module),
            "scripts": _quoted(self.scripts),
            # Started by root, its workers would be nobody, who cannot read our folder.
            "user": "user root;" if self.as_root else "",
            "workers": self.workers,
            "cache_mb": self.cache_mb,
            "origin_port": self.origin_port,
            "port": self.port,
            "log": "off" if self.log is None else f"{self.log} edge",
            "secret": self.secret,
            "cors": _headers(CORS),
            "failures": "\n".join(
                (
                    _failure("malformed", 400, "The request makes no sense", "the address or a header is malformed"),
                    _failure("unreachable", 502, "The server cannot be reached", "the origin does not answer"),
                    _failure("failed", 503, "The edge failed", "the address could not be checked"),
                )
            ),
        }


def _failure(name: str, status: int, title: str, detail: str) -> str:
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return _FAILURE % {
        "name": name,
        "kind": PROBLEM_JSON,
        "headers": _headers((*CORS, (b"cache-control", b"no-store"))),
        "status": status,
        "body": json.dumps(body),
    }


def _headers(headers: Headers) -> str:
    return "\n".join(f'      add_header {name.decode()} "{value.decode()}" always;' for name, value in headers)


def _quoted(path: Path) -> str:
    """A path as one word of the configuration. Raises ValueError for one that cannot be."""
    text = str(path)
    if any(sign in text for sign in '"\\$\n'):
        raise ValueError(f"nginx cannot be told of the folder {text!r}")
    return f'"{text}"'
