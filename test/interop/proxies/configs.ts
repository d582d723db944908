/** What the clients speak to the proxy. */
export type Protocol = 'HTTP/1.1' | 'HTTP/2'

/** Where one front of a proxy listens, and where it sends its requests. */
export interface Front {
  /** What it is called in the log of the proxy. */
  name: string
  /** For HTTP/1.1. */
  port: number
  /** For HTTP/2 over TLS. */
  tlsPort: number
  /** The ports of the servers. */
  upstreams: number[]
  /** They speak TLS. */
  isSecure: boolean
  /** What this front has beside the proxy's defaults. */
  settings?: string[]
}

export interface Config {
  fronts: Front[]
  /** For all that the proxy writes. */
  folder: string
  /** Key and certificate, each in a file and both in one. */
  tls: { key: string, cert: string, both: string }
  /** How often it has been given other upstreams; none: that will not happen. */
  generation?: number
}

/** Upstream keep-alive needs the three lines that nginx's documentation asks for; all else is its default. */
export function nginx ({ fronts, folder, tls, generation }: Config): string {
  return `
daemon off;
${workers(generation !== undefined)}
pid ${folder}/pid;
error_log stderr error;
events { worker_connections 2048; }
http {
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  # The address of each attempt, separated by commas.
  log_format attempts '$server_name $server_protocol $upstream_addr';
  access_log ${folder}/access.log attempts;
  ${fronts.map(({ name, port, tlsPort, upstreams, isSecure, settings = [] }) => `
  upstream ${name} {
    ${upstreams.map(port => `server 127.0.0.1:${port};`).join(' ')}
    keepalive 32;
  }
  server {
    listen 127.0.0.1:${port};
    listen 127.0.0.1:${tlsPort} ssl http2;
    server_name ${name};
    # The clients of HTTP/2 must not hear of nginx's own limit, 1000 requests for each connection.
    keepalive_requests 1000000;
    ssl_certificate ${tls.cert};
    ssl_certificate_key ${tls.key};
    location = /generation {
      return 200 '${generation ?? ''}';
    }
    location / {
      proxy_pass ${isSecure ? 'https' : 'http'}://${name};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      ${settings.join('\n      ')}
    }
  }`).join('')}
}
`
}

// Without a master there is nobody who starts new workers; those of a master that runs as root must be able to read the folder.
function workers (reloads: boolean): string {
  if (!reloads) return 'master_process off;'
  return `worker_processes 2;${process.getuid?.() === 0 ? '\nuser root;' : ''}`
}

export function haproxy ({ fronts, folder, tls }: Config): string {
  return `
global
  maxconn 2048
  stats socket ${folder}/admin.sock level admin
  log stdout format raw local0
defaults
  mode http
  log global
  # The attempts after the first.
  log-format "%b %HV %rc"
  timeout connect 5s
  timeout client 30s
  timeout server 30s
${fronts.map(({ name, port, tlsPort, upstreams, settings = [] }) => {
  const server = settings.filter(line => line.startsWith('server ')).map(line => line.slice(7)).join(' ')
  return `
listen ${name}
  bind 127.0.0.1:${port}
  bind 127.0.0.1:${tlsPort} ssl crt ${tls.both} alpn h2
  ${settings.filter(line => !line.startsWith('server ')).join('\n  ')}
  ${upstreams.map(port => `server s${port} 127.0.0.1:${port} ${server}`).join('\n  ')}
`
}).join('')}`
}

export function caddy ({ fronts, folder, tls }: Config): string {
  return `
{
  admin unix/${folder}/admin.sock {
    origins localhost
  }
  auto_https off
  servers {
    protocols h1 h2
  }
  log {
    level ERROR
  }
}
${fronts.map(({ name, port, tlsPort, upstreams, isSecure, settings = [] }) => `
(${name}) {
  bind 127.0.0.1
  reverse_proxy ${upstreams.map(port => `${isSecure ? 'https' : 'http'}://127.0.0.1:${port}`).join(' ')} {
    ${settings.join('\n    ')}
  }
}
http://:${port} {
  import ${name}
}
https://:${tlsPort} {
  tls ${tls.cert} ${tls.key}
  import ${name}
}`).join('')}
`
}
