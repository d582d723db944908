// The programs of test/fixtures/snippets, and what is changed in a snippet so that it runs here: ports, paths, places left open.
export interface Plan {
  program: string
  changes?: ReadonlyArray<[from: string, to: string]>
}

const health = (keepAliveTimeout: number | null): Plan => ({ program: 'health', changes: [['await', `const expected = ${keepAliveTimeout}\nawait`]] })

/** By the name of the block. */
export const programs: Record<string, Plan> = {
  "README.md: import Fastify from 'fastify'": { program: 'usage', changes: [['port: 3000', 'port: 0']] },
  "README.md: app.get('/events', { config: { drain: { endStreams: 'begin', retry: [1000, 5000] } } }, (request, reply) => {": { program: 'events' },
  "README.md: app.get('/log', (request, reply) => {": { program: 'log' },
  "README.md: app.drain.signal.addEventListener('abort', () => {": { program: 'websockets' },
  'README.md: let attempts = 0': { program: 'reconnect', changes: [["'wss://example.org/chat'", 'url']] },
  "README.md: app.server.on('connect', (request, socket, head) => {": {
    program: 'tunnel',
    changes: [['443', 'echoPort'], ['// ...', "socket.write('HTTP/1.1 200 OK\\r\\n\\r\\n'); upstream.write(head); upstream.pipe(socket).pipe(upstream)"]]
  },
  // For the types of socket.io it is protected, for its documentation it is there.
  'README.md: const io = new Server(app.server)': { program: 'socket-io', changes: [['io.engine.clients', "io.engine['clients']"]] },
  "README.md: await app.register(drain, { handover: { signal: 'SIGUSR2', readyTimeout: 30000, ready: () => cache.warm() } })": { program: 'register' },
  "README.md: import { replaceWorker } from 'fastify-drain/cluster'": { program: 'replace-worker' },
  "README.md: await app.register(drain, { health: true, behind: 'aws-alb' })": health(65_000),
  "README.md: import { drainMetrics } from 'fastify-drain/prometheus' // or 'fastify-drain/opentelemetry'": { program: 'metrics' },
  'README.md: await app.register(drain, { health: true })': health(null),
  "docs/behind-a-load-balancer.md: await app.register(drain, { health: true, behind: 'aws-alb' })": health(65_000),
  "docs/observability.md: import { subscribe } from 'node:diagnostics_channel'": { program: 'channel' },
  "docs/observability.md: import Fastify from 'fastify'": { program: 'prometheus' },
  "docs/observability.md: import { drainMetrics } from 'fastify-drain/opentelemetry'": { program: 'opentelemetry' },
  'docs/rebalancing.md: await app.register(drain, {': { program: 'rotation', changes: [['10_000', '2']] },
  // eslint-disable-next-line no-template-curly-in-string
  'docs/report.md: await app.register(drain, { report: { file: `/var/log/app/drain-${process.pid}.json` } })': { program: 'report', changes: [['/var/log/app', '.']] }
}
