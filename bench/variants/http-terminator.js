import { createHttpTerminator } from 'http-terminator'

/** README, "Usage with Fastify"; the signal and the exit are left to the user. */
export function install (app) {
  const httpTerminator = createHttpTerminator({ server: app.server })
  process.on('SIGTERM', () => httpTerminator.terminate().then(() => process.exit(0)))
}
