/** Fastify as most people stop it. */
export function install (app) {
  process.on('SIGTERM', () => app.close().then(() => process.exit(0)))
}
